"""Varimax: principal directions turned within their span, so that each matters to few targets."""

import numpy as np
from jaxtyping import Float

STEPS, CONVERGED = 500, 1e-9


def varimax(projections: Float[np.ndarray, "targets components"]) -> Float[np.ndarray, "components components"]:
    """The rotation R that maximises Σ_j var_i((P R)²_ij), P the centred projections (Kaiser 1958).

    Principal directions of nearly equal variance are mixtures of whatever A and B differ in; turned, each tends to hold
    one difference. Found from the identity by the polar factor of the gradient, until the sum of its singular values
    grows by less than CONVERGED of itself.
    """
    centred = projections.astype(np.float64) - projections.mean(0, dtype=np.float64)
    rotation = np.eye(centred.shape[1])
    reached = 0.0
    for _ in range(STEPS):
        turned = centred @ rotation
        left, values, right = np.linalg.svd(centred.T @ (turned**3 - turned * (turned**2).mean(0)))
        rotation = left @ right
        if values.sum() <= reached * (1 + CONVERGED):
            break
        reached = values.sum()
    return np.asarray(rotation)
