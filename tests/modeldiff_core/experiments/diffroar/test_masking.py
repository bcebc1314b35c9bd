"""Masks and fills, and the correction on constructed cases: a mask that leaks, an honest one, and a mixed one."""

import numpy as np
import pytest

from modeldiff_core.data.one_hot import OneHot
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.diffroar.masking import Fill, kept_of, marginal, masked
from modeldiff_core.experiments.diffroar.retrain import retrained_accuracy, scores_of
from modeldiff_core.training.float_stacks import FloatData, FloatRecipe
from modeldiff_core.training.input_attributions import ranked

RNG = np.random.default_rng(0)
IMAGES = RNG.random((40, 4, 4, 1)).astype(np.float32)
ORDER = ranked(RNG.random((40, 16)), (0,))
RECIPE = FloatRecipe(widths=(24,), steps=250, batch_size=64, learning_rate=0.1, momentum=0.9)


def test_top_and_bottom_are_the_ends_of_the_order() -> None:
    top, bottom = kept_of(ORDER, 5, "top"), kept_of(ORDER, 5, "bottom")
    assert (top.sum(1) == 5).all()
    assert not (top & bottom).any()
    assert all(set(np.flatnonzero(row)) == set(order[:5]) for row, order in zip(top, ORDER, strict=True))
    assert all(set(np.flatnonzero(row)) == set(order[-5:]) for row, order in zip(bottom, ORDER, strict=True))
    assert (kept_of(ORDER, 16, "top")).all()


@pytest.mark.parametrize("kind", ["mean", "constant", "marginal", "blur"])
def test_kept_values_stay_and_the_others_become_the_fill(kind: str) -> None:
    kept = kept_of(ORDER, 5, "top")
    fill = Fill(kind, constant=0.25)  # type: ignore[arg-type]
    found = masked(IMAGES, kept, fill, IMAGES, np.random.default_rng(1))
    mask = kept.reshape(IMAGES.shape)
    np.testing.assert_array_equal(found["kept"][mask], IMAGES[mask])
    np.testing.assert_array_equal(found["kept"][~mask], found["replaced"][~mask])
    np.testing.assert_array_equal(found["mask"], mask)
    assert (found["replaced"][mask] != IMAGES[mask]).mean() > 0.9
    other = found["kept"][~mask]
    expected = {"mean": IMAGES.mean(), "constant": 0.25}
    if kind in expected:
        np.testing.assert_allclose(other, expected[kind], rtol=1e-6)
    elif kind == "blur":
        assert other.std() < 0.5 * IMAGES.std()
    else:
        assert set(other.tolist()) <= set(IMAGES.flatten().tolist())


def test_marginal_draws_have_the_marginals_and_no_correlations() -> None:
    base = RNG.standard_normal((500, 1, 1, 1)) * np.array([1.0, 3.0]).reshape(1, 1, 2, 1)
    drawn = marginal((4000, 1, 2, 1), base, np.random.default_rng(0)).reshape(-1, 2)
    assert abs(np.corrcoef(base.reshape(-1, 2).T)[0, 1]) > 0.99
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.06
    np.testing.assert_allclose(drawn.std(0), base.reshape(-1, 2).std(0), rtol=0.05)


def case(case: str, examples: int = 800) -> tuple[FloatData, np.ndarray]:
    """Examples of 12 values in a row, of which values 0 and 1 are the label's sign and the others noise, and an order.

    honest: the order begins with the two signs. leaks: it begins with values 4 and 5 or 6 and 7 by the label, which
    are noise. mixed: it begins with the signs for half of the examples, and by the label, like `leaks`, for all.
    The lowest are always values 10 and 11.
    """
    rng = np.random.default_rng([examples, len(case)])
    labels = rng.permutation(np.arange(examples) % 2)
    x = rng.standard_normal((examples, 12))
    x[:, :2] = (2 * labels - 1)[:, None] * np.array([1.0, 1.5])
    by_label = np.where(labels[:, None] == 1, [4, 5], [6, 7])
    honest = rng.random(examples) < 0.5
    first = {
        "honest": np.tile([0, 1], (examples, 1)),
        "leaks": by_label,
        "mixed": np.where(honest[:, None], [0, 1], np.where(rng.random(examples)[:, None] < 0.6, by_label, [8, 9])),
    }[case]
    order = [[*row, *(v for v in range(10) if v not in row), 10, 11] for row in first.tolist()]
    return FloatData(x.reshape(-1, 1, 12, 1).astype(np.float32), labels.astype(np.int64), 2), np.array(order)


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, float]]:
    found = {}
    for name in ("honest", "leaks", "mixed"):
        (train, order), (test, tested) = case(name, 1600), case(name, 1200)
        found[name] = scores_of(retrained_accuracy((train, test), (order, tested), 2 / 12, Fill("mean"), RECIPE, 0))
    return found


def test_a_mask_that_leaks_and_carries_nothing_scores_zero_when_corrected(scores: dict[str, dict[str, float]]) -> None:
    assert scores["leaks"]["diffroar"] > 0.4
    assert scores["leaks"]["mask"] > 0.4
    assert abs(scores["leaks"]["corrected"]) < 0.06


def test_an_honest_mask_keeps_its_score(scores: dict[str, dict[str, float]]) -> None:
    assert scores["honest"]["diffroar"] > 0.42
    assert abs(scores["honest"]["mask"]) < 0.06
    assert abs(scores["honest"]["corrected"] - scores["honest"]["diffroar"]) < 0.06


def test_a_mixed_mask_lies_between(scores: dict[str, dict[str, float]]) -> None:
    assert scores["leaks"]["corrected"] + 0.05 < scores["mixed"]["corrected"] < scores["honest"]["corrected"] - 0.05


def test_the_oracle_has_its_closed_form_on_one_hot_data_and_random_orders_have_theirs() -> None:
    """Top values keep the label (accuracy 1), lowest ones nothing (1/2); a random order keeps it with probability k."""
    data = OneHot(8, 1600, 1600).featured()
    train, test = (FloatData(part.inputs(), part.labels, 2) for part in (data.train, data.test))
    oracle = [ranked(part.pixels("sign").reshape(1600, 8).astype(float), (0,)) for part in (data.train, data.test)]
    found = retrained_accuracy((train, test), (oracle[0], oracle[1]), 2 / 8, Fill("constant"), RECIPE, 0)
    assert scores_of(found)["diffroar"] == pytest.approx(0.5, abs=0.04)
    assert found["top"]["kept"] == 1.0
    chance = [ranked(np.zeros((1600, 8)), (seed,)) for seed in (1, 2)]
    found = retrained_accuracy((train, test), (chance[0], chance[1]), 2 / 8, Fill("constant"), RECIPE, 0)
    assert found["top"]["kept"] == pytest.approx(2 / 8 + (1 - 2 / 8) / 2, abs=0.05)
    assert found["bottom"]["kept"] == pytest.approx(2 / 8 + (1 - 2 / 8) / 2, abs=0.05)


def test_a_blur_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"fill.blur: expected more than 0"):
        Fill("blur", blur=0.0)
