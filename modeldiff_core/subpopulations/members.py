"""Who belongs to a subpopulation."""

import numpy as np
from jaxtyping import Bool, Float


def furthest(values: Float[np.ndarray, " examples"], share: float, least: int = 2) -> Bool[np.ndarray, " examples"]:
    """Return the examples of the largest positive values: a share of all, at least `least`, fewer if fewer are > 0.

    For the other end of a direction give the negated values.
    """
    count = max(least, round(share * len(values)))
    order = np.argsort(-values, kind="stable")[:count]
    members = np.zeros(len(values), dtype=bool)
    members[order[values[order] > 0]] = True
    return members
