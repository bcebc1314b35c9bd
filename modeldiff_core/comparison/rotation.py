"""Rotation of directions to few training examples each.

Leading eigenvectors of a contrast span what several differences take up together, but where these are about equally
large each vector mixes them. Differences mostly rest on other training examples: of all orthonormal bases of the same
span the one whose vectors rest on the fewest is taken to be theirs.
"""

import numpy as np
from jaxtyping import Float

STEPS, SETTLED = 200, 1e-9
"""Most steps, and the relative growth of a step after which no more are made."""


def varimax(directions: Float[np.ndarray, "train count"]) -> Float[np.ndarray, "train count"]:
    """Return the rotation of orthonormal columns that maximizes Σ_j Σ_i v_ij⁴, each with a positive largest entry.

    By repeated singular value decompositions of Vᵀ(V·Q)³, each of which makes the sum larger (Kaiser 1958; Magnus and
    Neudecker, Matrix Differential Calculus, 17.16). The variance of squares that is named after its squares' mean
    is the same here, since columns have length 1.
    """
    v = directions.astype(np.float64)
    rotation, before = np.eye(v.shape[1]), 0.0
    for _ in range(STEPS):
        rotated = v @ rotation
        u, values, w = np.linalg.svd(v.T @ rotated**3)
        rotation = u @ w
        if values.sum() <= before * (1 + SETTLED):
            break
        before = float(values.sum())
    found = v @ rotation
    largest = np.take_along_axis(found, np.abs(found).argmax(0)[None], 0)
    return np.asarray(found * np.where(largest < 0, -1, 1), directions.dtype)
