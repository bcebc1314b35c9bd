"""Scores of each target free of the bias of few held-out models, spread over the models that they were made from.

A pseudo-value belongs to one held-out model and one target. The mean over models is the target's score without its
first-order bias; how the values vary over models and targets is how sure the mean score is.
"""

import numpy as np
from jaxtyping import Float

from modeldiff_core.statistics import average_ranks
from modeldiff_core.statistics.correlation import centered

Columns = Float[np.ndarray, "models targets"]

COMPARED = 300
"""Models whose pairs Kendall's τ is counted over; it enters divided by their number, so its error is nothing."""
CELLS = 2**23
"""Comparisons of pairs that are held at a time."""


def spearman_values(x: Columns, y: Columns) -> Columns:
    """Return pseudo-values of the Spearman correlation of matching columns; 0 where one of them is constant.

    The correlation r of n ranks has expectation ((n − 2)·ρ + 3·τ)/(n + 1) (Hoeffding, 1948), with ρ and τ Spearman's
    and Kendall's correlation in the population. So ((n + 1)·r − 3·t)/(n − 2), t the sample's τ, is ρ without bias.
    Around it lies each model's influence,
    12·(u − ½)(v − ½) + 12·mean[1(x ≤ X)·(V − ½)] + 12·mean[(U − ½)·1(y ≤ Y)] − 3·ρ, with u and v the shares of models
    at or below the model's own values (half of those equal to them).
    """
    n = len(x)
    u, v = ((average_ranks(values) - 0.5) / n - 0.5 for values in (x, y))
    scale = np.sqrt(np.square(u).mean(0) * np.square(v).mean(0))
    varies = scale > 0
    plain = np.divide((u * v).mean(0), scale, out=np.zeros(x.shape[1]), where=varies)
    rho = np.clip(((n + 1) * plain - 3 * _kendall(x[:COMPARED], y[:COMPARED])) / (n - 2), -1, 1)
    influence = 12 * (u * v + _above(x, v) + _above(y, u))
    influence -= influence.mean(0)
    return np.where(varies, rho + influence, 0.0)


def pearson_values(x: Columns, y: Columns) -> Columns:
    """Return jackknife pseudo-values n·r − (n − 1)·r₍₋ₘ₎ of columns' correlation; 0 for constant ones."""
    n, x, y = len(x), centered(x), centered(y)
    xx, yy, xy = x * x, y * y, x * y
    whole = _cosine(xx.sum(0), yy.sum(0), xy.sum(0))
    # Without model m the sums of squares about the mean fall by its own square times n/(n − 1).
    own = n / (n - 1)
    left = _cosine(xx.sum(0) - own * xx, yy.sum(0) - own * yy, xy.sum(0) - own * xy)
    return np.asarray(np.where(whole == 0, 0.0, n * whole - (n - 1) * left))


def explained(x: Columns, y: Columns) -> Float[np.ndarray, " targets"]:
    """Return 1 − MSE/variance of y, predicted by x; 0 where y is constant."""
    square = np.square(centered(y))
    return np.asarray(np.where(square.max(0) > 0, _explained(np.square(y - x).mean(0), square.mean(0), square), 0.0))


def explained_values(x: Columns, y: Columns) -> Columns:
    """Return jackknife pseudo-values of 1 − MSE/variance of y, predicted by x; 0 where y is constant."""
    n, error, y = len(x), np.square(y - x), centered(y)
    square = y * y
    whole = _explained(error.mean(0), square.mean(0), square)
    left = _explained(
        (error.sum(0) - error) / (n - 1),
        np.clip(square.sum(0) - n / (n - 1) * square, 0, None) / (n - 1),
        square,
    )
    return np.asarray(np.where(square.max(0) > 0, n * whole - (n - 1) * left, 0.0))


def _cosine(
    xx: Float[np.ndarray, "*shape"], yy: Float[np.ndarray, "*shape"], xy: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    scale = np.sqrt(np.clip(xx, 0, None) * np.clip(yy, 0, None))
    return np.asarray(np.clip(np.divide(xy, scale, out=np.zeros_like(scale), where=scale > 0), -1, 1))


def _explained(
    error: Float[np.ndarray, "*shape"], variance: Float[np.ndarray, "*shape"], square: Columns
) -> Float[np.ndarray, "*shape"]:
    varies = variance > 1e-12 * square.max(0)
    return np.asarray(1 - np.divide(error, variance, out=np.ones_like(error), where=varies))


def _above(order_by: Columns, values: Columns) -> Columns:
    """Return, for each model, Σ of the values of models above it / models; half of its own and of those equal to it."""
    n = len(order_by)
    order = np.argsort(order_by, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    above = ordered[::-1].cumsum(0)[::-1] - ordered / 2
    keys = np.take_along_axis(order_by, order, axis=0)
    if (keys[1:] == keys[:-1]).any():
        _share_ties(above, keys)
    out = np.empty_like(above)
    np.put_along_axis(out, order, above / n, axis=0)
    return out


def _share_ties(above: Columns, keys: Columns) -> None:
    """Give equal keys the mean of what is above them: half of the values equal to each other."""
    for column in np.flatnonzero((keys[1:] == keys[:-1]).any(0)):
        _, index, counts = np.unique(keys[:, column], return_inverse=True, return_counts=True)
        above[:, column] = (np.bincount(index, above[:, column]) / counts)[index]


def _kendall(x: Columns, y: Columns) -> Float[np.ndarray, " targets"]:
    """Return Kendall's τ of matching columns, with ties τ-b; 0 where one of them is constant."""
    n, targets = x.shape
    first, second = np.triu_indices(n, 1)
    out = np.zeros(targets)
    step = max(1, CELLS // max(1, len(first)))
    for at in range(0, targets, step):
        part = slice(at, at + step)
        a, b = (np.sign(values[first, part] - values[second, part]).astype(np.int8) for values in (x, y))
        agree = np.einsum("pt,pt->t", a, b, dtype=np.int64)
        scale = np.sqrt(np.count_nonzero(a, axis=0) * np.count_nonzero(b, axis=0).astype(np.float64))
        np.divide(agree, scale, out=out[part], where=scale > 0)
    return out
