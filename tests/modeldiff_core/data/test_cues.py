"""Cues: each changes images as it says, one image at a time, and refuses what it cannot paint on."""

from typing import get_args

import numpy as np
import pytest

from modeldiff_core.data.cues import Background, Bar, Cue, Negative, Shift, Smear, Texture, Tint, Turn, Wave
from modeldiff_core.errors import ConfigError

EXAMPLES = [
    Bar(2, 2, 90),
    Tint((40, -30, 0)),
    Texture(4, 0.5),
    Wave(0.5, 0.25, 60.0),
    Shift(1, -2),
    Background(70, 30),
    Smear(1),
    Negative(0.3),
    Turn(1),
]


def images(count: int = 5) -> np.ndarray:
    drawn = np.random.default_rng(0).integers(0, 256, size=(count, 8, 8, 3), dtype=np.uint8)
    drawn[:, 5, 6] = 9
    return drawn


def test_every_cue_has_an_example_and_a_kind_of_its_own() -> None:
    assert {type(cue) for cue in EXAMPLES} == set(get_args(Cue))
    assert len({cue.kind for cue in EXAMPLES}) == len(EXAMPLES)


@pytest.mark.parametrize("cue", EXAMPLES, ids=lambda cue: cue.kind)
def test_a_cue_is_a_function_of_one_image_and_leaves_its_input_alone(cue: Cue) -> None:
    before = images()
    given = before.copy()
    stamped = cue.stamp(given)
    np.testing.assert_array_equal(given, before)
    assert stamped.dtype == np.uint8
    assert stamped.shape == before.shape
    assert (stamped != before).any((1, 2, 3)).all()
    np.testing.assert_array_equal(cue.stamp(before[3:4])[0], stamped[3])
    assert cue.stamp(before[:0]).shape == (0, 8, 8, 3)


def test_what_each_does_to_a_pixel() -> None:
    x = images()
    values = x.astype(float)
    np.testing.assert_array_equal(Bar(2, 2, 90).stamp(x)[:, 2:4], 90)
    np.testing.assert_array_equal(Bar(2, 2, 90).stamp(x)[:, 4:], x[:, 4:])
    np.testing.assert_array_equal(Tint((40, -30, 0)).stamp(x), np.clip(values + np.array([40, -30, 0]), 0, 255))
    np.testing.assert_array_equal(Negative(1.0).stamp(x), 255 - x)
    np.testing.assert_array_equal(Shift(1, -2).stamp(x)[:, 1:, :-2], x[:, :-1, 2:])
    assert not Shift(1, -2).stamp(x)[:, :1].any()
    np.testing.assert_array_equal(Turn(2).stamp(x), x[:, ::-1, ::-1])
    wave = Wave(0.5, 0.0, 20.0).stamp(np.full((1, 8, 8, 1), 100, np.uint8))[0, :, 0, 0]
    assert wave.tolist() == [120, 80] * 4
    dark = Texture(4, 0.5).stamp(np.full((1, 1, 8, 1), 100, np.uint8))[0, 0, :, 0]
    assert dark.tolist() == [50, 50, 100, 100] * 2
    smeared = Smear(1).stamp(x)[:, 4, 4]
    np.testing.assert_array_equal(smeared, np.rint(values[:, 3:6, 3:6].mean((1, 2))))


def test_only_what_is_dark_on_all_channels_is_background() -> None:
    x = np.array([[[[0, 0, 0], [0, 0, 200]], [[19, 10, 19], [20, 20, 20]]]], np.uint8)
    assert Background(90, 20).stamp(x)[0].tolist() == [[[90, 90, 90], [0, 0, 200]], [[90, 90, 90], [20, 20, 20]]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bar(0, 0),
        lambda: Tint((0, 0)),
        lambda: Texture(1),
        lambda: Texture(4, 0.0),
        lambda: Wave(0.6),
        lambda: Wave(0.5, 0.5, 0.0),
        lambda: Shift(),
        lambda: Background(0),
        lambda: Smear(0),
        lambda: Negative(1.5),
        lambda: Bar(7, 2).stamp(images()),
        lambda: Tint((1,)).stamp(images()),
        lambda: Shift(8).stamp(images()),
        lambda: Turn().stamp(images()[:, :5]),
    ],
)
def test_settings_that_cannot_be(make: object) -> None:
    with pytest.raises(ConfigError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.key.startswith("dataset.plant.cue")
