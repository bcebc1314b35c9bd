"""What the report of a finished comparison shows."""

import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Int

from modeldiff_core.data import Known
from modeldiff_core.data.kinds import PICTURES
from modeldiff_core.datamodels import FromTrainings
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.contrasts import variances_told
from modeldiff_core.experiments.compare.copied import copied
from modeldiff_core.experiments.compare.enough import about_enough
from modeldiff_core.experiments.compare.findings import EstimatorScores, Findings, read_findings
from modeldiff_core.experiments.compare.matrix_free import MatrixFreeComparison
from modeldiff_core.experiments.component_contrast.linked import where_in_the_network
from modeldiff_core.identity import plain
from modeldiff_core.report.facts import (
    AlgorithmFacts,
    ContrastFacts,
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
    TrainingsFacts,
    VerdictFacts,
)
from modeldiff_core.report.words import direction_name
from modeldiff_core.stages.curve import Curve, read_curve
from modeldiff_core.stages.products import seconds_of
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.spread import FoundSpread
from modeldiff_core.statistics import Interval, unseen_share
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study.cost import training_flops
from modeldiff_core.transformations import Judged, TransformationTest, build_on, eligible_images
from modeldiff_core.transformations.search import image_halves

SHOWN = 6
"""Pairs of images before and after a transformation."""
NO_IMAGES = np.zeros((0, 1, 1, 1), np.uint8)
BRIEF = 160
"""Characters of a transformation's parameters that are shown."""


def report_facts(store: ObjectStore, comparison: Comparison) -> ReportFacts:
    """Return everything that the report shows, from the store."""
    findings = read_findings(store, comparison)
    summary = read_record(store, comparison.summary.record)
    data = comparison.trainings[0].load()
    study = comparison.study
    algorithms = [
        AlgorithmFacts(
            name=config.name,
            settings={"kind": config.kind, "seed": config.seed, **_recipe(comparison, which)},
            subset_models=scores["models"],
            diverged=scores["diverged"],
            ensemble_models=study.ensemble.models,
            subset_accuracy=_measured(scores["subset_accuracy"]),
            ensemble_accuracy=_measured(scores["ensemble_accuracy"]),
            lds_mean=scores["lds"]["corrected"],
            lds_low=scores["lds"]["ci_low"],
            lds_high=scores["lds"]["ci_high"],
            left_out=scores.get("left_out", 0),
            flops=_measured(training_flops(comparison.trainings[which])),
            reliability=reliability_facts(scores),
        )
        for which, (config, scores) in enumerate(
            zip((study.algorithm_a, study.algorithm_b), findings.scores, strict=True)
        )
    ]
    task = comparison.trainings[0].task()
    train, targets = task.train.known, task.targets.known
    return ReportFacts(
        study=study.name,
        digest=comparison.digest,
        dataset={**study.dataset.model_dump(), "training examples": len(task.train), "targets": len(task.targets)},
        classes=data.classes,
        a=algorithms[0],
        b=algorithms[1],
        similarity=summary["similarity"],
        directions=direction_facts(summary["directions"], findings, train, targets),
        null=findings.null,
        effects=tuple(
            _effect(comparison, one, of_a.images())
            for (of_a, _), one in zip(comparison.effects(), findings.effects, strict=True)
        ),
        train=train,
        targets=targets,
        inventory=data.inventory,
        target="" if data.target is None else data.target.name,
        config=study.model_dump(mode="json"),
        versions=versions(),
        findings=(*about_enough(comparison, summary, store), *summary["findings"]),
        learning=_learning(store, comparison),
        plain=plain_facts(findings.plain),
        spread=_spread(summary["spread"], findings.spread),
        estimators=_estimators(comparison, findings),
        contrast=contrast_facts(study.comparison.hypothesis, findings),
        where=where_in_the_network(store, comparison.trainings),
        trainings=trainings_facts(store, comparison, findings),
        found=tuple(
            _effect(
                comparison,
                one,
                _held_out(comparison, one),
                ", ".join(direction_name(search.side, search.index) for search in along),
            )
            for along, one in findings.found
        ),
    )


def _spread(entry: Mapping[str, Any] | None, found: FoundSpread | None) -> SpreadFacts | None:
    """Return the difference in spread of a summary with the arrays behind it."""
    if entry is None or found is None:
        return None
    return SpreadFacts(
        kind=found.kind,
        p=found.p,
        significant=entry["significant"],
        weights=found.direction,
        targets=found.targets,
        projections=found.projections,
        carried_targets=entry["carried_by"]["targets"],
        carried_train=entry["carried_by"]["train"],
    )


def plain_facts(found: Mapping[str, Any] | None) -> PlainFacts | None:
    """Return the plain differences of a summary."""
    if found is None:
        return None

    def interval(one: Mapping[str, float]) -> IntervalFacts:
        return IntervalFacts(one["mean"], one["low"], one["high"])

    agreement = found["agreement"]
    return PlainFacts(
        tuple(
            PlainRow(
                one["name"],
                one["group"],
                one["unit"],
                interval(one["a"]),
                interval(one["b"]),
                interval(one["difference"]),
                one["p_adjusted"],
                one["images"],
            )
            for one in found["quantities"]
        ),
        {name: interval(agreement[name]) for name in ("a", "b", "between", "beyond")} if agreement else {},
        agreement["p"] if agreement else math.nan,
    )


