"""Many tests at once."""

import numpy as np
from jaxtyping import Float


def holm(p: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Return adjusted p (Holm, 1979): the k-th smallest of n becomes max over j ≤ k of (n − j + 1)·p_(j), at most 1.

    Rejecting what is at most α errs at all with chance at most α, however the tests depend on each other.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
