"""A small comparison to draw: the first direction of A−B lies along a planted mark."""

from dataclasses import replace

import numpy as np

from modeldiff_core.data import Examples, Plant, Watermark
from modeldiff_core.data.digits import Digits
from modeldiff_core.evaluation.law import LearningCurve
from modeldiff_core.report.facts import (
    AlgorithmFacts,
    CurveFacts,
    DirectionFacts,
    EffectFacts,
    EndFacts,
    EstimatorFacts,
    EstimatorScore,
    IntervalFacts,
    LearningFacts,
    PlainFacts,
    PlainRow,
    ReportFacts,
    SpreadFacts,
    VerdictFacts,
)
from modeldiff_core.subpopulations import MeanImage

PLANT = Plant(8, 0.7, Watermark(0, 0, 2, 3))
INTENSITIES = np.array([0.0, 0.5, 1.0])
END = EndFacts(
    7,
    ("planted: 6 of 7 (8.1 % of all), p < 0.001", "brighter by 9 [5, 12] than other images of the same classes"),
    MeanImage(np.full((8, 8, 1), 90.0), np.linspace(-40, 120, 64).reshape(8, 8, 1), np.full((8, 8, 1), 12.5)),
)


def direction(side: str, index: int, train: Examples, targets: Examples, significant: bool) -> DirectionFacts:
    """The first of A−B lies along the planted mark; the others are noise."""
    rng = np.random.default_rng([index, side == "a-b"])
    planted = side == "a-b" and index == 0

    def pattern(examples: Examples) -> np.ndarray:
        noise = rng.normal(0, 0.1, len(examples))
        return noise + (examples.metadata["planted"] if planted else 0)

    weights = pattern(train)
    own, other = 0.011 / (index + 1) ** 2, 0.0004
    a, b = (own, other) if side == "a-b" else (other, own)
    return DirectionFacts(
        side=side,
        index=index,
        variance_a=a,
        variance_b=b,
        in_sample_a=a + 0.009,
        in_sample_b=b + 0.002,
        null_p=0.004 if significant else 0.43,
        p_adjusted=0.016 if significant else 0.86,
        stability=0.91,
        significant=significant,
        projections=pattern(targets),
        weights=weights / np.linalg.norm(weights),
        ends={("targets", "positive"): END} if planted else {},
        overlap=0.64,
        models_needed=None if significant else 4321,
        carried_targets=1.1 if planted else 37.0,
        carried_train=52.0,
        copies=("2 of the 12 furthest training examples are copies of test images.",) if planted else (),
    )


def effect(
    name: str, class_name: str | None, top: float, images: np.ndarray, intensities=INTENSITIES, along: str = ""
) -> EffectFacts:
    def curve(height: float) -> CurveFacts:
        mean = height * np.sqrt(intensities)
        return CurveFacts(mean, mean - 0.02, mean + 0.02)

    return EffectFacts(
        name=name,
        description="A checker in the corner.",
        class_name=class_name,
        intensities=intensities,
        a=curve(top),
        b=curve(0.005),
        difference=top - 0.005,
        difference_low=top - 0.03,
        difference_high=top + 0.02,
        p_adjusted=0.0002 if top > 0.1 else 0.6,
        distinguishing=top > 0.1,
        images=90,
        before=images,
        after=PLANT.watermark.stamp(images),
        margin_a=curve(10 * top),
        margin_b=curve(0.1),
        margin_difference=10 * top - 0.1,
        margin_difference_low=10 * top - 0.3,
        margin_difference_high=10 * top,
        margin_p_adjusted=0.0001,
        along=along,
        verdict=VerdictFacts(
            answer="distinguishing" if top > 0.1 else "undecided",
            why="one reacts, the other is shown not to" if top > 0.1 else "whether either reacts",
            models=None if top > 0.1 else 31,
            images=None if top > 0.1 else 640,
            low=(top - 0.04, -0.03),
            high=(top + 0.04, 0.03),
            magnitude=(top, 0.01),
            carriers=(40.0, 1.2),
            unseen=0.033,
        ),
    )


