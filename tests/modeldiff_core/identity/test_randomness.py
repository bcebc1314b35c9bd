"""Random streams: fixed by their purpose alone, and unrelated to one another."""

import itertools

import numpy as np
import pytest

from modeldiff_core.identity import generator


def test_golden_values() -> None:
    """A stored training is only reproducible while these hold, whatever the version of NumPy."""
    assert generator("mask", 0, 0).integers(0, 2**32, 4).tolist() == [3803758270, 895739896, 2116924055, 3694966381]
    assert generator("mask", 0, 1).permutation(10).tolist() == [7, 0, 5, 1, 3, 6, 8, 9, 2, 4]
    floats = generator("augmentation", 7).random(3, dtype=np.float32)
    assert floats.tolist() == [0.7722602486610413, 0.473690390586853, 0.3609082102775574]
    assert generator("initialisation", 0, 0).uniform(-1, 1, 2).tolist() == [-0.1344245287395256, 0.17868460565227817]


def test_a_stream_does_not_depend_on_what_else_is_drawn() -> None:
    alone = generator("mask", 5, 17).random(100)
    for model in range(17):
        generator("mask", 5, model).random(model + 1)
    np.testing.assert_array_equal(generator("mask", 5, 17).random(100), alone)


@pytest.mark.parametrize(
    ("one", "two"), [((1,), ("1",)), (("a", 1, 2), ("a", 12)), (("a", 1, 2), ("a", 2, 1)), (("ab",), ("a", "b"))]
)
def test_different_purposes_are_different_streams(one: tuple[int | str, ...], two: tuple[int | str, ...]) -> None:
    assert not np.array_equal(generator(*one).random(8), generator(*two).random(8))


def test_neighboring_seeds_and_models_are_uncorrelated() -> None:
    """With n draws a correlation is about N(0, 1/n): 5 standard deviations are exceeded once in 10⁶ times."""
    n = 20_000
    streams = np.stack(
        [generator("mask", seed, model).random(n) for seed, model in itertools.product(range(5), range(5))]
    )
    correlations = np.asarray(np.corrcoef(streams))[np.triu_indices(len(streams), 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(n)
    assert abs(streams.mean() - 0.5) < 5 * np.sqrt(1 / 12 / streams.size)
