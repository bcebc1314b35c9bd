"""Residual datamodels: what A's datamodels hold that B's do not explain."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from modeldiff_core.errors import ConfigError

MODERATE = 40
"""Largest exponent of two of a row's largest entry whose squares float32 holds with room for sums and products."""
PIECE = 2**20
"""Entries of a matrix that are held in float64 at once."""


def moderate(theta: Float[np.ndarray, "targets train"]) -> Float[np.ndarray, "targets train"]:
    """Return rows of which none has squares that overflow or vanish in float32.

    Those whose largest entry is beyond 2^±MODERATE are multiplied by a power of two, which rounds nothing and changes
    nothing that does not depend on a row's length; all others stay as they are.
    """
    _, exponent = np.frexp(np.maximum(theta.max(axis=1, initial=0), -theta.min(axis=1, initial=0)))
    far = np.abs(exponent) > MODERATE
    if not far.any():
        return theta
    return np.asarray(np.ldexp(theta, np.where(far, -exponent, 0)[:, None]), theta.dtype)


def normalized(theta: Float[np.ndarray, "targets train"]) -> Float[np.ndarray, "targets train"]:
    """Rows scaled to unit length; a row of zeros (a target that no training example explains) stays zero."""
    theta = moderate(theta)
    length = np.linalg.norm(theta, axis=1, keepdims=True)
    return np.asarray(np.divide(theta, length, out=np.zeros_like(theta), where=length > 0))


def residual(
    theta_a: Float[np.ndarray, "targets train"],
    theta_b: Float[np.ndarray, "targets train"],
) -> Float[np.ndarray, "targets train"]:
    """Return θ_A − (⟨θ_A, θ_B⟩/‖θ_B‖²)·θ_B for each target (ModelDiff, section 3); θ_A itself where θ_B is zero.

    Raises ConfigError for matrices of different shapes or with values that are not finite.
    """
    check_attributions(theta_a, theta_b)
    rows = residual_rows(theta_a, theta_b, np.arange(len(theta_a)), normalize=False)
    return np.asarray(rows.numpy())


def residual_rows(
    theta_a: Float[np.ndarray, "targets train"],
    theta_b: Float[np.ndarray, "targets train"],
    chosen: np.ndarray,
    *,
    normalize: bool,
    device: str = "cpu",
) -> Float[Tensor, "chosen train"]:
    """Residuals of the chosen targets on a device, computed in float64 by blocks and kept in the inputs' precision.

    normalize: A's rows to unit length first; the length of B's does not matter. Half precision is kept as float32.
    """
    precision = torch.float64 if theta_a.dtype == theta_b.dtype == np.float64 else torch.float32
    out = torch.empty(len(chosen), theta_a.shape[1], dtype=precision, device=device)
    tiny = torch.finfo(torch.float64).tiny
    for rows in blocks(len(chosen), theta_a.shape[1]):
        a, b = (torch.from_numpy(theta[chosen[rows]]).to(device).double() for theta in (theta_a, theta_b))
        if normalize:
            a /= a.norm(dim=1, keepdim=True).clamp(min=tiny)
        share = (a * b).sum(1, keepdim=True) / b.square().sum(1, keepdim=True).clamp(min=tiny)
        out[rows] = a.sub_(b.mul_(share)).to(precision)
    return out


def explained(
    theta_a: Float[np.ndarray, "targets train"], theta_b: Float[np.ndarray, "targets train"]
) -> Bool[np.ndarray, " targets"]:
    """Targets that some training example explains under A and some under B: neither row is all zero."""
    return np.asarray(theta_a.any(1) & theta_b.any(1))


def similarity(
    theta_a: Float[np.ndarray, "targets train"], theta_b: Float[np.ndarray, "targets train"]
) -> Float[np.ndarray, " targets"]:
    """Return the cosine ⟨θ_A, θ_B⟩/(‖θ_A‖·‖θ_B‖) of each target's two datamodels; 0 where one of them is zero."""
    return np.asarray(np.einsum("ij,ij->i", normalized(theta_a), normalized(theta_b)))


def check_attributions(theta_a: np.ndarray, theta_b: np.ndarray) -> None:
    """Raise ConfigError for attribution matrices that cannot be compared."""
    if theta_a.ndim != 2 or theta_a.shape != theta_b.shape:
        raise ConfigError("theta_b", f"a matrix [targets, train] of shape {theta_a.shape}", theta_b.shape)
    for name, theta in (("theta_a", theta_a), ("theta_b", theta_b)):
        for rows in blocks(*theta.shape):
            finite = np.isfinite(theta[rows]).all(1)
            if not finite.all():
                target = rows.start + int(np.argmin(finite))
                raise ConfigError(name, "finite values", f"target {target} with values that are not finite")


def blocks(targets: int, train: int) -> Iterator[slice]:
    """Slices of targets that hold about PIECE entries each."""
    step = max(1, PIECE // max(1, train))
    return (slice(start, min(start + step, targets)) for start in range(0, targets, step))