def _learning(store: ObjectStore, comparison: Comparison) -> LearningFacts | None:
    """Return both learning curves, as far as they are in the store."""
    subsets = comparison.study.subsets
    a, b = (read_curve(store, Curve.of(comparison.study, t), subsets.models) for t in comparison.trainings)
    return LearningFacts((a, b), subsets.evaluation_models, subsets.rounds.wished_score) if a and b else None


def direction_facts(
    entries: list[dict[str, Any]], findings: Findings, train: Known, targets: Known
) -> tuple[DirectionFacts, ...]:
    """Return the ``directions`` of summary.json with the arrays behind them; train, targets: the examples."""

    def of_direction(entry: Mapping[str, Any]) -> tuple[str, ...]:
        if not entry["significant"]:
            return ()
        weights = findings.side(entry["side"], "directions")[entry["index"]]
        return copied(train, targets, weights)

    return tuple(
        DirectionFacts(
            side=entry["side"],
            index=entry["index"],
            variance_a=_measured(entry["explained_variance"]["a"] if variances_told(entry) else None),
            variance_b=_measured(entry["explained_variance"]["b"] if variances_told(entry) else None),
            in_sample_a=_measured(entry["explained_variance_in_sample"]["a"]),
            in_sample_b=_measured(entry["explained_variance_in_sample"]["b"]),
            null_p=_measured(entry["null_p"]),
            p_adjusted=_measured(entry["p_adjusted"]),
            stability=_measured(entry["stability"]),
            significant=entry["significant"],
            projections=findings.side(entry["side"], "projections")[:, entry["index"]],
            weights=findings.side(entry["side"], "directions")[entry["index"]],
            ends=_ends(findings, entry),
            overlap=_measured(entry["overlap"]),
            models_needed=entry["models_needed"],
            carried_targets=entry["carried_by"]["targets"],
            carried_train=entry["carried_by"]["train"],
            copies=of_direction(entry),
            intervals=_intervals(entry),
        )
        for entry in entries
    )


