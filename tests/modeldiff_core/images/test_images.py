"""The pixel functions that augmentations, plants and transformations share."""

import numpy as np
import pytest
import torch

from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.images import (
    LUMINANCE,
    Block,
    add,
    blend,
    color_luminance,
    fill_block,
    in_band,
    luminance,
    shift_all,
    shift_each,
    spatial_frequencies,
    unit,
)

IMAGES = np.random.default_rng(0).integers(256, size=(5, 6, 7, 3), dtype=np.uint8)


def test_bytes_are_rounded_and_clipped_and_pixels_clipped() -> None:
    gray = np.array([0, 100, 255], np.uint8).reshape(1, 1, 3, 1)
    assert add(gray, np.array([0.6])).ravel().tolist() == [1, 101, 255]
    assert add(gray, np.array([-100.4])).ravel().tolist() == [0, 0, 155]
    pixels = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 3, 1)
    assert add(pixels, torch.tensor([0.25])).flatten().tolist() == [0.25, 0.75, 1.0]
    assert add(pixels, torch.tensor([-0.75])).flatten().tolist() == [0.0, 0.0, 0.25]
    assert unit(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)).flatten().tolist() == [0, np.float32(0.2), 1]


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -3), (-1, 0), (5, 6), (0, 1)])
@pytest.mark.parametrize("fill", [0, 51])
def test_one_shift_for_all_is_each_images_own_shift(down: int, right: int, fill: int) -> None:
    shifts = torch.tensor([[down, right]]).expand(len(IMAGES), 2)
    each = shift_each(torch.from_numpy(IMAGES), shifts, 6, fill / 255)
    np.testing.assert_array_equal(shift_all(IMAGES, down, right, fill), each.numpy())
    if (down, right) == (0, 0):
        np.testing.assert_array_equal(each.numpy(), IMAGES)


def test_a_block_is_filled_and_nothing_else() -> None:
    block = Block(1, 2, 3, 4)
    filled = fill_block(IMAGES, block, 9)
    assert (filled[:, 1:4, 2:6] == 9).all()
    outside = np.ones(IMAGES.shape[1:3], dtype=bool)
    outside[1:4, 2:6] = False
    np.testing.assert_array_equal(filled[:, outside], IMAGES[:, outside])
    np.testing.assert_array_equal(fill_block(IMAGES, block, 9, 0.25), blend(IMAGES, filled, 0.25))
    assert block.inside(4, 6)
    assert not any((block.inside(3, 6), block.inside(4, 5), Block(-1, 0, 1, 1).inside(4, 4)))


def test_luminance_of_images_and_of_one_color() -> None:
    np.testing.assert_allclose(luminance(IMAGES), IMAGES @ np.array(LUMINANCE), rtol=1e-6)
    assert luminance(IMAGES).dtype == np.float32
    assert luminance(IMAGES[0], np.float64).dtype == np.float64
    np.testing.assert_array_equal(luminance(IMAGES[..., :1]), IMAGES[..., 0])
    assert color_luminance((255.0, 255.0, 255.0)) == pytest.approx(255)


def test_bands_part_the_spectrum() -> None:
    bands = [in_band(9, 8, low, high) for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 1.0))]
    assert all(band.any() for band in bands)
    assert (np.sum(bands, axis=0) == (spatial_frequencies(9, 8) > 0)).all()


def test_a_check_names_the_whole_key() -> None:
    check = Check("transformations")
    check(True, "sigma", "more than 0", 1)
    with pytest.raises(ConfigError, match="more than 0, got -1") as caught:
        check(False, "sigma", "more than 0", -1)
    assert caught.value.key == "transformations.sigma"
    with pytest.raises(ConfigError) as caught:
        check(False, "", "something", None)
    assert caught.value.key == "transformations"
