"""The group behind a difference, random groups, and the shrinkage of an effect with its interval."""

import numpy as np
import pytest

from modeldiff_core.evaluation.removal import (
    ALIKE,
    ALONE,
    PICTURE,
    Added,
    Halves,
    at_end,
    behind,
    beyond_class,
    beyond_random,
    leading_class,
    nested,
    predicted_shrinkage,
    random_groups,
    shrinkage,
    smoothed,
)

CLASSES, OF_CLASS, CARRIERS = 4, 50, 20


def planted(seed: int, noise: float) -> tuple[Halves, np.ndarray, np.ndarray, np.ndarray]:
    """ū of two halves, images, labels and who carries the cue: class 2's first examples, a bright corner."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), OF_CLASS)
    images = rng.integers(0, 120, (len(labels), 6, 6, 1)).astype(np.uint8)
    carriers = np.zeros(len(labels), dtype=bool)
    carriers[2 * OF_CLASS : 2 * OF_CLASS + CARRIERS] = True
    images[carriers, :2, :2] = 250
    halves = carriers + noise * rng.standard_normal((2, len(labels)))
    return halves.astype(np.float32), images, labels, carriers


CORNER = np.zeros((6, 6, 1))
CORNER[:2, :2] = 100


def alike(halves: Halves) -> Added:
    """The same in margins, which have a unit of their own."""
    return Added(halves, 3 * halves)


@pytest.mark.parametrize(("noise", "purity"), [(0.3, 0.9), (1.0, 0.75)])
def test_the_group_is_the_carriers_whatever_the_noise(noise: float, purity: float) -> None:
    halves, images, labels, carriers = planted(0, noise)
    group = behind(alike(halves), images, labels, CORNER, 0.95)
    assert group.label == 2
    assert carriers[group.examples].mean() >= purity
    assert carriers[group.examples].sum() >= 0.9 * CARRIERS
    assert 0.7 <= group.held[-1] <= 1, "of what the best order holds"
    assert group.attributed == pytest.approx(3 * CARRIERS, rel=0.35)
    np.testing.assert_allclose(group.lost, group.held * group.attributed, rtol=1e-5)
    assert group.order in (ALONE, ALIKE, PICTURE)
    if noise == 1:
        assert group.order != ALONE, "single weights are too noisy"


def test_a_transformation_that_changes_nothing_leaves_the_order_to_datamodels() -> None:
    halves, images, labels, carriers = planted(1, 0.1)
    group = behind(alike(halves), images, labels, np.zeros((6, 6, 1)), 0.95)
    assert carriers[group.examples].all()
    assert group.order != PICTURE


def test_predictions_of_what_orders_itself_are_free_of_its_noise() -> None:
    rng = np.random.default_rng(2)
    _, images, labels, _ = planted(0, 0)
    pure = rng.standard_normal((2, len(labels)))
    alone = np.mean([np.sort(pure.mean(0))[::-1][:50].sum()])
    group = behind(alike(pure), images, labels, np.zeros((6, 6, 1)), 1.0)
    assert alone > 30, "picked by its own noise it would hold much"
    assert group.attributed < 3 * alone / 2


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_any_share_gives_a_group_also_where_nothing_is_attributed(share: float) -> None:
    halves, images, labels, _ = planted(6, 0.3)
    few = behind(alike(halves), images, labels, CORNER, share)
    assert few.held[-1] >= 0.7 * share
    assert len(behind(alike(-np.abs(halves)), images, labels, CORNER, share).examples) >= 1


def test_smoothing_follows_what_is_alike() -> None:
    rng = np.random.default_rng(3)
    features = rng.standard_normal((80, 10))
    truth = features[:, 0]
    noisy = truth + 2 * rng.standard_normal(80)
    assert np.corrcoef(smoothed(features, noisy), truth)[0, 1] > np.corrcoef(noisy, truth)[0, 1] + 0.15
    assert not smoothed(np.zeros((5, 3)), np.arange(5.0)).any()


def test_the_class_that_leads_is_that_of_the_best_examples_whatever_the_others_of_it() -> None:
    rng = np.random.default_rng(8)
    labels = np.repeat([0, 1], 20)
    halves = np.where(labels == 0, 0.3, 0.0) + 0.1 * rng.standard_normal((2, 40))
    halves[:, 20:30] += 1
    halves[:, 30:] -= 1
    assert halves.mean(0)[labels == 1].sum() < halves.mean(0)[labels == 0].sum()
    assert leading_class(halves, labels) == 1


def test_random_groups_have_the_same_classes_and_share_nothing() -> None:
    labels = np.repeat([0, 1, 2], 20)
    group = np.array([0, 1, 2, 20, 21])
    found, short = random_groups(labels, group, 3, 0)
    assert short == 0
    assert len({tuple(one) for one in found}) == 3
    for one in found:
        assert np.bincount(labels[one]).tolist() == [3, 2]
        assert not set(one.tolist()) & set(group.tolist())
    assert [one.tolist() for one in found] == [one.tolist() for one in random_groups(labels, group, 3, 0)[0]]
    found, short = random_groups(labels, np.arange(15), 1, 0)
    assert short == 10
    assert (labels[found[0]] == 0).sum() == 5
    assert len(set(found[0].tolist())) == 15


def test_nested_parts_end_with_the_whole() -> None:
    assert nested(20, (0.25, 0.5)) == [5, 10, 20]
    assert nested(1, (0.25, 0.5)) == [1]
    assert leading_class(np.array([[0.0, 1, 2], [0, 1, 2]]), np.array([0, 1, 1])) == 1
    rows = np.arange(6.0).reshape(3, 2)
    assert at_end((rows, 2 * rows), np.array([True, False, True])).tolist() == [[2, 3], [4, 6]]


def test_what_is_added_in_margins_is_beyond_the_others_of_the_class() -> None:
    rng = np.random.default_rng(7)
    labels, members = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([1, 0, 1, 1, 0, 1, 1], dtype=bool)
    rows = rng.standard_normal((7, 5)), rng.standard_normal((7, 5))
    found = beyond_class(rows, members, labels)
    for half, row in zip(found, rows, strict=True):
        expected = (row[0] - row[1] + row[2] - row[1] + row[3] - row[4]) / 3
        np.testing.assert_allclose(half, expected, err_msg="class 2 has no others")
    assert not beyond_class(rows, labels == 2, labels).any()


def test_a_prediction_is_a_share_and_growth_ends_where_a_probability_does() -> None:
    assert predicted_shrinkage(2.0, 4.0, 0.3) == 0.5
    assert predicted_shrinkage(0.0, 4.0, 0.3) == 0
    assert predicted_shrinkage(-1.0, 4.0, 0.5) == pytest.approx(1 - 1 / (1 + np.exp(-1)) / 0.5)
    weak, strong = (predicted_shrinkage(-1.0, 4.0, effect) for effect in (0.1, -0.9))
    assert weak < 5 * strong < 0, "a strong effect has no room to grow"
    assert 1 - predicted_shrinkage(-50.0, 4.0, 0.4) == pytest.approx(1 / 0.4)
    assert np.isfinite([predicted_shrinkage(-1.0, 4.0, effect) for effect in (0.0, 1.0)]).all()


def test_the_interval_of_a_shrinkage_covers_it() -> None:
    rng, covered, runs = np.random.default_rng(4), 0, 300
    for _ in range(runs):
        model, image = rng.standard_normal((12, 1)), rng.standard_normal((1, 40))
        before = 0.5 + 0.1 * model + 0.15 * image + 0.1 * rng.standard_normal((12, 40))
        after = 0.1 + 0.05 * model + 0.05 * image + 0.1 * rng.standard_normal((12, 40))
        found = shrinkage(before, after, 0.95)
        assert found.mean == pytest.approx(1 - after.mean() / before.mean())
        covered += found.low <= 0.8 <= found.high
    assert 0.91 <= covered / runs <= 0.99
    nothing = shrinkage(np.zeros((3, 4)), np.ones((3, 4)), 0.95)
    assert (nothing.mean, nothing.low, nothing.high) == (0, 0, 0)


def test_beyond_random_is_the_difference_of_shrinkages() -> None:
    rng = np.random.default_rng(5)
    before, after, one, two = (mean + 0.01 * rng.standard_normal((6, 9)) for mean in (1.0, 0.2, 0.9, 1.1))
    found = beyond_random(before, after, [one, two], 0.95)
    others = np.mean([shrinkage(before, other, 0.95).mean for other in (one, two)])
    assert found.mean == pytest.approx(shrinkage(before, after, 0.95).mean - others)
    assert 0.7 < found.low < found.mean < found.high < 0.9
