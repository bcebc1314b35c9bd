"""A planted mark is proposed, ranked first and confirmed; between algorithms that do not differ nothing is."""

import numpy as np
import pytest

from harness.search_in_memory import search
from modeldiff_core.data import Examples, Watermark
from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations import EffectSettings, SearchSettings, TransformationTest
from modeldiff_core.transformations.ends import OrderedExamples
from modeldiff_core.transformations.proposals import propose
from modeldiff_core.transformations.search import (
    best,
    image_halves,
    joined,
    measure_tests,
    model_halves,
    proposals,
)

MARK = Watermark(1, 5, 3, 2)
MODELS = 12


def examples(n: int, seed: int, channels: int = 1) -> tuple[Examples, np.ndarray]:
    """Noise of three classes, of which most of class 2 carry the mark."""
    rng = np.random.default_rng(seed)
    images = rng.integers(40, 200, (n, 10, 10, channels), dtype=np.uint8)
    labels = np.arange(n) % 3
    marked = (labels == 2) & (rng.random(n) < 0.7)
    images[marked] = MARK.stamp(images[marked])
    return Examples(images, labels), marked


class Models:
    """Linear in the pixels; those that `see` it react to the mark, and each has weights of its own."""

    def __init__(self, sees: float, seed: int, channels: int = 1, models: int = MODELS) -> None:
        rng = np.random.default_rng(seed)
        self.matrix = rng.normal(size=(models, 10, 10, channels, 3)) / 4000
        pattern = (MARK.pattern() / 255 - 0.5)[..., None] * sees * rng.normal(1, 0.1, (models, 1, 1, 1))
        self.matrix[:, 1:4, 5:7, :, 2] += pattern / 100 / channels

    def logits(self, images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1).astype(np.float32) - 120
        return np.einsum("np,mpc->mnc", flat, self.matrix.reshape(len(self.matrix), -1, 3)).astype(np.float32)

    def weights(self) -> dict[str, np.ndarray]:
        return {}


def along(n: int, seed: int, channels: int = 1) -> OrderedExamples:
    """Most marked examples lie far out, with much noise."""
    found, marked = examples(n, seed, channels)
    return OrderedExamples(found, marked + np.random.default_rng(seed + 1).normal(0, 0.4, n))


SETTINGS = SearchSettings(candidates=20, confirmed=3, share=0.1)