def plain() -> PlainFacts:
    """A is right more often, and on one class; predictions agree less than those of seeds."""

    def row(name: str, group: str, unit: str, shift: float, p: float) -> PlainRow:
        a, b = IntervalFacts(0.95 + shift, 0.93, 0.99), IntervalFacts(0.95, 0.93, 0.97)
        return PlainRow(name, group, unit, a, b, IntervalFacts(shift, shift - 0.01, shift + 0.01), p, 90)

    rows = (
        row("accuracy", "", "share", 0.02, 0.012),
        row("loss", "", "nats", -0.12, 0.6),
        *(row("accuracy", f"class {c}", "share", 0.03 if c == 8 else 0.0, 0.03 if c == 8 else 1.0) for c in range(13)),
    )
    names = ("a", "b", "between", "beyond")
    agreement = {
        name: IntervalFacts(mean, mean - 0.01, mean + 0.01)
        for name, mean in zip(names, (0.97, 0.96, 0.9, 0.065), strict=True)
    }
    return PlainFacts(rows, agreement, 0.001)


def curve(plateau: float) -> LearningCurve:
    """Scores that grow to a plateau, of eight targets."""
    models = np.array([100, 200, 400, 800, 1600, 2900])
    return LearningCurve(models, plateau - 3 * models[:, None] ** -0.7 + np.linspace(-0.02, 0.02, 8))


def comparison() -> ReportFacts:
    """Two directions a side of which one is significant, two effects, two that a search put to the test."""
    data = Digits(n_train=120, n_test=160, plant=PLANT).load()
    algorithm = AlgorithmFacts(
        name="plain",
        settings={"network": {"kind": "mlp", "widths": (64,)}, "epochs": 15, "augmentations": ()},
        subset_models=3000,
        diverged=2,
        ensemble_models=200,
        subset_accuracy=0.913,
        ensemble_accuracy=0.957,
        lds_mean=0.412,
        lds_low=0.401,
        lds_high=0.423,
    )
    erased = {**algorithm.settings, "augmentations": ({"kind": "erase", "top": 0},)}
    return ReportFacts(
        study="digits_watermark",
        digest="3fa9c1d2",
        dataset={"kind": "digits"},
        classes=data.classes,
        a=algorithm,
        b=replace(algorithm, name="corner_erased", settings=erased, diverged=0, lds_mean=float("nan")),
        similarity=0.8031,
        directions=tuple(
            direction(side, index, data.train, data.test, index == 0) for side in ("a-b", "b-a") for index in (0, 1)
        ),
        null=np.linspace(-0.002, 0.002, 401),
        effects=(effect("dim", None, 0.01, data.test.images[:3]), effect("checker", "8", 0.57, data.test.images[:4])),
        train=data.train,
        targets=data.test,
        config={"name": "digits_watermark", "subsets": {"fraction": 0.5}, "seed": 7},
        versions={"torch": "2.13.0"},
        plain=plain(),
        spread=SpreadFacts(
            kind="spread or misfit",
            p=0.01,
            significant=True,
            weights=np.random.default_rng(0).normal(size=120),
            targets=np.arange(40),
            projections=np.random.default_rng(1).normal(size=40),
            carried_targets=13.0,
            carried_train=41.0,
        ),
        findings=("The mark moves A & not B.", "Second.", "Third.", "How far this can be relied on."),
        learning=LearningFacts((curve(0.44), curve(0.41)), held=100, wished=0.42),
        estimators=(
            EstimatorFacts(
                "lasso",
                "2,900 subset models",
                True,
                EstimatorScore(0.41, 0.40, 0.42, 20.6),
                EstimatorScore(0.40, 0.39, 0.41, 21.0),
            ),
        ),
        found=(
            effect("strongest patch", "8", 0.44, data.test.images[:3], along="A−B 1, B−A 2"),
            effect("less contrast", None, 0.02, data.test.images[:3], along="B−A 1"),
        ),
    )
