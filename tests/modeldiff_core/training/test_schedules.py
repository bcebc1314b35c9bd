"""Schedules against closed forms, and the settings that a recipe refuses."""

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.schedules import Schedule, learning_rate
from modeldiff_core.training.settings import Network, Recipe


def rates(schedule: Schedule, steps: int, peak: float = 0.2) -> np.ndarray:
    return np.array([learning_rate(schedule, step, steps, 0.4, peak) for step in range(steps)])


def test_constant() -> None:
    assert set(rates("constant", 7)) == {0.4}


@pytest.mark.parametrize("steps", [1, 2, 25])
def test_cosine(steps: int) -> None:
    """Half a cosine is a squared one: (1 + cos 2x)/2 = cos² x."""
    expected = 0.4 * np.cos(np.pi * np.arange(steps) / (2 * steps)) ** 2
    np.testing.assert_allclose(rates("cosine", steps), expected, rtol=1e-12)
    assert rates("cosine", steps)[0] == 0.4


@pytest.mark.parametrize("steps", [1, 2, 25, 100])
@pytest.mark.parametrize("peak", [0.05, 0.2, 0.5, 0.9])
def test_triangular(steps: int, peak: float) -> None:
    got = rates("triangular", steps, peak)
    at = (np.arange(steps) + 0.5) / steps
    np.testing.assert_allclose(got, np.interp(at, [0, peak, 1], [0, 0.4, 0]), rtol=1e-12)
    assert got.min() > 0
    assert got.max() <= 0.4


def test_the_mean_of_a_triangle_is_half_its_height() -> None:
    assert rates("triangular", 1000).mean() == pytest.approx(0.2, rel=1e-3)
    assert rates("triangular", 1000).argmax() in (199, 200)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("weight_decay", -1e-4),
        ("label_smoothing", 1.0),
        ("peak", 0.0),
        ("peak", 1.0),
        ("scale", 0.0),
    ],
)
def test_wrong_settings_are_refused_by_key(setting: str, value: float) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe(**{setting: value})  # type: ignore[arg-type]
    assert caught.value.key == f"recipe.{setting}"


@pytest.mark.parametrize("widths", [(), (4, 0)])
def test_a_network_without_units_is_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        Network(widths=widths)
    assert caught.value.key == "recipe.network.widths"
