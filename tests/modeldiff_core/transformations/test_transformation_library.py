"""Every kind: the identity at intensity 0, pure, image by image; and each against a direct computation."""

from collections.abc import Callable
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.data import Watermark
from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations import TRANSFORMATIONS, Transformation
from modeldiff_core.transformations.filters import Band, Blur, Contrast, Grey, HighPass, LowPass, Noise
from modeldiff_core.transformations.geometry import Crop, Rotate, Translate
from modeldiff_core.transformations.library import Chain
from modeldiff_core.transformations.paper import BlackWhiteTexture, PolkaDots, Rectangle, SpiderWeb, YellowSquare
from modeldiff_core.transformations.patches import Occlusion, Overlay, Patch, Stamp, Tint, WatermarkPatch
from modeldiff_core.transformations.patterns import Pattern, Texture

EXAMPLES: dict[str, Transformation] = {
    "band": Band(0.1, 0.3),
    "black_white_texture": BlackWhiteTexture(4),
    "blur": Blur(1.5),
    "chain": Chain((Translate(1, 1), Tint(200, 30, 90))),
    "contrast": Contrast(0.8),
    "crop": Crop(0.5, row=0.0),
    "grey": Grey(),
    "high_pass": HighPass(0.2),
    "low_pass": LowPass(0.2),
    "noise": Noise(0.1, seed=3),
    "occlude": Occlusion(1, 0, 3, 4),
    "overlay": Overlay(((9, -20), (40, 3))),
    "patch": Patch(0, 1, 2, 2, 200),
    "pattern": Pattern("stripes", period=4),
    "polka_dots": PolkaDots(0.3),
    "rectangle": Rectangle(5),
    "rotate": Rotate(20.0, fill=10),
    "spider_web": SpiderWeb(0.4, seed=2),
    "stamp": Stamp(1, 2, ((0, 255), (200, 7))),
    "texture": Texture(0.1, 0.4),
    "tint": Tint(200, 30, 90),
    "translate": Translate(2, -4, fill=7),
    "watermark": WatermarkPatch(2, 1, 3, 3),
    "yellow_square": YellowSquare(),
}
KINDS = sorted(EXAMPLES)
COLOR = {"grey", "yellow_square"}
"""Kinds for images in color."""
ELSEWHERE = {
    "background",
    "face",
    "insert_token",
    "mask_tokens",
    "place",
    "replace_token",
    "set_column",
    "shift_column",
}
"""Kinds that need a mask or a file, see test_backgrounds and test_places; of no images, see test_columns_and_words."""


def smooth(channels: int = 3) -> np.ndarray:
    """Slopes, each image another, so that a stronger change of any kind moves more pixels further."""
    n, rows, columns, channel = np.indices((4, 9, 12, channels))
    return (20 + 15 * rows + (3 + n) * columns + 5 * channel).astype(np.uint8)


def test_every_built_in_kind_is_tried_here() -> None:
    assert {kind: type(example) for kind, example in EXAMPLES.items()} == {
        kind: TRANSFORMATIONS.get(kind) for kind in TRANSFORMATIONS.names() if kind not in ELSEWHERE
    }


@pytest.mark.parametrize("kind", KINDS)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(8, 12), st.integers(8, 12), st.sampled_from([1, 3])),
    seed=st.integers(0, 1000),
)
def test_intensity_0_is_the_identity(kind: str, shape: tuple[int, int, int, int], seed: int) -> None:
    size = (*shape[:3], 3) if kind in COLOR else shape
    images = np.random.default_rng(seed).integers(0, 256, size=size, dtype=np.uint8)
    np.testing.assert_array_equal(EXAMPLES[kind](images, 0.0), images)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_more_intensity_changes_more_and_the_images_given_stay(kind: str, channels: int) -> None:
    images = smooth(3 if kind in COLOR else channels)
    before = images.copy()
    half, full = (EXAMPLES[kind](images, intensity) for intensity in (0.5, 1.0))
    np.testing.assert_array_equal(images, before)
    assert half.dtype == full.dtype == np.uint8
    moved_half, moved_full = (np.abs(changed.astype(int) - images).sum() for changed in (half, full))
    assert 0 < moved_half < moved_full


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_changed_alike_in_every_batch_and_every_time(kind: str) -> None:
    images = smooth()
    together = EXAMPLES[kind](images, 0.7)
    assert (together != images).any()
    np.testing.assert_array_equal(EXAMPLES[kind](images, 0.7), together)
    np.testing.assert_array_equal(EXAMPLES[kind](images[::-1], 0.7)[::-1], together)
    for n in range(len(images)):
        np.testing.assert_array_equal(EXAMPLES[kind](images[n : n + 1], 0.7)[0], together[n])