@pytest.mark.parametrize(("channels", "factor"), [(1, 1), (1, -1), (3, 1)])
def test_what_was_planted_is_found(channels: int, factor: int) -> None:
    """Also at the negative end, since a direction's sign is arbitrary."""
    targets, train = along(300, 0, channels), along(240, 5, channels)
    targets, train = (OrderedExamples(part.examples, factor * part.values) for part in (targets, train))
    a, b = [Models(1.5, 1, channels)], [Models(0, 2, channels)]
    found = search(a, b, targets, train, MODELS, SETTINGS, EffectSettings())
    assert len(found) == 3
    best_one = found[0].measured
    assert found[0].distinguishing
    assert best_one.test.kind == "stamp"
    assert best_one.test.target_class == 2
    assert ("positive" if factor == 1 else "negative") in best_one.test.name
    top, left = best_one.test.parameters["top"], best_one.test.parameters["left"]
    rows = best_one.test.parameters["pixels"]
    pixels = np.array(rows).reshape(len(rows), len(rows[0]), channels)
    covered = np.full((10, 10), -1)
    covered[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels[..., 0]
    mark = covered[1:4, 5:7]
    assert (mark >= 0).all()
    np.testing.assert_array_equal(mark, MARK.pattern())
    assert best_one.probability.a[-1].mean > 0.1
    assert abs(best_one.probability.b[-1].mean) < 0.05
    assert best_one.margin.difference[-1].p < 1e-4
    assert [i.mean for i in best_one.margin.a] == sorted(i.mean for i in best_one.margin.a)


def test_nothing_is_confirmed_between_algorithms_that_do_not_differ() -> None:
    targets, train = along(200, 0), along(200, 5)
    alike = [
        search([Models(1.5, s)], [Models(1.5, s + 50)], targets, train, MODELS, SETTINGS, EffectSettings())
        for s in range(8)
    ]
    assert max(one.measured.probability.a[-1].mean for found in alike for one in found) > 0.1, "both react to the mark"
    assert sum(one.distinguishing for found in alike for one in found) == 0
    # 24 tests of no difference, adjusted within each search of 3.
    assert sum(one.p_probability < 0.05 for found in alike for one in found) <= 3


def test_the_confirming_half_plays_no_part_in_the_choice() -> None:
    targets, train = along(200, 0), along(200, 5)
    _, held_out = image_halves(200, SETTINGS.seed)
    images = targets.examples.images.copy()
    images[held_out] = 255 - images[held_out]
    values = targets.values.copy()
    values[held_out] *= -1
    other = OrderedExamples(Examples(images, targets.examples.labels), values)
    assert proposals(other, train, SETTINGS) == proposals(targets, train, SETTINGS)
    a, b = [Models(3, 1)], [Models(0, 2)]
    first, second = (search(a, b, t, train, MODELS, SETTINGS, EffectSettings()) for t in (targets, other))
    assert [one.measured.test for one in first] == [one.measured.test for one in second]
    assert [one.measured.probability for one in first] != [one.measured.probability for one in second]


def test_halves_part_everything_and_follow_the_seed() -> None:
    first, second = image_halves(101, 3)
    assert sorted([*first, *second]) == list(range(101))
    assert len(first) == 50
    assert list(first) != list(image_halves(101, 4)[0])
    assert model_halves(5) == (range(3), range(3, 5))


def test_models_in_groups_give_what_they_give_together() -> None:
    found, _ = examples(40, 0)
    whole = Models(3, 1, models=6)
    parts = [Models(3, 1, models=6), Models(3, 1, models=6)]
    parts[0].matrix, parts[1].matrix = whole.matrix[:2], whole.matrix[2:]
    kinds = (("blur", 1), ("noise", None), ("contrast", 1))
    tests = [TransformationTest(kind, kind, target_class) for kind, target_class in kinds]
    together = measure_tests(whole, found, tests, EffectSettings())
    apart = joined([measure_tests(m, found, tests, EffectSettings()) for m in parts], slice(1, 5))
    for one, other in zip(together, apart, strict=True):
        assert np.abs(one.margin).max() > 0.01
        np.testing.assert_allclose(one.probability[:, 1:5], other.probability, atol=1e-6)
        np.testing.assert_allclose(one.margin[:, 1:5], other.margin, atol=1e-5)


def test_the_largest_difference_is_best_whatever_its_sign() -> None:
    a, b = np.array([0.1, 0.5, -0.6, 0.0]), np.array([0.1, 0.4, 0.2, 0.3])
    assert best(a, b, 3).tolist() == [2, 3, 1]


def test_statistics_of_the_whole_image_give_their_transformations() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(60, 150, (200, 12, 12, 3), dtype=np.uint8)
    values = rng.normal(size=200)
    images[values > 0.5, ..., 2] += 60
    both = OrderedExamples(Examples(images, np.zeros(200, dtype=np.int64)), values)
    tests = propose(both, both, 0.1, 40)
    tint = next(t for t in tests if t.name.startswith("tint (positive end"))
    assert tint.parameters["blue"] == 255
    assert tint.parameters["red"] < 200
    assert next(t for t in tests if t.name.startswith("tint (negative end")).parameters["blue"] == 0
    assert {"stamp", "band", "translate", "tint"} <= {t.kind for t in tests}
    assert len({(t.kind, t.target_class, str(t.parameters)) for t in tests}) == len(tests)
    assert len(propose(both, both, 0.1, 5)) == 5


@pytest.mark.parametrize(
    ("name", "value"), [("directions", -1), ("candidates", 0), ("confirmed", 0), ("confirmed", 25), ("share", 0.0)]
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError) as caught:
        SearchSettings(**{name: value})
    assert caught.value.key == f"search.{name}"


def test_too_few_models_cannot_be_halved() -> None:
    targets = along(60, 0)
    with pytest.raises(ConfigError, match="4 or more") as caught:
        search([Models(1, 1, models=3)], [Models(1, 2, models=3)], targets, targets, 3, SETTINGS, EffectSettings())
    assert caught.value.key == "ensemble.models"
