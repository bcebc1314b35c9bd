"""Replicates of two algorithms at once: rows that share a mask under either of them go together."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from modeldiff_core.statistics.replicates import Replicates


def joined(a: Replicates, b: Replicates) -> Replicates:
    """Return the smallest replicates that split none of A's and none of B's, numbered by their first rows.

    Row r is A's model r and B's model r, which are exchanged together. Where both have the same replicates that is
    theirs.
    """
    if np.array_equal(a.groups, b.groups):
        return a
    sides = [np.unique(side.groups, return_inverse=True)[1] for side in (a, b)]
    first, second = sides[0], sides[1] + len(a)
    ones = np.ones(len(first), dtype=bool)
    graph = coo_array((ones, (first, second)), shape=(len(a) + len(b),) * 2)
    part = connected_components(graph, directed=False)[1][first]
    _, rows, inverse = np.unique(part, return_index=True, return_inverse=True)
    return Replicates(rows[inverse].astype(np.int64))