def inside(row: int, column: int, top: int, left: int, height: int, width: int) -> bool:
    return top <= row < top + height and left <= column < left + width


def test_a_watermark_at_full_intensity_is_the_planted_one() -> None:
    stamped = Watermark(2, 1, 3, 4).stamp(smooth())
    np.testing.assert_array_equal(WatermarkPatch(2, 1, 3, 4)(smooth(), 1.0), stamped)


def test_an_overlay_adds_each_cell_to_its_part_of_the_image() -> None:
    images = smooth()
    changed = Overlay((((9, -20, 0), 40), (-3, 7), (0, 255)))(images, 0.5)
    expected = images.astype(float)
    for row, cells in enumerate((((9, -20, 0), 40), (-3, 7), (0, 255))):
        for column, cell in enumerate(cells):
            expected[:, 3 * row : 3 * row + 3, 6 * column : 6 * column + 6] += 0.5 * np.array(cell)
    np.testing.assert_array_equal(changed, np.clip(np.rint(expected), 0, 255))
    assert len(np.unique(changed.astype(int) - images)) > 5


@pytest.mark.parametrize(
    ("cells", "shape"),
    [(((1,), (2,), (3,)), (2, 9, 1)), (((1, 2, 3),), (9, 2, 1)), ((((1, 2, 3),),), (9, 9, 1))],
)
def test_an_overlay_that_does_not_suit_the_images_is_refused(cells: tuple, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError):
        Overlay(cells).check(shape)


@pytest.mark.parametrize("cells", [(), ((),), ((1, 2), (3,)), ((256,),), (((0, 0, -256),),)])
def test_an_overlay_that_is_no_picture_of_changes_is_refused(cells: tuple) -> None:
    with pytest.raises(ConfigError, match="cells"):
        Overlay(cells)


@pytest.mark.parametrize(
    ("transformation", "block", "target"),
    [
        (WatermarkPatch(2, 1, 3, 4), (2, 1, 3, 4), lambda image, row, column, channel: 255 * ((row + column) % 2)),
        (Patch(0, 8, 2, 4, 90), (0, 8, 2, 4), lambda image, row, column, channel: 90),
        (Patch(0, 0, 9, 1, (1, 2, 250)), (0, 0, 9, 1), lambda image, row, column, channel: (1, 2, 250)[channel]),
        (Occlusion(3, 3, 2, 2), (3, 3, 2, 2), lambda image, row, column, channel: image[..., channel].mean()),
    ],
)
def test_a_block_is_blended_in(
    transformation: Transformation,
    block: tuple[int, int, int, int],
    target: Callable[[np.ndarray, int, int, int], float],
) -> None:
    images, intensity = smooth(), 0.3
    changed = transformation(images, intensity)
    for n, row, column, channel in np.ndindex(*images.shape):
        pixel = float(images[n, row, column, channel])
        if inside(row, column, *block):
            pixel = (1 - intensity) * pixel + intensity * target(images[n], row, column, channel)
        assert abs(changed[n, row, column, channel] - pixel) <= 0.5 + 1e-3


def test_a_tint_blends_its_color_and_on_gray_images_its_brightness() -> None:
    tint = Tint(red=200, green=100, blue=0, opacity=0.5)
    color = np.full((1, 2, 2, 3), 40, dtype=np.uint8)
    assert tint(color, 0.4)[0, 1, 0].tolist() == [72, 52, 32]
    gray = np.full((1, 2, 2, 1), 40, dtype=np.uint8)
    brightness = 0.299 * 200 + 0.587 * 100
    assert tint(gray, 0.4)[0, 0, 1, 0] == round(0.8 * 40 + 0.2 * brightness)


