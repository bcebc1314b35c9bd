"""Residual datamodels: what A's datamodels hold that B's do not explain."""

import numpy as np
from jaxtyping import Float

from modeldiff_core.errors import ConfigError


def normalised(theta: Float[np.ndarray, "targets train"]) -> Float[np.ndarray, "targets train"]:
    """Rows scaled to unit length; a row of zeros (a target that no training example explains) stays zero."""
    length = np.linalg.norm(theta, axis=1, keepdims=True)
    return np.asarray(np.divide(theta, length, out=np.zeros_like(theta), where=length > 0))


def residual(
    theta_a: Float[np.ndarray, "targets train"],
    theta_b: Float[np.ndarray, "targets train"],
) -> Float[np.ndarray, "targets train"]:
    """θ_A − (⟨θ_A, θ_B⟩/‖θ_B‖²)·θ_B for each target (ModelDiff, section 3); θ_A itself where θ_B is zero.

    Raises ConfigError for matrices of different shapes or with values that are not finite.
    """
    check_attributions(theta_a, theta_b)
    power = np.einsum("ij,ij->i", theta_b, theta_b)
    share = np.divide(np.einsum("ij,ij->i", theta_a, theta_b), power, out=np.zeros_like(power), where=power > 0)
    return np.asarray(theta_a - share[:, None] * theta_b)


def similarity(
    theta_a: Float[np.ndarray, "targets train"], theta_b: Float[np.ndarray, "targets train"]
) -> Float[np.ndarray, " targets"]:
    """Cosine of each target's two datamodels; 0 where one of them is zero."""
    return np.asarray(np.einsum("ij,ij->i", normalised(theta_a), normalised(theta_b)))


def check_attributions(theta_a: np.ndarray, theta_b: np.ndarray) -> None:
    """Raise ConfigError for attribution matrices that cannot be compared."""
    if theta_a.ndim != 2 or theta_a.shape != theta_b.shape:
        raise ConfigError("theta_b", f"a matrix [targets, train] of shape {theta_a.shape}", theta_b.shape)
    for name, theta in (("theta_a", theta_a), ("theta_b", theta_b)):
        finite = np.isfinite(theta).all(1)
        if not finite.all():
            raise ConfigError(name, "finite values", f"target {int(np.argmin(finite))} with values that are not")
