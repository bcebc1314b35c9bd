"""Planted features: the exact pixels, the share, the record, and the same draw every time."""

from typing import Any

import numpy as np
import pytest

from modeldiff_core.data import Dataset, Examples, Plant, Watermark
from modeldiff_core.data.cues import Negative
from modeldiff_core.data.plants import planted
from modeldiff_core.errors import ConfigError

MARK = Watermark(top=1, left=2, height=3, width=2)


def gray(count: int = 60, n_classes: int = 3) -> Examples:
    rng = np.random.default_rng(0)
    images = rng.integers(1, 255, size=(count, 6, 5, 2), dtype=np.uint8)
    return Examples(images, np.arange(count) % n_classes, {"source": np.arange(count)})


def test_the_block_is_a_checkerboard() -> None:
    assert MARK.pattern().tolist() == [[255, 0], [0, 255], [255, 0]]


def test_stamping_changes_the_block_on_all_channels_and_nothing_else() -> None:
    images = gray().images
    before = images.copy()
    stamped = MARK.stamp(images)
    np.testing.assert_array_equal(images, before)
    for n, row, column, channel in np.ndindex(*images.shape):
        if 1 <= row < 4 and 2 <= column < 4:
            expected = 255 if (row - 1 + column - 2) % 2 == 0 else 0
        else:
            expected = int(before[n, row, column, channel])
        assert stamped[n, row, column, channel] == expected


@pytest.mark.parametrize(
    "mark", [Watermark(4, 0, 3, 1), Watermark(0, 4, 1, 2), Watermark(-1, 0, 2, 2), Watermark(0, -1, 2, 2)]
)
def test_a_block_outside_the_images_is_refused(mark: Watermark) -> None:
    with pytest.raises(ConfigError, match="a block inside 6×5 images"):
        mark.stamp(gray().images)


@pytest.mark.parametrize(("height", "width"), [(0, 2), (2, 0), (-1, 2)])
def test_a_block_without_pixels_is_refused(height: int, width: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Watermark(1, 1, height, width)
    assert caught.value.key == "dataset.plant.watermark"


@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_the_share_of_one_class_is_stamped_and_recorded(fraction: float) -> None:
    before = gray()
    after = Plant(1, fraction, MARK).apply(before, "train")
    chosen = after.metadata["planted"]
    assert chosen.dtype == bool
    assert chosen.sum() == round(20 * fraction)
    assert set(after.labels[chosen]) == {1}
    np.testing.assert_array_equal(after.images[chosen], MARK.stamp(before.images[chosen]))
    np.testing.assert_array_equal(after.images[~chosen], before.images[~chosen])
    np.testing.assert_array_equal(after.labels, before.labels)
    np.testing.assert_array_equal(after.metadata["source"], before.metadata["source"])
    assert "planted" not in before.metadata


def test_the_draw_is_fixed_by_seed_and_part() -> None:
    def drawn(seed: int, part: str) -> tuple[int, ...]:
        return tuple(np.flatnonzero(Plant(1, 0.5, MARK, seed).apply(gray(), part).metadata["planted"]))

    assert drawn(0, "train") == drawn(0, "train")
    assert len({drawn(0, "train"), drawn(1, "train"), drawn(0, "test")}) == 3


def test_both_parts_of_a_dataset_are_planted() -> None:
    plain = Dataset(gray(60), gray(30), ("a", "b", "c"))
    dataset = planted(plain, Plant(2, 0.5, MARK))
    assert dataset.train.metadata["planted"].sum() == 10
    assert dataset.test.metadata["planted"].sum() == 5
    assert dataset.classes == plain.classes
    assert planted(plain, None) is plain


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError) as caught:
        Plant(1, fraction, MARK)
    assert caught.value.key == "dataset.plant.fraction"


def test_a_class_without_examples_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        Plant(3, 0.5, MARK).apply(gray(), "test")
    assert caught.value.key == "dataset.plant.label"
    assert "test set" in caught.value.expected


def test_a_share_that_marks_nothing_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        Plant(1, 0.01, MARK).apply(gray(), "train")
    assert caught.value.key == "dataset.plant.fraction"


def test_any_cue_can_be_planted() -> None:
    before, cue = gray(), Negative(0.5)
    after = Plant(1, 0.5, cue=cue).apply(before, "train")
    chosen = after.metadata["planted"]
    assert chosen.sum() == 10
    np.testing.assert_array_equal(after.images[chosen], cue.stamp(before.images[chosen]))
    np.testing.assert_array_equal(Plant(1, 0.5, MARK).apply(before, "train").metadata["planted"], chosen)


def test_a_second_plant_adds_to_the_first() -> None:
    once = Plant(1, 0.5, MARK).apply(gray(), "train")
    twice = Plant(2, 0.25, cue=Negative(0.5)).apply(once, "train")
    assert twice.metadata["planted"].sum() == 15
    assert twice.metadata["planted"][once.metadata["planted"]].all()


@pytest.mark.parametrize("given", [{}, {"watermark": MARK, "cue": Negative()}])
def test_a_plant_has_one_feature(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a watermark or a cue") as caught:
        Plant(1, 0.5, **given)
    assert caught.value.key == "dataset.plant"
