"""Ranks of many columns at once."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

BLOCK = 2**16
"""Values that are ranked at once: they and their keys stay in the processor's cache."""


def average_ranks(values: Shaped[np.ndarray, "models targets"]) -> Float[np.ndarray, "models targets"]:
    """Ranks 1..models within each column; equal values share the mean of their ranks."""
    models, targets = values.shape
    ranks = np.empty((targets, models))
    for part in _blocks(models, targets):
        _rank(np.ascontiguousarray(values[:, part].T), ranks[part])
    return ranks.T


def rank_correlation(
    x: Shaped[np.ndarray, "models targets"], y: Shaped[np.ndarray, "models targets"]
) -> Float[np.ndarray, " targets"]:
    """Spearman correlation of matching columns; 0 where one of them is constant.

    Both are ranked and multiplied block by block, so that the ranks of all columns never go through memory.
    """
    models, targets = x.shape
    out = np.zeros(targets)
    for part in _blocks(models, targets):
        a, b = (np.ascontiguousarray(values[:, part].T) for values in (x, y))
        ranks = np.empty((2, *a.shape))
        _rank(a, ranks[0])
        _rank(b, ranks[1])
        ranks -= (models + 1) / 2
        product = np.einsum("tm,tm->t", ranks[0], ranks[1])
        scale = np.sqrt(np.einsum("tm,tm->t", ranks[0], ranks[0]) * np.einsum("tm,tm->t", ranks[1], ranks[1]))
        np.divide(product, scale, out=out[part], where=scale > 0)
    return out


def _blocks(models: int, targets: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, models))
    return (slice(at, min(at + step, targets)) for at in range(0, targets, step))


def _rank(rows: Shaped[np.ndarray, "targets models"], out: Float[np.ndarray, "targets models"]) -> None:
    order, starts = _sorted(rows)
    np.put_along_axis(out, order, np.arange(1.0, rows.shape[1] + 1)[None], axis=1)
    tied = np.flatnonzero(~starts.all(1))
    if len(tied):
        again = np.empty((len(tied), rows.shape[1]))
        np.put_along_axis(again, order[tied], _shared_ranks(starts[tied]), axis=1)
        out[tied] = again


def _sorted(
    rows: Shaped[np.ndarray, "targets models"],
) -> tuple[Int[np.ndarray, "targets models"], Bool[np.ndarray, "targets models"]]:
    """What sorts each row, and where in sorted order a new value starts.

    A float32 and its position fit into one integer that sorts as they do, and sorting integers takes a fraction of
    the time that finding the permutation of floats does.
    """
    starts = np.ones(rows.shape, dtype=bool)
    if rows.dtype == np.float32:
        bits = (rows + np.float32(0)).view(np.int32)  # −0 becomes 0, its equal
        keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32
        keys |= np.arange(rows.shape[1])
        keys.sort(axis=1)
        order = keys & 0xFFFFFFFF
        ordered = keys >> 32
    else:
        order = np.argsort(rows, axis=1)
        ordered = np.take_along_axis(rows, order, axis=1)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=starts[:, 1:])
    return order, starts


def _shared_ranks(starts: Bool[np.ndarray, "targets models"]) -> Float[np.ndarray, "targets models"]:
    """Ranks in sorted order where values are equal, from where each of them starts."""
    models = starts.shape[1]
    position = np.arange(models)
    first = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
    ends = np.ones_like(starts)
    ends[:, :-1] = starts[:, 1:]
    last = np.minimum.accumulate(np.where(ends, position, models - 1)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((first + last) / 2 + 1)
