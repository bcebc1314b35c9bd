"""Images that are there more than once: found, told, taken out, or kept together in every subset."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.duplicates import find_copies, reduced_images, without_copies
from modeldiff_core.errors import ConfigError
from modeldiff_core.study import load_dataset, parse_study, trainings_of
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.subsets import SubsetSampler
from tests.modeldiff_core.stages.studies import TINY


def pictures(count: int, seed: int = 0, shape: tuple[int, ...] = (32, 32, 3)) -> np.ndarray:
    """Smooth pictures that differ."""
    small = np.random.default_rng(seed).integers(256, size=(count, 4, 4, shape[2]), dtype=np.uint8)
    return small.repeat(shape[0] // 4, 1).repeat(shape[1] // 4, 2)


def dataset(train: np.ndarray, test: np.ndarray, train_labels: Any = None, test_labels: Any = None) -> Dataset:
    parts = [
        Examples(images, np.arange(len(images)) % 2 if labels is None else np.array(labels))
        for images, labels in ((train, train_labels), (test, test_labels))
    ]
    return Dataset(parts[0], parts[1], ("a", "b"))


def told(data: Dataset) -> dict[str, tuple[int, int]]:
    return {one.what: (one.train, one.test) for one in find_copies(data).tallies()}


def test_pictures_that_differ_have_no_copies() -> None:
    for shape in ((32, 32, 3), (8, 8, 1), (4, 4, 1), (28, 20, 2)):
        assert told(dataset(pictures(40, 0, shape), pictures(20, 1, shape))) == {}


def test_exact_and_near_copies_are_counted_where_they_are() -> None:
    train, test = pictures(10), pictures(6, 1)
    train[7] = train[0]  # the same picture in another class
    test[1] = train[2]
    test[2] = train[2]
    near = train[3].astype(int)
    near[::5, ::5] += 1  # what nobody sees, and no mean over 4×4 pixels crosses a level by
    test[5] = np.clip(near, 0, 255)
    found = told(dataset(train, test))
    assert found["exact copies within a part"] == (2, 2)
    assert found["exact copies in training and test alike"] == (1, 2)
    assert found["exact copies of another class"] == (3, 2)
    assert found["near copies in training and test alike"] == (2, 3)


def test_reduction_is_a_mean_of_gray_in_sixteen_levels() -> None:
    image = np.zeros((1, 16, 24, 3), np.uint8)
    image[0, :2, :3] = (255, 255, 255)
    image[0, 2:4, :3] = (0, 100, 0)
    image[0, 0, 3:6] = 80
    reduced = reduced_images(image)[0]
    assert reduced.shape == (8, 8)
    assert reduced[0, 0] == 15
    assert reduced[1, 0] == int(58.7) * 16 // 256
    assert reduced[0, 1] == 40 * 16 // 256
    assert reduced.sum() == 15 + 3 + 2
    digits = Digits(n_train=100, n_test=50).load().train.images
    np.testing.assert_array_equal(reduced_images(digits), digits[..., 0] // 16)


def test_images_of_one_level_are_like_none_but_themselves() -> None:
    gray = np.full((4, 8, 8, 1), 100, np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None, None]
    assert told(dataset(gray, pictures(4, 0, (8, 8, 1)))) == {}
    gray[3] = gray[0]
    assert told(dataset(gray, pictures(4, 0, (8, 8, 1)), [0, 0, 0, 0])) == {"exact copies within a part": (2, 0)}


def test_copies_of_test_images_with_wrong_labels_are_told_and_taken_out() -> None:
    """600 digits of which 20 are copies of test images, 10 of them of another class."""
    plain = Digits(n_train=600, n_test=300).load()
    images, labels = plain.train.images.copy(), plain.train.labels.copy()
    images[:20] = plain.test.images[:20]
    labels[:20] = plain.test.labels[:20]
    labels[:10] = (labels[:10] + 1) % 10
    data = replace(plain, train=replace(plain.train, images=images, labels=labels))
    assert told(data) == {
        "exact copies in training and test alike": (20, 20),
        "exact copies of another class": (10, 10),
    }
    assert [one.split(" are ")[0] for one in data.inventory.remarks] == [
        "20 training and 20 test images",
        "10 training and 10 test images",
    ]
    left = without_copies(data, "exact")
    np.testing.assert_array_equal(left.train.images, images[20:])
    np.testing.assert_array_equal(left.train.labels, labels[20:])
    assert [(one.train, one.what) for one in left.inventory.left_out] == [
        (20, "training images that are test images, too (dataset.duplicates=drop)")
    ]
    assert left.inventory.copies == ()
    assert without_copies(plain, "near") is plain


def test_the_first_of_each_group_stays() -> None:
    train = pictures(6)
    train[3] = train[4] = train[1]
    left = without_copies(dataset(train, pictures(3, 1)), "exact")
    np.testing.assert_array_equal(left.train.images, train[[0, 1, 2, 5]])
    assert [one.train for one in left.notes.left_out] == [2]


def test_what_a_beton_holds_cannot_be_left_out() -> None:
    train = pictures(6)
    train[3] = train[1]
    data = dataset(train, pictures(3, 1))
    data = replace(data, train=replace(data.train, beton="some.beton"))
    with pytest.raises(ConfigError, match=r"dataset\.duplicates=drop, and train from that"):
        without_copies(data, "exact")


@pytest.mark.parametrize("seed", range(3))
def test_masks_have_a_group_whole_or_not_at_all_and_their_full_size(seed: int) -> None:
    groups = np.arange(60)
    groups[[4, 9, 33]] = 4
    groups[[20, 21]] = 20
    sampler = SubsetSampler(60, 0.5, seed, tuple(groups.tolist()))
    masks = sampler.masks(range(200))
    assert (masks.sum(1) == 30).all()
    for group in (4, 20):
        together = masks[:, groups == group]
        assert (together.all(1) | ~together.any(1)).all()
        assert 0.3 < together[:, 0].mean() < 0.7
    np.testing.assert_array_equal(
        SubsetSampler(60, 0.5, seed, tuple(range(60))).masks(range(20)), SubsetSampler(60, 0.5, seed).masks(range(20))
    )


def test_groups_that_fill_no_subset_are_named() -> None:
    with pytest.raises(ConfigError, match=r"subsets\.fraction: expected a share .* whole groups") as caught:
        SubsetSampler(9, 0.5, 0, (0, 0, 0, 1, 1, 1, 2, 2, 2)).masks([0])
    assert "dataset.duplicates=drop" in str(caught.value)


def test_the_choice_is_part_of_a_study_only_where_it_is_made(tmp_path: Any) -> None:
    data = Digits(n_train=200, n_test=40).load()
    images = data.train.images.copy()
    images[150:] = images[:50]
    path = tmp_path / "twice.npz"
    np.savez(
        path,
        x_train=images,
        y_train=np.concatenate([data.train.labels[:150], data.train.labels[:50]]),
        x_test=data.test.images,
        y_test=data.test.labels,
    )
    named = {"kind": "npz", "path": str(path)}
    studies = {
        choice: parse_study({**TINY, "dataset": {**named, **({"duplicates": choice} if choice else {})}})
        for choice in ("", "go_on", "group", "drop")
    }
    assert studies["go_on"].model_dump() == studies[""].model_dump()
    assert "duplicates" not in studies[""].model_dump()["dataset"]
    trainings = {name: trainings_of(study, load_dataset(study.dataset))[0] for name, study in studies.items()}
    assert trainings["go_on"].digest == trainings[""].digest
    assert len({one.digest for one in trainings.values()}) == 3
    masks = trainings["group"].design(200).masks(range(10))
    np.testing.assert_array_equal(masks[:, 150:], masks[:, :50])
    assert len(trainings["drop"].load().train) == 150
    assert parse_study(studies["drop"].model_dump(mode="json")) == studies["drop"]
    with pytest.raises(ConfigError):
        parse_study({**TINY, "dataset": {**named, "duplicates": "perhaps"}})
    assert DatasetConfig.model_validate({**named, "duplicates": "group", "duplicates_by": "exact"}).groups == "exact"