def test_noise_has_its_deviation_is_scaled_by_intensity_and_fixed_by_seed_and_image() -> None:
    images = np.stack([np.full((60, 50, 3), value, dtype=np.uint8) for value in (120, 121)])
    full = Noise(0.05, seed=1)(images, 1.0).astype(float) - images
    n = full[0].size
    assert abs(full.mean()) < 4 * 12.75 / np.sqrt(2 * n)
    assert abs(full.std() / 12.75 - 1) < 4 / np.sqrt(4 * n)
    half = Noise(0.05, seed=1)(images, 0.5).astype(float) - images
    assert np.abs(half - full / 2).max() <= 0.75
    for other in (full[1], Noise(0.05, seed=2)(images, 1.0)[0].astype(float) - images[0]):
        assert abs(np.corrcoef(full[0].ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(n)


def test_blur_spreads_a_point_as_a_gaussian() -> None:
    image = np.zeros((1, 15, 15, 1), dtype=np.uint8)
    image[0, 7, 7] = 255
    sigma = 2.0 * 0.6
    weights = [exp(-((at - 7) ** 2) / (2 * sigma**2)) for at in range(15)]
    blurred = Blur(2.0)(image, 0.6)
    assert blurred.max() > 20
    for row, column in np.ndindex(15, 15):
        expected = 255 * weights[row] * weights[column] / sum(weights) ** 2
        assert abs(blurred[0, row, column, 0] - expected) <= 0.51


def test_contrast_draws_every_pixel_to_the_mean_of_its_image() -> None:
    images = smooth()
    means = images.mean(axis=(1, 2, 3))
    assert len(set(np.rint(means))) == len(means)
    for image, mean in zip(Contrast()(images, 1.0), means, strict=True):
        np.testing.assert_array_equal(image, round(mean))
    for image, changed, mean in zip(images, Contrast(0.5)(images, 0.5), means, strict=True):
        assert np.abs(changed - (0.75 * image + 0.25 * mean)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("rows", [-4, 0, 3])
@pytest.mark.parametrize("columns", [-5, 0, 2])
@pytest.mark.parametrize("intensity", [0.5, 1.0])
def test_translation_moves_whole_pixels(rows: int, columns: int, intensity: float) -> None:
    images = smooth()
    moved = Translate(rows, columns, fill=9)(images, intensity)
    down, right = round(rows * intensity), round(columns * intensity)
    for n, row, column, channel in np.ndindex(*images.shape):
        source = row - down, column - right
        there = 0 <= source[0] < images.shape[1] and 0 <= source[1] < images.shape[2]
        assert moved[n, row, column, channel] == (images[n, *source, channel] if there else 9)


def test_rotation_is_counterclockwise_exact_at_right_angles_and_fills() -> None:
    square = smooth()[:, :, :9]
    for turns in (1, 2, 3):
        expected = np.rot90(square, turns, axes=(1, 2))
        assert (expected != square).any()
        np.testing.assert_array_equal(Rotate(90.0 * turns)(square, 1.0), expected)
    np.testing.assert_array_equal(Rotate(180.0)(square, 0.5), np.rot90(square, 1, axes=(1, 2)))
    tilted = Rotate(45.0, fill=77)(square, 1.0)
    assert (tilted[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 77).all()
    np.testing.assert_array_equal(tilted[:, 4, 4], square[:, 4, 4])


def waves(coarse: float, fine: float) -> np.ndarray:
    """Mean 128, a coarse wave across (2 cycles in 16 pixels) and a fine one down (6 cycles in 16 pixels)."""
    rows, columns = np.indices((16, 16))
    wave = coarse * np.cos(2 * np.pi * 2 * columns / 16) + fine * np.cos(2 * np.pi * 6 * rows / 16)
    return np.rint(128 + wave).astype(np.uint8)[None, :, :, None]


def test_the_passes_part_coarse_from_fine_waves() -> None:
    both, coarse, fine = waves(50, 30).astype(int), waves(50, 0).astype(int), waves(0, 30).astype(int)
    assert np.abs(LowPass(0.25)(waves(50, 30), 1.0) - coarse).max() <= 2
    assert np.abs(HighPass(0.25)(waves(50, 30), 1.0) - fine).max() <= 2
    assert np.abs(LowPass(0.25)(waves(50, 30), 0.5) - (both + coarse) / 2).max() <= 2
    # Down the rows and across the columns, whichever of them is the half spectrum.
    turned = np.swapaxes(waves(50, 30), 1, 2)
    assert np.abs(LowPass(0.25)(turned, 1.0) - np.swapaxes(coarse, 1, 2)).max() <= 2


def test_a_stamp_is_pasted_pixel_by_pixel() -> None:
    images = smooth()
    changed = Stamp(2, 3, ((7, (1, 2, 3)), ((9, 8, 7), 250)))(images, 1.0)
    assert changed[1, 2:4, 3:5].tolist() == [[[7, 7, 7], [1, 2, 3]], [[9, 8, 7], [250, 250, 250]]]
    changed[:, 2:4, 3:5] = images[:, 2:4, 3:5]
    np.testing.assert_array_equal(changed, images)


def test_gray_is_luminance_and_a_chain_goes_one_after_the_other() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    expected = np.rint(images @ np.array([0.299, 0.587, 0.114]))
    for channel in range(3):
        assert np.abs(Grey()(images, 1.0)[..., channel] - expected).max() <= 1
    chain = Chain((Translate(0, 1, fill=9), Grey()))
    np.testing.assert_array_equal(chain(images, 1.0), Grey()(Translate(0, 1, fill=9)(images, 1.0), 1.0))
    with pytest.raises(ConfigError, match="images in color"):
        chain.check((4, 4, 1))


def test_a_band_is_multiplied_and_the_rest_stays() -> None:
    both, coarse = waves(30, 20).astype(int), waves(30, 0).astype(int)
    fine = both - coarse
    assert np.abs(Band(0.25, 0.5, gain=2.0)(waves(30, 20), 1.0) - (both + fine)).max() <= 2
    assert np.abs(Band(0.25, 0.5, gain=0.0)(waves(30, 20), 1.0) - coarse).max() <= 2
    assert np.abs(Band(0.25, 0.5, gain=2.0)(waves(30, 20), 0.5) - (both + fine / 2)).max() <= 2


def test_a_crop_enlarges_its_part_of_the_image() -> None:
    images = np.zeros((1, 8, 8, 1), dtype=np.uint8)
    images[0, :4, 4:] = 200
    assert (Crop(0.5, row=0.0, column=1.0)(images, 1.0) == 200).all()
    assert (Crop(0.5, row=1.0, column=0.0)(images, 1.0) == 0).all()
    ramp = np.broadcast_to(10 * np.arange(8, dtype=np.uint8)[:, None, None], (1, 8, 8, 1)).copy()
    expected = [20, 22.5, 27.5, 32.5, 37.5, 42.5, 47.5, 50]
    assert np.abs(Crop(0.5)(ramp, 1.0)[0, :, 3, 0] - expected).max() <= 0.5
    np.testing.assert_array_equal(Crop(0.5)(ramp, 0.02), ramp)


def test_patterns_repeat_and_are_blended() -> None:
    images = np.full((1, 16, 16, 1), 100, dtype=np.uint8)
    stripes = Pattern("stripes", period=4, opacity=0.4)(images, 0.5)[0, :, :, 0]
    assert stripes[3].tolist() == [80, 80, 131, 131] * 4
    checker = Pattern("checker", period=4, opacity=1.0)(images, 1.0)[0, :, :, 0]
    assert checker[:3, :4].tolist() == [[0, 0, 255, 255]] * 2 + [[255, 255, 0, 0]]
    dots = Pattern("polka_dots", period=8, opacity=1.0, light=(9, 8, 7))(np.repeat(images, 3, axis=3), 1.0)
    assert dots[0, 3:5, 3:5].reshape(-1, 3).tolist() == [[9, 8, 7]] * 4
    np.testing.assert_array_equal(dots[0, :8, :8], dots[0, :8, 8:])
    np.testing.assert_array_equal(dots[0, 8:, 4:12], dots[0, :8, :8])
    assert 0.15 < (dots[..., 0] == 9).mean() < 0.4


def test_a_texture_has_its_band_and_amplitude_and_is_the_same_on_every_image() -> None:
    images = np.full((2, 40, 48, 1), 128, dtype=np.uint8)
    added = Texture(0.1, 0.2, amplitude=0.1, seed=1)(images, 1.0)[..., 0].astype(float) - 128
    np.testing.assert_array_equal(added[0], added[1])
    assert added[0].std() == pytest.approx(25.5, rel=0.02)
    power = np.abs(np.fft.fft2(added[0])) ** 2
    radius = np.hypot(np.fft.fftfreq(40)[:, None], np.fft.fftfreq(48))
    assert power[(radius > 0.1) & (radius <= 0.2)].sum() > 0.99 * power.sum()
    other = Texture(0.1, 0.2, amplitude=0.1, seed=2)(images, 1.0)[0, ..., 0].astype(float) - 128
    assert abs(np.corrcoef(other.ravel(), added[0].ravel())[0, 1]) < 0.3
    with pytest.raises(ConfigError, match="a band that 8×8 images can hold"):
        Texture(0.01, 0.02).check((8, 8, 1))


@pytest.mark.parametrize(
    ("transformation", "shape", "said"),
    [
        (Patch(0, 0, 9, 2), (8, 8, 1), "a block inside 8×8 images"),
        (WatermarkPatch(0, 7, 1, 2), (8, 8, 1), "a block inside 8×8 images"),
        (Occlusion(7, 0, 2, 1), (8, 8, 3), "a block inside 8×8 images"),
        (Patch(0, 0, 2, 2, (1, 2, 3)), (8, 8, 1), "one value for images of 1 channel"),
        (Tint(1, 2, 3), (8, 8, 4), "gray or RGB images"),
        (Translate(rows=-8), (8, 9, 1), "a shift that leaves a part of 8×9 images"),
        (Translate(columns=9), (10, 9, 1), "a shift that leaves a part of 10×9 images"),
    ],
)
def test_images_that_do_not_suit_are_refused(
    transformation: Transformation, shape: tuple[int, int, int], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        transformation.check(shape)
    assert caught.value.key == "transformations"
    transformation.check((12, 12, 3))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Patch(-1, 0, 1, 1), "top"),
        (lambda: Patch(0, -1, 1, 1), "left"),
        (lambda: Occlusion(0, 0, 0, 1), "height"),
        (lambda: WatermarkPatch(0, 0, 1, 0), "width"),
        (lambda: Patch(0, 0, 1, 1, 256), "value"),
        (lambda: Patch(0, 0, 1, 1, (0, -1, 0)), "value"),
        (lambda: Tint(0, 256, 0), "green"),
        (lambda: Tint(0, 0, 0, opacity=0.0), "opacity"),
        (lambda: Noise(0.0), "deviation"),
        (lambda: Blur(-1.0), "sigma"),
        (lambda: Contrast(1.1), "loss"),
        (lambda: Band(0.3, 0.2), "high"),
        (lambda: Band(0.1, 0.2, gain=1.0), "gain"),
        (lambda: Chain(()), "steps"),
        (lambda: Crop(1.0), "share"),
        (lambda: Crop(0.5, row=1.2), "row"),
        (lambda: Pattern("web", period=1), "period"),
        (lambda: Pattern("web", light=300), "light"),
        (lambda: Stamp(0, 0, ((1, 2), (3,))), "pixels"),
        (lambda: Stamp(0, 0, ((1, 256),)), "pixels"),
        (lambda: Texture(amplitude=0.0), "amplitude"),
        (lambda: SpiderWeb(0.0), "delta"),
        (lambda: Rectangle(2), "size"),
        (lambda: BlackWhiteTexture(3), "size"),
        (lambda: LowPass(0.0), "cutoff"),
        (lambda: HighPass(0.5), "cutoff"),
        (lambda: Translate(fill=-1), "fill"),
        (lambda: Rotate(fill=256), "fill"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Transformation], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.key == f"transformations.{field}"
