"""Data sets with known features: the values are as stated, randomizing is exact, and Bayes accuracies are met."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeldiff_core.data import SOURCES
from modeldiff_core.data.block_images import BlockImages
from modeldiff_core.data.dominoes import Dominoes
from modeldiff_core.data.featured import FeaturedData
from modeldiff_core.data.image_sets import ImageSet
from modeldiff_core.data.one_hot import OneHot
from modeldiff_core.data.slabs import SPAN, Coordinates, Slabs
from modeldiff_core.errors import ConfigError
from modeldiff_core.settings import build_settings

MIXED = Slabs(
    (Coordinates("linear"), Coordinates("5-slab", 2), Coordinates("7-slab", 3), Coordinates("normal", 2)), 600, 400
)
SMALL: dict[str, Any] = {
    "slabs": MIXED,
    "dominoes": Dominoes(n_train=60, n_test=40),
    "beside": Dominoes(ImageSet("digits", (0, 1)), ImageSet("digits", (3, 8)), 0.75, "beside", 60, 40),
    "block_images": BlockImages(n_train=60, n_test=40),
    "top": BlockImages(position="top", n_train=60, n_test=40),
    "one_hot": OneHot(6, 60, 40),
}
SORTED = {name: source.featured() for name, source in SMALL.items()}


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), taken=st.integers(1, 15))
def test_randomizing_keeps_marginals_and_breaks_the_joint_only_where_said(name: str, seed: int, taken: int) -> None:
    part = SORTED[name].test
    names = [feature for at, feature in enumerate(part.values) if taken >> at & 1] or [next(iter(part.values))]
    order = np.random.default_rng(seed).permutation(len(part))
    found = part.randomized(names, order)
    np.testing.assert_array_equal(found.labels, part.labels)
    for feature, values in part.values.items():
        expected = values[order] if feature in names else values
        np.testing.assert_array_equal(found.values[feature], expected)  # to the last bit
    back = found.randomized(names, np.argsort(order))
    np.testing.assert_array_equal(back.inputs(), part.inputs())


@pytest.mark.parametrize("name", SMALL)
def test_the_same_settings_give_the_same_examples_and_another_seed_others(name: str) -> None:
    source = SMALL[name]
    same, other = (type(source)(**{**vars(source), "seed": seed}).featured().train for seed in (0, 1))
    np.testing.assert_array_equal(same.inputs(), SORTED[name].train.inputs())
    assert (same.inputs() != other.inputs()).any()


@pytest.mark.parametrize("name", SMALL)
def test_images_of_bytes_are_the_inputs(name: str) -> None:
    data, images = SORTED[name], SMALL[name].load()
    np.testing.assert_array_equal(images.test.labels, data.test.labels)
    low, high = (-SPAN, SPAN) if name == "slabs" else (-1, 1) if name == "one_hot" else (0, 1)
    read = images.test.images / 255 * (high - low) + low
    assert np.abs(read - np.clip(data.test.inputs(), low, high)).max() <= (high - low) / 255 / 2 + 1e-6
    assert images.classes == data.classes
    assert np.bincount(images.train.labels).min() == len(images.train) // len(images.classes)


def test_a_rotation_is_orthogonal_and_is_undone_by_its_transpose() -> None:
    part = SORTED["slabs"].test
    assert part.rotation is not None
    assert part.columns is not None
    np.testing.assert_allclose(part.rotation @ part.rotation.T, np.eye(8), atol=1e-12)
    back = part.draw(part.values).reshape(len(part), -1) @ part.rotation.T
    for name, columns in part.columns.items():
        np.testing.assert_allclose(back[:, columns], part.values[name], atol=1e-12)


@pytest.mark.parametrize("slabs", [3, 5, 7])
def test_slabs_lie_where_they_should_and_alternate(slabs: int) -> None:
    labels = np.arange(4000) % 2
    x = Coordinates(f"{slabs}-slab").drawn(labels, 0.1, np.random.default_rng(0))[:, 0]  # type: ignore[arg-type]
    width = (2 - 2 * (slabs - 1) * 0.1) / slabs
    starts = -1 + np.arange(slabs) * (width + 0.2)
    inside = (x[:, None] >= starts - 1e-9) & (x[:, None] <= starts + width + 1e-9)
    assert (inside.sum(1) == 1).all()
    slab = inside.argmax(1)
    assert set(slab) == set(range(slabs))
    np.testing.assert_array_equal((slab + slabs // 2) % 2, labels)
    assert abs(np.corrcoef(x, labels)[0, 1]) < 0.06  # no line tells the classes apart


def test_the_noisy_coordinate_is_right_as_often_as_its_bayes_accuracy() -> None:
    labels = np.arange(40_000) % 2
    feature = Coordinates("noisy_linear", 1, 0.1)
    x = feature.drawn(labels, 0.1, np.random.default_rng(0))[:, 0]
    assert feature.bayes() == 0.95
    assert abs(((x > 0) == labels).mean() - 0.95) < 0.005
    assert abs((np.abs(x) < 0.1).mean() - 0.1) < 0.01


def test_bayes_accuracies_of_features_together() -> None:
    noisy = Slabs((Coordinates("noisy_linear", 2, 0.2), Coordinates("normal", 3), Coordinates("3-slab", 1)), 10, 10)
    data = noisy.featured()
    assert data.bayes_accuracy(["noisy_linear"]) == pytest.approx(1 - 0.04 / 2)
    assert data.bayes_accuracy(["normal"]) == 0.5
    assert data.bayes_accuracy(["noisy_linear", "normal"]) == pytest.approx(0.98)
    assert data.bayes_accuracy(["noisy_linear", "3-slab"]) == 1.0
    beside: FeaturedData = SORTED["beside"]
    assert [beside.bayes_accuracy(names) for names in (["first"], ["second"], [])] == [0.75, 1.0, 0.5]


def test_dominoes_agree_as_often_as_said_and_stand_where_they_should() -> None:
    data = SORTED["beside"].train
    assert data.inputs().shape[1:] == (8, 16, 1)
    digits = {name: data.values[name] for name in ("first", "second")}
    zero_or_one = digits["first"][:, 3:5, 3:5, 0].sum((1, 2)) > 1.2  # a zero is empty in the middle
    assert abs((zero_or_one == data.labels).mean() - 0.75) < 0.06
    np.testing.assert_array_equal(data.inputs()[:, :, :8], digits["first"])
    for name in digits:
        np.testing.assert_array_equal(data.inputs()[data.pixels(name)].reshape(60, -1), digits[name].reshape(60, -1))


def test_block_images_hold_both_blocks_once_and_the_null_block_never_changes() -> None:
    data = SORTED["block_images"].train
    assert np.bincount(data.values["position"]).tolist() == [30, 30]
    pixels = data.inputs()
    null = pixels[data.pixels("null")].reshape(60, -1)
    assert (null == null[0]).all()
    assert null[0].sum() == 5**2 - 1  # a square of five pixels, two thick
    np.testing.assert_array_equal(pixels[data.pixels("signal")].reshape(60, -1), data.values["signal"].reshape(60, -1))
    assert (data.pixels("null") ^ data.pixels("signal")).all()
    assert not SORTED["top"].train.values["position"].any()


def test_one_coordinate_of_a_one_hot_example_is_its_label() -> None:
    data = SORTED["one_hot"].test
    flat = data.inputs().reshape(40, 6)
    np.testing.assert_array_equal(np.abs(flat).sum(1), 1)
    np.testing.assert_array_equal(flat.sum(1), 2 * data.labels - 1)
    np.testing.assert_array_equal(data.pixels("sign").reshape(40, 6), flat != 0)


def test_small_images_are_centered_and_gray_beside_color_has_three_channels(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 12, 12, 3), dtype=np.uint8), np.arange(20) % 2
    path = tmp_path / "color.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    data = Dominoes(ImageSet("digits", (0, 1)), ImageSet("npz", (0, 1), str(path)), n_train=10, n_test=10).load()
    assert data.image_shape == (24, 12, 3)
    assert not data.train.images[:, :2].any()
    assert data.train.images[:, 2:10, 2:10].any()
    np.testing.assert_array_equal(data.train.images[:, :12, :, 0], data.train.images[:, :12, :, 2])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("slabs", {"coordinates": []}, r"dataset.coordinates: expected features with distinct names"),
        ("slabs", {"coordinates": [{"kind": "linear"}, {"kind": "linear"}]}, "dataset.coordinates: expected features"),
        ("slabs", {"coordinates": [{"kind": "4-slab"}]}, "dataset.coordinates"),
        ("slabs", {"margin": 0.0}, r"dataset.margin: expected a margin in"),
        ("dominoes", {"first": {"classes": [1]}}, r"dataset.first.classes: expected two or more distinct classes"),
        ("dominoes", {"second": {"classes": [1, 2, 3]}}, r"dataset.second.classes: expected 2 classes"),
        ("dominoes", {"second": {"classes": [1, 12]}}, r"dataset.second.classes: expected classes in 0..9"),
        ("dominoes", {"agreement": 0.4}, r"dataset.agreement: expected a share in"),
        ("dominoes", {"first": {"images": "cifar10"}}, r"dataset.first.path: expected the path of the images"),
        ("block_images", {"side": 9}, r"dataset.side: expected at most 8, the shorter side of the images, got 9"),
        ("block_images", {"side": 0}, r"dataset.side: expected 1 or more"),
        ("block_images", {"signal": {"classes": [4]}}, r"dataset.signal.classes: expected two or more"),
        ("one_hot", {"dimension": 1}, r"dataset.dimension: expected 2 or more"),
    ],
)
def test_what_gives_no_data_is_refused_by_its_key(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_settings(SOURCES.get(kind), options, "dataset").load()


def test_a_name_that_no_feature_has_is_refused() -> None:
    part = SORTED["slabs"].test
    with pytest.raises(ConfigError, match=r"features: expected one of linear, 5-slab, 7-slab, normal, got 'color'"):
        part.randomized(["color"], np.arange(400))
    with pytest.raises(ConfigError, match=r"dataset: expected examples whose features have a place"):
        part.pixels("linear")
