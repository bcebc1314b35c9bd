"""Residual datamodels against a plain loop, and what a projection must leave."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.comparison import residual, similarity
from modeldiff_core.comparison.residuals import check_attributions, normalized
from modeldiff_core.errors import ConfigError

SHAPES = given(targets=st.integers(1, 12), train=st.integers(1, 12), seed=st.integers(0, 2**32))


def pair(targets: int, train: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(targets, train)), rng.normal(size=(targets, train))


@SHAPES
def test_residual_is_the_plain_formula(targets: int, train: int, seed: int) -> None:
    a, b = pair(targets, train, seed)
    expected = np.stack([x - (sum(x * y) / sum(y * y)) * y for x, y in zip(a, b, strict=True)])
    np.testing.assert_allclose(residual(a, b), expected, atol=1e-10, rtol=1e-10)


@SHAPES
def test_what_is_left_is_orthogonal_to_b_and_no_longer_than_a(targets: int, train: int, seed: int) -> None:
    a, b = pair(targets, train, seed)
    left = residual(a, b)
    assert np.abs(np.einsum("ij,ij->i", left, b)).max() < 1e-9
    assert (np.linalg.norm(left, axis=1) <= np.linalg.norm(a, axis=1) + 1e-9).all()


def test_nothing_is_left_of_what_b_explains() -> None:
    a, b = pair(5, 9)
    scale = np.array([-3, -0.1, 0.5, 1, 20])[:, None]
    assert np.abs(residual(a, b)).min(axis=1).max() > 1e-4
    np.testing.assert_allclose(residual(scale * b, b), 0, atol=1e-12)


def test_rows_of_zeros() -> None:
    """Where B is zero A is left whole; where A is zero nothing is left; neither makes a NaN."""
    a, b = pair(4, 6)
    b[1], a[2], a[3], b[3] = 0, 0, 0, 0
    left = residual(a, b)
    np.testing.assert_array_equal(left[1], a[1])
    np.testing.assert_array_equal(left[2:], 0)
    assert not np.allclose(left[0], a[0])
    lengths = np.linalg.norm(normalized(b), axis=1)
    np.testing.assert_allclose(lengths, [1, 0, 1, 0], atol=1e-12)
    np.testing.assert_array_equal(similarity(a, b)[1:], 0)


def test_similarity_is_the_cosine() -> None:
    a, b = pair(6, 10)
    expected = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    assert max(expected) - min(expected) > 0.2
    np.testing.assert_allclose(similarity(a, b), expected, atol=1e-12)
    np.testing.assert_allclose(similarity(3 * a, -a), -1, atol=1e-12)


@pytest.mark.parametrize("compare", [residual, similarity, normalized])
def test_single_precision_stays_single(compare: Callable[..., np.ndarray]) -> None:
    a, b = pair(5, 8)
    arguments = (a,) if compare is normalized else (a, b)
    found = compare(*(x.astype(np.float32) for x in arguments))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, compare(*arguments), atol=1e-5)


def test_matrices_that_cannot_be_compared() -> None:
    a, b = pair(4, 6)
    with pytest.raises(ConfigError, match=r"theta_b: expected a matrix .* of shape \(4, 6\), got \(4, 5\)"):
        check_attributions(a, b[:, :5])
    with pytest.raises(ConfigError, match=r"theta_b: expected a matrix"):
        check_attributions(a[0], b[0])
    for name, spoilt in (("theta_a", (a.copy(), b)), ("theta_b", (a, b.copy()))):
        spoilt[name == "theta_b"][2, 3] = np.nan
        with pytest.raises(ConfigError, match=f"{name}: expected finite values, got 'target 2"):
            residual(*spoilt)
