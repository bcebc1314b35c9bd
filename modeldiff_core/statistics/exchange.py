"""How large differences within classes come out by chance, if members are no others than the rest of their classes."""

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import sparse

from modeldiff_core.identity import generator

VALUES = 2**24
"""Values of all examples, or of all draws, that are looked at together, which bounds memory."""
DRAWN = 2**22
"""Random numbers that are drawn together."""
EQUAL = 1e-4
"""Relative difference within which a draw counts as large as the members: sums are rounded to float32."""


def exchanged(
    values: Num[np.ndarray, "examples *shape"],
    members: Bool[np.ndarray, " examples"],
    labels: Int[np.ndarray, " examples"],
    draws: int,
) -> Float[np.ndarray, "*shape"]:
    """Return the p of each value's difference within classes, adjusted over all values (Westfall and Young, 1993).

    r = |Σ_members ỹ|/√Σ ỹ², ỹ = y − its class's mean, grows with |t| of the difference within classes. In each draw as
    many members of every class as there are take random places in it, and the largest r of all values is noted:
    p = (1 + draws whose largest is at least r)/(1 + draws), in a single step. Exact whatever the values' distribution:
    a pixel that is bright in two images only stands out in every draw that makes both of them members, which no t
    distribution knows.
    """
    n = len(values)
    classes, index = np.unique(labels, return_inverse=True)
    counts = np.bincount(index)
    sums = sparse.csr_array((np.ones(n), (index, np.arange(n))), shape=(len(classes), n))
    chosen = _choices(members, index, draws)
    flat = values.reshape(n, -1)
    own, largest = np.zeros(flat.shape[1]), np.zeros(draws)
    step = max(1, VALUES // max(n, draws))
    for at in range(0, flat.shape[1], step):
        part = slice(at, at + step)
        y = flat[:, part].astype(np.float64)
        y -= y[0]
        whole = np.square(y).sum(0)
        y -= ((sums @ y) / counts[:, None])[index]
        total = np.square(y).sum(0)
        still = total <= 1e-12 * whole  # the same for all examples of a class, but for rounding
        scale = np.divide(1, np.sqrt(total), out=np.zeros_like(total), where=~still)
        r = np.abs(chosen @ y.astype(np.float32)) * scale
        own[part] = r[0]
        largest = np.maximum(largest, r[1:].max(axis=1))
    reached = np.searchsorted(np.sort(largest), own * (1 - EQUAL), side="left")
    return np.asarray((1 + draws - reached) / (1 + draws)).reshape(values.shape[1:])


def p_values(
    differences: Float[np.ndarray, " components"], null: Float[np.ndarray, " draws"]
) -> Float[np.ndarray, " components"]:
    """Return (1 + number of null draws at least as large)/(1 + number of draws); 1 without any draw.

    The observed difference counts as one of the draws, so that no p is 0 (Phipson and Smyth, 2010).
    """
    larger = (null[None, :] >= differences[:, None]).sum(1)
    return np.asarray((1 + larger) / (1 + len(null)))


def _choices(
    members: Bool[np.ndarray, " examples"], index: Int[np.ndarray, " examples"], draws: int
) -> sparse.csr_array:
    """Return a row of ones and zeros for the members, and one for each draw of as many members of each class."""
    rng = generator("exchanged members", draws)
    of_classes = []
    for c in np.unique(index[members]):
        place, count = np.flatnonzero(index == c), int(members[index == c].sum())
        step = max(1, DRAWN // len(place))
        for_draws = []
        for at in range(0, draws, step):
            keys = rng.random((min(step, draws - at), len(place)), dtype=np.float32)
            for_draws.append(place[np.argpartition(keys, count - 1, axis=1)[:, :count]])
        of_classes.append(np.concatenate(for_draws))
    columns = np.concatenate([np.flatnonzero(members), np.concatenate(of_classes, axis=1).ravel()])
    ends = np.arange(2 + draws) * int(members.sum())
    return sparse.csr_array((np.ones(len(columns), np.float32), columns, ends), shape=(1 + draws, len(members)))
