"""How far attributions of networks agree whose components are not aligned: by layer, and by their sorted sizes."""

from collections.abc import Mapping
from itertools import combinations, product

import numpy as np
from jaxtyping import Float

Shares = Float[np.ndarray, "networks parts"]


def overlap(one: Float[np.ndarray, " parts"], other: Float[np.ndarray, " parts"]) -> float:
    """Return 1 − ½·Σ|p − q| of two rows of sizes scaled to sum to 1: 1 where they are distributed alike, 0 apart."""
    p, q = (row / (row.sum() or 1) for row in (one, other))
    return float(1 - np.abs(p - q).sum() / 2)


def agreement(sizes: Mapping[str, Shares]) -> dict[str, float | None]:
    """Return the mean overlap of pairs of networks of A, of B, and of one of each; None without any such pair."""
    a, b = sizes["a"], sizes["b"]
    pairs = {"a": combinations(a, 2), "b": combinations(b, 2), "between": product(a, b)}
    found = {name: [overlap(*pair) for pair in of] for name, of in pairs.items()}
    return {name: float(np.mean(values)) if values else None for name, values in found.items()}
