"""Plain differences: accuracy and agreement by counting, calibration by hand, and tests that hold their level."""

import numpy as np
import pytest

from modeldiff_core.evaluation.agreement import agreement
from modeldiff_core.evaluation.plain import Setting, calibration_errors, plain_differences

N, CLASSES = 120, 3
LABELS = np.arange(N) % CLASSES


def logits(rng: np.random.Generator, models: int, strength: float = 2.0, spread: float = 1.0) -> np.ndarray:
    """Logits that favor the label, with images that are hard for every model and noise of each model's own."""
    hard = 1.5 * np.random.default_rng(0).normal(size=(1, N, CLASSES))
    own = strength * np.eye(CLASSES)[LABELS]
    return (own + hard + spread * rng.normal(size=(models, N, CLASSES))).astype(np.float32)


def test_quantities_are_what_counting_gives() -> None:
    rng = np.random.default_rng(1)
    a, b = logits(rng, 6), logits(rng, 5, strength=1.0)
    groups = {"class 0": LABELS == 0, "few": np.arange(N) < 5}
    found = plain_differences(a, b, LABELS, groups, Setting("independent"))
    assert [(q.name, q.group) for q in found.quantities] == [
        *((name, "") for name in ("accuracy", "loss", "sureness", "overconfidence", "calibration error")),
        ("accuracy", "class 0"),
    ]
    right = a.argmax(2) == LABELS
    assert 0.4 < right.mean() < 0.95
    accuracy = found.of("accuracy")
    assert accuracy.a.mean == pytest.approx(right.mean())
    assert accuracy.difference.mean == pytest.approx(right.mean() - (b.argmax(2) == LABELS).mean())
    assert accuracy.difference.p < accuracy.p_adjusted < 0.01
    assert found.of("accuracy", "class 0").a.mean == pytest.approx(right[:, LABELS == 0].mean())
    p = np.exp(a.astype(np.float64)) / np.exp(a.astype(np.float64)).sum(2, keepdims=True)
    assert found.of("loss").a.mean == pytest.approx(-np.log(p[:, np.arange(N), LABELS]).mean())
    assert found.of("sureness").a.mean == pytest.approx(p.max(2).mean())
    assert found.of("overconfidence").a.mean == pytest.approx(p.max(2).mean() - right.mean(), abs=1e-9)
    for quantity in found.quantities:
        assert quantity.a.low < quantity.a.mean < quantity.a.high


def test_calibration_error_by_hand() -> None:
    """Two images at 0.9, one of them right, and two at 0.6, both right: (2·0.4 + 2·0.4)/4."""
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    found = calibration_errors(np.log(p)[None].astype(np.float32), np.array([0, 1, 0, 0]))
    np.testing.assert_allclose(found, [0.4], atol=1e-6)


def test_agreement_by_counting() -> None:
    rng = np.random.default_rng(2)
    a, b = (logits(rng, models, 1.0).argmax(2) for models in (4, 5))
    found = agreement(a, b, "independent")
    within = np.mean([(a[i] == a[j]).mean() for i in range(4) for j in range(4) if i != j])
    between = np.mean([(x == y).mean() for x in a for y in b])
    assert 0.3 < between < 0.95
    assert found.a.mean == pytest.approx(within)
    assert found.between.mean == pytest.approx(between)
    assert found.beyond.mean == pytest.approx((found.a.mean + found.b.mean) / 2 - between)
    assert found.between.low < between < found.between.high


def test_algorithms_that_err_on_other_images_disagree_at_equal_accuracy() -> None:
    rng = np.random.default_rng(3)
    favored = np.zeros((1, N, CLASSES), np.float32)
    favored[0, ::2] = 2 * np.eye(CLASSES)[(LABELS[::2] + 1) % CLASSES]
    other = np.zeros_like(favored)
    other[0, 1::2] = 2 * np.eye(CLASSES)[(LABELS[1::2] + 1) % CLASSES]
    a, b = logits(rng, 8) + favored, logits(rng, 8) + other
    found = plain_differences(a, b, LABELS, {}, Setting("independent"))
    assert found.agreement.p == pytest.approx(0.001)
    assert found.agreement.beyond.low > 0.05
    assert found.of("accuracy").p_adjusted > 0.05


@pytest.mark.parametrize("pairing", ["independent", "paired"])
def test_models_of_one_algorithm_rarely_differ(pairing: str) -> None:
    """Images and, if paired, noise of a seed are common to both; one of all tests errs in at most 5 % of studies."""
    rng = np.random.default_rng(4)
    alarms = covered = 0
    groups = {f"class {c}": c == LABELS for c in range(CLASSES)}
    agreed = 0
    for run in range(60):
        a, b = logits(rng, 5), logits(rng, 5)
        if pairing == "paired":
            common = rng.normal(size=a.shape).astype(np.float32)
            a, b = a + common, b + common
        found = plain_differences(a, b, LABELS, groups, Setting(pairing, seed=run))
        alarms += min(one.p_adjusted for one in found.quantities) <= 0.05
        agreed += found.agreement.p <= 0.05
        covered += found.of("accuracy").difference.low <= 0 <= found.of("accuracy").difference.high
    assert alarms <= 8, "5 % of 60 is 3; 9 has a chance below 1 %"
    assert agreed <= 8
    assert covered >= 52


def test_where_all_are_right_the_interval_knows_how_few_images_there_were() -> None:
    sure = np.repeat((20 * np.eye(CLASSES)[LABELS])[None], 4, axis=0).astype(np.float32)
    found = plain_differences(sure, sure, LABELS, {}, Setting()).of("accuracy")
    assert (found.a.mean, found.a.high) == (1, 1)
    assert found.a.low == pytest.approx(1 - 0.0247, abs=1e-3)
    assert found.difference.p == 1
