"""Ranks of many columns against scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from modeldiff_core.statistics import ranks
from modeldiff_core.statistics.ranks import average_ranks, rank_correlation


@given(
    models=st.integers(1, 30),
    targets=st.integers(1, 5),
    values=st.sampled_from([2, 4, 1000]),
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from([np.float32, np.float64, np.int64]),
)
def test_ranks_are_scipys(models: int, targets: int, values: int, seed: int, dtype: type) -> None:
    """Few distinct values make ties of every length."""
    columns: np.ndarray = np.random.default_rng(seed).integers(-values, values, size=(models, targets)).astype(dtype)
    np.testing.assert_array_equal(average_ranks(columns), rankdata(columns, axis=0))


def test_ties_share_the_mean_of_their_ranks() -> None:
    columns = np.array([[3.0, 1.0, -0.0], [1.0, 1.0, 0.0], [3.0, 1.0, np.inf], [3.0, 1.0, -np.inf]])
    assert average_ranks(columns).T.tolist() == [[3, 1, 3, 3], [2.5, 2.5, 2.5, 2.5], [2.5, 2.5, 4, 1]]


@pytest.mark.parametrize("change", [np.exp, lambda x: 3 * x + 7, lambda x: x**3])
def test_ranks_depend_on_the_order_alone(change: np.ufunc) -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_array_equal(average_ranks(change(values)), average_ranks(values))
    np.testing.assert_array_equal(average_ranks(-values), 51 - average_ranks(values))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_of_columns_correlate_as_scipy_has_it(monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    """Columns without ties, with some in either, with one value alone, and more models than a block has values."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 7)).astype(dtype)
    y = (x + rng.normal(size=x.shape)).astype(dtype)
    y[:, 2:5], x[:, 4:6], y[:, 6] = np.round(2 * y[:, 2:5]), np.round(x[:, 4:6]), 3
    expected = [spearmanr(a, b).statistic for a, b in zip(x.T[:6], y.T[:6], strict=True)]
    assert 0.3 < min(expected) < max(expected) < 0.95
    for block in (1, 150, 2**15):
        monkeypatch.setattr(ranks, "BLOCK", block)
        found = rank_correlation(x, y)
        np.testing.assert_allclose(found[:6], expected, atol=1e-12)
        assert found[6] == 0
