"""Differences between some examples and the others of the same classes, one number or a whole image at a time."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num
from scipy.special import stdtr, stdtrit

FEATURES = 16_384
"""Values of an example that are looked at together, which bounds memory."""


@dataclass(frozen=True)
class Contrast:
    """How values change with membership: the difference, its standard error, and residual degrees of freedom."""

    difference: Float[np.ndarray, "*shape"]
    error: Float[np.ndarray, "*shape"]
    freedom: int

    @property
    def t(self) -> Float[np.ndarray, "*shape"]:
        """Difference over its error; 0 where neither varies, so that constant pixels never stand out."""
        still = np.zeros_like(self.difference)
        return np.asarray(np.divide(self.difference, self.error, out=still, where=self.error > 0))

    @property
    def p(self) -> Float[np.ndarray, "*shape"]:
        """Two-sided p of Student's test of no difference."""
        return np.asarray(2 * stdtr(self.freedom, -np.abs(self.t)))

    def half_width(self, level: float = 0.95) -> Float[np.ndarray, "*shape"]:
        """Half the width of the confidence interval."""
        return np.asarray(self.error * stdtrit(self.freedom, (1 + level) / 2))


def within_classes(
    values: Num[np.ndarray, "examples *shape"],
    strength: Float[np.ndarray, " examples"],
    labels: Int[np.ndarray, " examples"],
) -> Contrast | None:
    """Return the least squares of the values on membership with a constant for each class.

    β = Σᵢ m̃ᵢ yᵢ / Σᵢ m̃ᵢ², m̃ = strength − its class's mean, se² = RSS/(examples − classes − 1)/Σᵢ m̃ᵢ². For a strength of
    0 and 1, β is the difference between members and others averaged over classes, each with the weight that its mix
    of both deserves: what a class has in common cannot count as a difference. β is in units of the values.

    None if no class holds different strengths, or too few examples are left to tell an error.
    """
    classes, index = np.unique(labels, return_inverse=True)
    counts = np.bincount(index)
    m = strength - (np.bincount(index, strength) / counts)[index]
    power, freedom = float(m @ m), len(values) - len(classes) - 1
    if power <= 1e-12 * len(values) * float(np.abs(strength).max(initial=0)) ** 2 or freedom < 1:
        return None
    flat = values.reshape(len(values), -1)
    sums = np.zeros((len(classes), len(values)))
    sums[index, np.arange(len(values))] = 1
    difference, error = np.empty(flat.shape[1]), np.empty(flat.shape[1])
    for at in range(0, flat.shape[1], FEATURES):
        part = slice(at, at + FEATURES)
        y = flat[:, part].astype(np.float64)
        y -= y[0]  # measured from one example, so that equal values have a variance of exactly 0
        slope = m @ y / power
        total = np.square(y).sum(0) - (np.square(sums @ y) / counts[:, None]).sum(0)
        rest = np.maximum(total - slope**2 * power, 0)
        rest[rest <= 1e-9 * total] = 0
        difference[part], error[part] = slope, np.sqrt(rest / freedom / power)
    shape = values.shape[1:]
    return Contrast(difference.reshape(shape), error.reshape(shape), freedom)
