"""Several differences at once: how many stand out, and directions of one each."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from modeldiff_core.comparison.contrast import Contrast, Fits, Sample, centered, contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.differences import naming_differences, shared_targets, standing_alone
from modeldiff_core.comparison.effect_sizes import effect_sizes
from modeldiff_core.comparison.leading import leading_vectors
from modeldiff_core.comparison.rotation import varimax
from tests.modeldiff_core.comparison.planted_margins import masks_of

BLOCKS = ((slice(0, 6), slice(0, 4)), (slice(20, 26), slice(10, 14)), (slice(40, 46), slice(20, 24)))
"""Training examples and targets of each difference that may be planted."""


def study(
    planted: int, seed: int = 0, blocks: tuple[tuple[slice, slice], ...] = BLOCKS
) -> tuple[Sample, Fits, Contrast]:
    """Return a sample of 400 models in which A relies on so many blocks that B does not rely on."""
    rng = np.random.default_rng([seed, 5])
    of_b = rng.normal(size=(40, 4)) @ rng.normal(size=(4, 60)) + rng.normal(size=(40, 60))
    of_a = of_b.copy()
    for train, targets in blocks[:planted]:
        of_a[targets, train] += 8
    masks = masks_of(rng, 400, 60)
    deviation = np.sqrt(0.25 * np.square(of_b).sum(1))
    a, b = (masks @ of.T + deviation * rng.normal(size=(400, 40)) for of in (of_a, of_b))
    sample = sample_of((masks, masks), (a.astype(np.float32), b.astype(np.float32)))
    return sample, sample.fits(), contrast_of(sample, sample.fits())


def block(number: int) -> np.ndarray:
    direction = np.zeros(60)
    direction[BLOCKS[number][0]] = 1
    return direction / np.linalg.norm(direction)


@pytest.mark.parametrize("planted", [0, 1, 2, 3])
def test_as_many_differences_are_named_as_are_planted(planted: int) -> None:
    sample, fits, contrast = study(planted)
    assert naming_differences(contrast, sample, fits, 4, 0).differences == max(planted, 1)
    assert naming_differences(contrast, sample, fits, 1, 0).leading == 1


def test_each_of_two_differences_has_a_direction_of_its_own() -> None:
    sample, fits, contrast = study(2)
    mixed = find_contrast(contrast, fits, 3)
    found = find_contrast(contrast.naming(2), fits, 3)
    alike, before = (np.abs(one.directions[:2] @ np.stack([block(0), block(1)]).T) for one in (found, mixed))
    assert sorted(alike.argmax(1)) == [0, 1]
    assert alike.max(1).min() > 0.85 > before.max(1).min()
    assert found.eigenvalues[0] >= found.eigenvalues[1] > found.eigenvalues[2]
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(3), atol=1e-5)
    sizes = effect_sizes(sample, fits, contrast.naming(2), found)
    assert sizes.stability[:2].min() > 0.6
    assert all(sizes.difference(rank).low > 0 for rank in (0, 1))


def test_one_difference_is_found_as_it_is_without_the_count() -> None:
    sample, fits, contrast = study(1)
    named = naming_differences(contrast, sample, fits, 4, 0)
    first, again = (find_contrast(one, fits, 2) for one in (contrast, named))
    np.testing.assert_array_equal(first.directions, again.directions)


def test_parts_of_one_difference_are_named_as_one() -> None:
    """Half of the block's targets follow half of its training examples, half the other, and each a little of both."""
    parts = ((slice(0, 6), slice(0, 4)), (slice(6, 12), slice(0, 4)))
    sample, fits, contrast = study(1, blocks=parts)
    rng = np.random.default_rng(3)
    a = sample.a.copy()
    along = sample.masks[0][:, 6:12].sum(1) - 3.0
    a[:, :4] += 0.8 * along[:, None] * rng.choice([-1.0, 1.0], size=4)
    both = Sample(a, sample.b, sample.halves, sample.paired, sample.units, sample.share, sample.masks)
    fits = both.fits()
    rows = centered(contrast.naming(2).rows(fits)[0])
    found = leading_vectors(*rows, 2)
    assert np.einsum("ij,ij->j", rows[0] @ found, rows[1] @ found).min() > 1, "two directions are there"
    assert shared_targets(rows, varimax(found)) > 0.3
    assert naming_differences(contrast, both, fits, 4, 0).differences == 1


def test_targets_are_shared_as_far_as_both_directions_move_them() -> None:
    rows = np.zeros((4, 3), np.float32)
    rows[:2, 0], rows[2:, 1], rows[:, 2] = 1, 2, 1
    axes = np.eye(3, dtype=np.float32)
    assert shared_targets((rows, rows), axes[:, :2]) == 0
    assert shared_targets((rows, rows), axes[:, [0, 2]]) == pytest.approx(0.5)
    assert shared_targets((rows, rows), axes[:, :1]) == 0, "one direction shares with none"
    assert shared_targets((rows, -rows), axes[:, [0, 2]]) == 0, "noise of the halves is no variance"


def test_each_difference_after_the_first_is_tested_without_all_others() -> None:
    contrast, axes = Contrast(np.ones(5)).naming(3), np.eye(6)
    assert standing_alone(contrast, axes, 0) == Contrast(contrast.weights)
    for rank, others in ((1, [0, 2]), (2, [0, 1])):
        alone = standing_alone(contrast, axes, rank)
        assert alone.removed is not None
        np.testing.assert_array_equal(alone.removed, axes[:, others])
        assert alone.leading == 2


def test_rotation_gives_back_columns_that_rest_on_few_entries() -> None:
    rng = np.random.default_rng(0)
    sparse = np.zeros((50, 3))
    for column, rows in enumerate((slice(0, 8), slice(8, 12), slice(30, 45))):
        sparse[rows, column] = rng.random(sparse[rows].shape[0]) + 0.5
    sparse /= np.linalg.norm(sparse, axis=0)
    mixed = sparse @ ortho_group.rvs(3, random_state=1)
    assert np.abs(mixed.T @ sparse).max() < 0.99
    found = varimax(mixed)
    np.testing.assert_allclose(np.sort(np.abs(found.T @ sparse), 1)[:, -1], 1, atol=1e-5)
    assert (np.take_along_axis(found, np.abs(found).argmax(0)[None], 0) > 0).all()


@pytest.mark.parametrize("train", [80, 400])
def test_leading_vectors_are_those_of_the_whole_matrix(train: int) -> None:
    rng = np.random.default_rng(4)
    x, y = (rng.normal(size=(50, train)).astype(np.float32) for _ in "xy")
    found = leading_vectors(x, y, 3)
    oracle = np.linalg.eigh((x.T @ y + y.T @ x).astype(float) / 2)[1][:, :-4:-1]
    assert np.abs(np.einsum("ij,ij->j", found, oracle)).min() > 0.999
