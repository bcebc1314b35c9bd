"""Ranks of many columns at once."""

import numpy as np
from jaxtyping import Float, Shaped


def average_ranks(values: Shaped[np.ndarray, "models targets"]) -> Float[np.ndarray, "models targets"]:
    """Ranks 1..models within each column; equal values share the mean of their ranks."""
    n = len(values)
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    position = np.arange(n)[:, None]
    starts = np.ones(values.shape, dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    first = np.maximum.accumulate(np.where(starts, position, 0), axis=0)
    ends = np.ones(values.shape, dtype=bool)
    ends[:-1] = starts[1:]
    last = np.minimum.accumulate(np.where(ends, position, n - 1)[::-1], axis=0)[::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=0)
    return ranks