def _intervals(entry: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    """Return value and ends of what a contrast's direction has an interval of; nothing of residual analyses."""
    if "difference" not in entry:
        return {}
    under = {
        which: (entry["explained_variance"][which], *map(_measured, entry["explained_variance_ci"][which]))
        if variances_told(entry)
        else (math.nan, math.nan, math.nan)
        for which in ("a", "b")
    }
    named = {name: entry[name] or {} for name in ("difference", "share")}
    return under | {
        name: (_measured(one.get("value")), _measured(one.get("low")), _measured(one.get("high")))
        for name, one in named.items()
    }


def contrast_facts(hypothesis: str | None, findings: Findings) -> ContrastFacts | None:
    """Return what the report shows of a contrast as a whole; None for residual analyses."""
    found = findings.contrast
    if found is None:
        return None
    slopes, draws = found.slopes, sum(map(len, found.tested.draws))
    return ContrastFacts(str(hypothesis), slopes.middle, slopes.spread, slopes.p, slopes.log_slopes, draws)


def reliability_facts(scores: Mapping[str, Any]) -> Mapping[str, IntervalFacts]:
    """Return the scores of a bank of several models a mask with their ceilings; empty for one model a mask."""
    found = scores.get("reliability") or {}
    return {
        name: IntervalFacts(*(float(one[end]) for end in ("value", "low", "high")))
        for name, one in found.items()
        if name != "seeds" and one is not None
    }


def trainings_facts(store: ObjectStore, comparison: Comparison, findings: Findings) -> TrainingsFacts | None:
    """Return what the report shows of differentiated trainings; None where there are datamodels."""
    found = findings.trainings
    if found is None or not isinstance(comparison, MatrixFreeComparison):
        return None
    along = [one for which in ("a", "b") for one in comparison.score(which).products]
    seconds = seconds_of(store, [*comparison.pair.products, *(one.product for one in along)])
    return TrainingsFacts(
        compared=found.pairs,
        left_out=len(found.left_out),
        differentiated=found.cost["trainings"],
        reverse=found.cost["reverse"],
        forward=found.cost["forward"],
        along_masks=sum(one.masks for one in along),
        missed=found.missed,
        seconds=seconds or math.nan,
    )


def _measured(value: float | None) -> float:
    """Return the value, NaN for what could not be measured."""
    return math.nan if value is None else value


def _estimators(comparison: Comparison, findings: Findings) -> tuple[EstimatorFacts, ...]:
    study = comparison.study
    own, held = study.regression.estimator, study.subsets.evaluation_models
    sources = {kind: _source(fit) for (_, kind), fit in comparison.scored().items()}
    return tuple(estimator_facts(one, one.kind == own, held, sources[one.kind]) for one in findings.estimators)


def _source(fit: Regression) -> str:
    """Return what an estimator is made from if not the subset models."""
    if isinstance(fit.estimator, FromTrainings):
        return f"{fit.estimator.trainings:,} trainings of their own"
    return f"{fit.checkpoints.models:,} models on all data" if fit.checkpoints else ""


def estimator_facts(found: EstimatorScores, used: bool, held: int, source: str = "") -> EstimatorFacts:
    """Return one estimator's line; held: models kept from it; source: what it is made from if not the other subset
    models.
    """
    a, b = (
        EstimatorScore(
            scores["lds"]["corrected"],
            scores["lds"]["ci_low"],
            scores["lds"]["ci_high"],
            math.nan if seconds is None else seconds,
        )
        for scores, seconds in zip(found.scores, found.seconds, strict=True)
    )
    models = " and ".join(dict.fromkeys(f"{scores['models'] - held:,}" for scores in found.scores))
    return EstimatorFacts(found.kind, source or f"{models} subset models", used, a, b)


def _ends(findings: Findings, entry: dict[str, Any]) -> dict[tuple[str, str], EndFacts]:
    return {
        (part, sign): EndFacts(end.facts["size"], tuple(end.facts["words"]), end.image)
        for place, described in findings.descriptions
        if (place.side, place.index) == (entry["side"], entry["index"])
        for part, ends in described.items()
        for sign, end in ends.items()
    }


def versions() -> dict[str, str]:
    """Return the versions of what decides rounding."""
    return {"python": platform.python_version(), **{p: version(p) for p in ("torch", "numpy", "scikit-learn")}}


def _recipe(comparison: Comparison, which: int) -> dict[str, object]:
    recipe = plain(comparison.trainings[which].identity["algorithm"]["recipe"])
    assert isinstance(recipe, dict)
    return recipe


def _held_out(comparison: Comparison, one: Judged) -> Int[np.ndarray, " images"]:
    """Return the images of the confirming half that the transformation is shown on."""
    targets, study = comparison.trainings[0].task().targets, comparison.study
    _, half = image_halves(len(targets), study.search.seed)
    target_class, settings = one.measured.test.target_class, study.effects
    chosen = eligible_images(targets.labels[half], {}, target_class, settings.max_images, settings.seed)
    return np.asarray(half[chosen])


def _effect(comparison: Comparison, one: Judged, images: Int[np.ndarray, " images"], along: str = "") -> EffectFacts:
    """Return what was measured of a transformation on the images at these positions, and the first of them."""
    targets = comparison.trainings[0].task().targets
    classes = comparison.trainings[0].load().classes
    measured, test = one.measured, one.measured.test
    shown = targets.select(images[:SHOWN])
    after = build_on(test, shown)(shown.images, test.intensities[-1])
    pictured = shown.kind == PICTURES
    difference, margin = measured.probability.difference[-1], measured.margin.difference[-1]
    settings = comparison.study.effects
    return EffectFacts(
        name=test.name,
        description=_described(test),
        class_name=None if test.target_class is None else classes[test.target_class],
        intensities=np.array(test.intensities),
        a=_curve(measured.probability.a),
        b=_curve(measured.probability.b),
        difference=difference.mean,
        difference_low=difference.low,
        difference_high=difference.high,
        p_adjusted=one.p_probability,
        distinguishing=one.distinguishing,
        images=measured.images,
        before=shown.images if pictured else NO_IMAGES,
        after=after if pictured else NO_IMAGES,
        margin_a=_curve(measured.margin.a),
        margin_b=_curve(measured.margin.b),
        margin_difference=margin.mean,
        margin_difference_low=margin.low,
        margin_difference_high=margin.high,
        margin_p_adjusted=one.p_margin,
        along=along,
        verdict=_verdict(one, settings.alpha),
        texts=() if pictured else tuple(shown.kind.pair(*both) for both in zip(shown.images, after, strict=True)),
    )


def _verdict(one: Judged, alpha: float) -> VerdictFacts:
    known, verdict = one.measured.reactions, one.verdict
    a, b = known.a, known.b
    return VerdictFacts(
        answer=verdict.answer,
        why=verdict.why,
        models=verdict.models,
        images=verdict.images,
        low=(a.low, b.low),
        high=(a.high, b.high),
        magnitude=(a.magnitude, b.magnitude),
        carriers=(a.carriers, b.carriers),
        unseen=unseen_share(one.measured.images, 1 - alpha),
    )


def _described(test: TransformationTest) -> str:
    """Return kind and parameters; of long ones, such as a patch's pixels, only the beginning."""
    parameters = ", ".join(f"{name} {value}" for name, value in test.parameters.items())
    brief = parameters if len(parameters) <= BRIEF else f"{parameters[:BRIEF]}…"
    return f"{test.kind} ({brief})" if brief else test.kind


def _curve(intervals: Sequence[Interval]) -> CurveFacts:
    effect, low, high = (np.array([getattr(i, part) for i in intervals]) for part in ("mean", "low", "high"))
    return CurveFacts(effect, low, high)
