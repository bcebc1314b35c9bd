"""One contrast of two algorithms from a few trainings of each, with whole trainings as replicates of a test.

Of each training s there is X_s = J_s·V [targets, q]: the derivatives of the targets' margins along a common basis V of
training directions, which must not know to which algorithm a training belongs (metagradients.basis).

**Hypothesis.** For every target t there is a slope c_t > 0 with E[X_A,t] = c_t·E[X_B,t]: A and B rely on the same
training examples, up to how strongly the margin reacts.

**Contrast.** Trainings of each algorithm form two groups by parity. Each group has its own slopes c_t = tan φ_t from
products between different trainings, which hold no noise in expectation. With Z_s = w·(cos φ·X_A,s − sin φ·X_B,s),
centered over targets,

    S = Σ_{s in group 0} Σ_{s' in group 1} (Z_sᵀ·Z_s' + Z_s'ᵀ·Z_s) / (2·n_0·n_1);

its leading eigenvectors are the directions, its eigenvalues their strength, free of noise in expectation. w is 1, or
with normalized rows 1/√(cos² φ_t·mean‖X_A,t‖² + sin² φ_t·mean‖X_B,t‖²). A direction's side is the algorithm whose
margins depend more on it.

**Null.** Under the hypothesis Z_s has mean zero whatever its noise. Signs of whole Z_s are flipped, in all 2^(R−1)
patterns up to R = 12 and in 2^11 random ones beyond; p of a direction is the share of patterns, the true one among
them, whose largest eigenvalue reaches its own. What V misses is missing in the null too. So p ≥ 2/2^R, and with fewer
than 6 trainings nothing can be significant at 5 %.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.slopes import log_slopes, slope_angles
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.statistics.replicates import MOST_PATTERNS, Replicates

LEAST_TESTED = 6
"""Fewest trainings of each algorithm with which a direction can be tested at 5 %."""
RANDOM_PATTERNS = 2 ** (MOST_PATTERNS - 1)
"""Patterns of signs that are drawn where there are too many trainings for all of them."""
LEAST_SLOPES = 4
"""Fewest trainings of which two groups have slopes of their own; below, slopes are those of all trainings."""

Products = Float[np.ndarray, "_trainings targets q"]


@dataclass(frozen=True)
class TrainingsContrast:
    """Directions in which two algorithms differ, the largest difference first.

    Attributes:
        coefficients: Unit vectors in the basis; the direction over the training set is V·coefficients.
        strengths: Eigenvalues of S.
        p: Adjusted for the choice of the largest of all directions; None with fewer than LEAST_TESTED trainings.
        patterns: Patterns of signs behind p.
        projections: Of the targets' mean contrast on each direction, not centered.
        variance_a: Σ_t (w_t·⟨X_A,t, v⟩)² free of noise in expectation: how much A's margins depend on the direction.
        variance_b: The same of B.
        angles: φ_t from all trainings.
        largest: Largest eigenvalue of S under each pattern, the true one first; empty where nothing was tested.
        halves: Mean contrast of each group of trainings.
        log_slopes: log c_t = log tan φ_t of each group; NaN where a slope is 0 or not finite.

    """

    coefficients: Float[np.ndarray, "components q"]
    strengths: Float[np.ndarray, " components"]
    p: Float[np.ndarray, " components"] | None
    patterns: int
    projections: Float[np.ndarray, "targets components"]
    variance_a: Float[np.ndarray, " components"]
    variance_b: Float[np.ndarray, " components"]
    angles: Float[np.ndarray, " targets"]
    largest: Float[np.ndarray, " patterns"]
    halves: Float[np.ndarray, "2 targets q"]
    log_slopes: Float[np.ndarray, "2 targets"]

    @property
    def sides(self) -> tuple[str, ...]:
        """The side of each direction, 'a-b' where A's margins depend more on it than B's, else 'b-a'."""
        return tuple("a-b" if a > b else "b-a" for a, b in zip(self.variance_a, self.variance_b, strict=True))


def contrast_of_trainings(
    a: Products, b: Products, n_components: int, *, normalize: bool = False, seed: int = 0
) -> TrainingsContrast:
    """Return the directions of the contrast with their p-values.

    Args:
        a: X_s of A's trainings.
        b: X_s of as many trainings of B, in the same basis.
        n_components: Number of directions.
        normalize: Let all targets count alike, however strongly they depend on the training examples.
        seed: Of the random patterns of signs.

    Raises:
        ConfigError: Fewer than two trainings of each, products that do not match, or too many components.

    """
    _check(a, b, n_components)
    a, b = a.astype(np.float64), b.astype(np.float64)
    groups = [np.arange(len(a)) % 2 == h for h in (0, 1)]
    angles = _angles(a, b)
    apart = len(a) >= LEAST_SLOPES
    own = [_angles(a[group], b[group]) if apart else angles for group in groups]
    size = np.cos(angles) ** 2 * np.square(a).sum(2).mean(0) + np.sin(angles) ** 2 * np.square(b).sum(2).mean(0)
    weights = np.divide(1, np.sqrt(size), out=np.zeros_like(size), where=size > 0) if normalize else np.ones_like(size)
    rows = np.empty_like(a)
    for group, angle in zip(groups, own, strict=True):
        of_a, of_b = ((weights * f(angle))[:, None] for f in (np.cos, np.sin))
        rows[group] = of_a * a[group] - of_b * b[group]
    centered = rows - rows.mean(1, keepdims=True)
    blocks = _blocks(centered[groups[0]], centered[groups[1]])
    values, vectors = np.linalg.eigh(blocks.mean((0, 1)))
    order = np.argsort(-values)[:n_components]
    strengths, coefficients = values[order], vectors[:, order].T
    p, largest = None, np.empty(0)
    if len(a) >= LEAST_TESTED:
        largest = _flipped(blocks, seed)
        p = (largest[None] >= strengths[:, None] - 1e-9 * abs(strengths[0])).mean(1)
    scaled = [weights[:, None] * one for one in (a, b)]
    variances = [between(one @ coefficients.T, one @ coefficients.T).sum(0) for one in scaled]
    projections = rows.mean(0) @ coefficients.T
    halves = np.stack([rows[group].mean(0) for group in groups])
    return TrainingsContrast(
        coefficients,
        strengths,
        p,
        len(largest),
        projections,
        variances[0],
        variances[1],
        angles,
        largest,
        halves,
        np.stack([log_slopes(angle, np.ones((2, len(angle)))) for angle in own]),
    )


def residual_directions(
    a: Float[np.ndarray, "targets q"], b: Float[np.ndarray, "targets q"], n_components: int
) -> tuple[Float[np.ndarray, "components q"], Float[np.ndarray, "targets components"]]:
    """Return leading directions of A's residuals on B in the basis, and the targets' projections on them.

    The published analysis (ModelDiff, section 3) of one matrix each: X_A,t − (⟨X_A,t, X_B,t⟩/‖X_B,t‖²)·X_B,t, centered
    over targets. It is what a single training of each allows; noise cannot be distinguished from difference in it.
    """
    rows = residual_rows(a, b)
    _, _, vectors = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    return vectors[:n_components], rows @ vectors[:n_components].T


def residual_rows(
    a: Float[np.ndarray, "targets q"], b: Float[np.ndarray, "targets q"]
) -> Float[np.ndarray, "targets q"]:
    """Return X_A,t − (⟨X_A,t, X_B,t⟩/‖X_B,t‖²)·X_B,t for each target."""
    norm = np.square(b).sum(1)
    share = np.divide((a * b).sum(1), norm, out=np.zeros_like(norm), where=norm > 0)
    return np.asarray(a - share[:, None] * b)


def _check(a: Products, b: Products, n_components: int) -> None:
    if a.shape != b.shape:
        raise ConfigError("comparison.method", f"products of B with A's shape {a.shape}", b.shape)
    if len(a) < 2:
        raise ConfigError("metagradients.trainings", "two trainings of each algorithm, or more", len(a))
    limit = min(a.shape[1] - 1, a.shape[2])
    if not 1 <= n_components <= limit:
        raise ConfigError("comparison.components", f"between 1 and {limit} in this basis", n_components)


def _angles(a: Products, b: Products) -> Float[np.ndarray, " targets"]:
    """Return φ_t = ½·atan2(2·ab, bb − aa) in [0, π/2] from products between different trainings."""
    aa, ab, bb = (between(x, y).sum(1) for x, y in ((a, a), (a, b), (b, b)))
    return slope_angles(aa, ab, bb)


def between(x: Products, y: Products) -> Float[np.ndarray, "targets q"]:
    """Return the mean of x_s·y_s' over pairs of different trainings, column by column; noise cancels in expectation."""
    n = len(x)
    found: np.ndarray = (x.sum(0) * y.sum(0) - (x * y).sum(0)) / (n * (n - 1))
    return found


def _blocks(x: Products, y: Products) -> Float[np.ndarray, "first second q q"]:
    """Return (X_sᵀ·Y_s' + Y_s'ᵀ·X_s)/2 for every pair of a training of the first and one of the second group."""
    crossed = np.einsum("stq,utr->suqr", x, y, optimize=True)
    return np.asarray((crossed + crossed.swapaxes(2, 3)) / 2)


def _flipped(blocks: Float[np.ndarray, "first second q q"], seed: int) -> Float[np.ndarray, " patterns"]:
    """Return the largest eigenvalue of S under each pattern of signs; the first one flips nothing."""
    first, second = blocks.shape[:2]
    signs = Replicates.single(first + second).signs(RANDOM_PATTERNS, generator("signs", seed))
    largest = np.empty(len(signs))
    for at in range(0, len(signs), 256):
        part = signs[at : at + 256]
        matrices = np.einsum("ps,pu,suqr->pqr", part[:, :first], part[:, first:], blocks, optimize=True)
        largest[at : at + 256] = np.linalg.eigvalsh(matrices / (first * second))[:, -1]
    return largest
