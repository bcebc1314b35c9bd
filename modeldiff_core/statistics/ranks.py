"""Ranks of many columns at once."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, Shaped

BLOCK = 2**15
"""Values that are ranked at once: they and their keys stay in the processor's cache."""

Rows = Shaped[np.ndarray, "targets models"]
Positions = Int[np.ndarray, "targets models"]
Ranks = Float[np.ndarray, "targets models"]


def average_ranks(values: Shaped[np.ndarray, "models targets"]) -> Float[np.ndarray, "models targets"]:
    """Return ranks (#{x < xᵢ} + #{x ≤ xᵢ} + 1)/2 in 1..models within each column: equal values share their mean."""
    models, targets = values.shape
    ranks = np.empty((targets, models))
    for part in _blocks(models, targets):
        ranks[part] = _in_place(*_sorted(np.ascontiguousarray(values[:, part].T)))
    ranks += (models + 1) / 2
    return ranks.T


def rank_correlation(
    x: Shaped[np.ndarray, "models targets"], y: Shaped[np.ndarray, "models targets"]
) -> Float[np.ndarray, " targets"]:
    """Return the Spearman correlation of matching columns, Pearson's of their ranks; 0 where one of them is constant.

    Both are ranked and multiplied block by block, so that the ranks of all columns never go through memory. Only the
    ranks of x are put in place: they are looked up in the order of y.
    """
    models, targets = x.shape
    out = np.zeros(targets)
    for part in _blocks(models, targets):
        order, b = _sorted(np.ascontiguousarray(y[:, part].T))
        a = _in_place(*_sorted(np.ascontiguousarray(x[:, part].T))).ravel()[order]
        product = np.einsum("tm,tm->t", a, b)
        scale = np.sqrt(np.einsum("tm,tm->t", a, a) * np.einsum("tm,tm->t", b, b))
        np.divide(product, scale, out=out[part], where=scale > 0)
    return out


def _blocks(models: int, targets: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, models))
    return (slice(at, min(at + step, targets)) for at in range(0, targets, step))


def _in_place(order: Positions, ranks: Ranks) -> Ranks:
    """Ranks at the positions of their values."""
    out = np.empty(order.size)
    out[order] = ranks
    return out.reshape(order.shape)


def _sorted(rows: Rows) -> tuple[Positions, Ranks]:
    """Positions in the block, row after row, that sort each row, and the ranks there less their mean.

    A float32 and its position fit into one integer that sorts as they do, and sorting integers takes a fraction of
    the time that finding the permutation of floats does.
    """
    models = rows.shape[1]
    if rows.dtype == np.float32:
        bits = (rows + np.float32(0)).view(np.int32)  # −0 becomes 0, its equal
        bits ^= (bits >> 31) & 0x7FFFFFFF
        ordered = bits.astype(np.int64)
        ordered <<= 32
        ordered |= np.arange(rows.size).reshape(rows.shape)
        ordered.sort(axis=1)
        order = ordered & 0xFFFFFFFF
        ordered >>= 32
    else:
        order = np.argsort(rows, axis=1) + models * np.arange(len(rows))[:, None]
        ordered = rows.ravel()[order]
    rises = ordered[:, 1:] != ordered[:, :-1]
    if rises.all():
        return order, np.broadcast_to(np.arange(models) - (models - 1) / 2, rows.shape)
    starts = np.ones(rows.shape, dtype=bool)
    starts[:, 1:] = rises
    return order, _shared_ranks(np.flatnonzero(starts), models, len(rows))


def _shared_ranks(first: Int[np.ndarray, " values"], models: int, targets: int) -> Ranks:
    """Ranks less their mean in sorted order, from the positions at which each value starts."""
    end = np.append(first[1:], models * targets)
    middle = first // models * models + models / 2
    return np.repeat((first + end) / 2 - middle, end - first).reshape(targets, models)
