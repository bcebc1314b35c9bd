"""Changes of probability against loops over softmax, the choice of images, and the rule that decides."""

from math import exp

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations import (
    EffectSettings,
    changes,
    eligible_images,
    is_distinguishing,
    measure,
)
from modeldiff_core.transformations.patches import Patch

RNG = np.random.default_rng(0)
LABELS = np.array([2, 0, 1, 2, 1])
IMAGES = RNG.integers(0, 256, size=(5, 4, 4, 1), dtype=np.uint8)


class LinearModels:
    """Three models whose logits are linear in the pixels."""

    matrix = RNG.normal(size=(3, 16, 3)).astype(np.float32) / 300

    def logits(self, images: np.ndarray) -> np.ndarray:
        return np.einsum("np,mpc->mnc", images.reshape(len(images), -1).astype(np.float32), self.matrix)

    def weights(self) -> dict[str, np.ndarray]:
        return {"matrix": self.matrix}


def softmax(logits: np.ndarray) -> list[float]:
    powers = [exp(float(value)) for value in logits]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("target_class", [None, 1])
def test_changes_are_differences_of_softmax_and_of_margins(target_class: int | None) -> None:
    before, after = RNG.normal(size=(2, 4, 5, 3))
    change = changes(before, after, LABELS, target_class)
    assert np.abs(change.probability).min() > 1e-3
    assert np.abs(change.margin).min() > 1e-3
    for model, image in np.ndindex(4, 5):
        c = LABELS[image] if target_class is None else target_class
        expected = softmax(after[model, image])[c] - softmax(before[model, image])[c]
        assert change.probability[model, image] == pytest.approx(expected, abs=1e-12)
        margins = [z[c] - max(z[k] for k in range(3) if k != c) for z in (before[model, image], after[model, image])]
        assert change.margin[model, image] == pytest.approx(margins[1] - margins[0], abs=1e-12)


def test_large_logits_do_not_overflow() -> None:
    before, after = np.zeros((1, 1, 2), np.float32), np.array([[[4000.0, -4000.0]]], np.float32)
    found = changes(before, after, np.array([0]), None)
    assert found.probability[0, 0] == 0.5
    assert found.margin[0, 0] == 8000


@pytest.mark.parametrize("target_class", [-1, 3])
def test_a_class_that_is_not_there_is_refused(target_class: int) -> None:
    with pytest.raises(ConfigError, match=r"a class in 0\.\.2") as caught:
        changes(np.zeros((1, 5, 3)), np.zeros((1, 5, 3)), LABELS, target_class)
    assert caught.value.key == "transformations.target_class"


@pytest.mark.parametrize("target_class", [None, 2])
def test_effects_are_measured_at_every_intensity_against_the_images_as_they_are(target_class: int | None) -> None:
    models, patch = LinearModels(), Patch(0, 0, 2, 2, 255)
    effects = measure(models, patch, IMAGES, LABELS, (0.0, 0.4, 1.0), target_class)
    assert effects.probability.shape == effects.margin.shape == (3, 3, 5)
    np.testing.assert_array_equal(effects.probability[0], 0)
    assert np.abs(effects.probability[2]).min() > 1e-4
    for at, intensity in enumerate((0.0, 0.4, 1.0)):
        after = models.logits(patch(IMAGES, intensity))
        expected = changes(models.logits(IMAGES), after, LABELS, target_class)
        np.testing.assert_array_equal(effects.probability[at], expected.probability)
        np.testing.assert_array_equal(effects.margin[at], expected.margin)


def test_images_of_the_class_and_images_that_carry_the_feature_are_left_out() -> None:
    labels = np.arange(300) % 3
    planted = np.arange(300) % 5 == 0
    eligible = [n for n in range(300) if n % 3 != 1 and n % 5 != 0]
    np.testing.assert_array_equal(eligible_images(labels, {"planted": planted}, 1, 1000, 0), eligible)
    np.testing.assert_array_equal(eligible_images(labels, {"other": planted}, None, 300, 0), np.arange(300))
    chosen = eligible_images(labels, {"planted": planted}, 1, 50, 0)
    assert len(set(chosen)) == 50
    assert set(chosen) <= set(eligible)
    np.testing.assert_array_equal(chosen, np.sort(chosen))
    np.testing.assert_array_equal(chosen, eligible_images(labels, {"planted": planted}, 1, 50, 0))
    assert set(chosen) != set(eligible_images(labels, {"planted": planted}, 1, 50, 1))
    # Half of a random choice of 50 from 160 lies below the median, within four standard deviations.
    assert abs((chosen < 150).sum() - 25) < 4 * np.sqrt(50 * 0.25)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 test images"):
        eligible_images(np.array([1, 1, 0]), {}, 1, 10, 0)


@pytest.mark.parametrize(
    ("effects", "p", "expected"),
    [
        ((0.4, 0.01), 0.001, True),
        ((0.01, 0.4), 0.001, True),
        ((-0.4, 0.01), 0.001, True),
        ((0.1, -0.05), 0.05, True),
        ((0.4, 0.01), 0.06, False),
        ((0.09, 0.01), 0.001, False),
        ((0.4, 0.06), 0.001, False),
        ((0.4, -0.4), 0.001, False),
    ],
)
def test_one_algorithm_must_react_and_the_other_not(effects: tuple[float, float], p: float, expected: bool) -> None:
    assert is_distinguishing(*effects, p, delta=0.1, epsilon=0.05, alpha=0.05) is expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delta", 0.0),
        ("delta", 1.5),
        ("epsilon", 0.1),
        ("epsilon", -0.1),
        ("alpha", 0.0),
        ("level", 1.0),
        ("max_images", 1),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError) as caught:
        EffectSettings(**{name: value})
    assert caught.value.key == f"effects.{name}"
