"""A planted scaling law of mixtures of experts, by default the published one, and runs of it on the paper's grid."""

from dataclasses import dataclass

import numpy as np

from modeldiff_core.scaling import Runs

BUDGETS = (3e19, 6e19, 1e20, 3e20, 1e21)
SPARSITIES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)
SIZES = np.geomspace(1e8, 3e10, 8)


@dataclass(frozen=True)
class Planted:
    """A law L = a/N^alpha + b/D^beta + c/(1−S)^lambda + d/((1−S)^delta N^gamma) + e; by default the published one."""

    a: float = 16612.50
    b: float = 5455.67
    c: float = 0.4598
    d: float = 17.26
    alpha: float = 0.5962
    beta: float = 0.3954
    power: float = -0.1666
    delta: float = 0.1603
    gamma: float = 0.1595
    e: float = 0.94

    def loss(self, n: np.ndarray, d: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return losses in nats."""
        size = self.a * n**-self.alpha + self.d * (1 - s) ** -self.delta * n**-self.gamma
        return np.asarray(size + self.b * d**-self.beta + self.c * (1 - s) ** -self.power + self.e)

    def best(self, n: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Return S* by a fine search of −ln(1 − S) from below 0 to beyond the grid."""
        s = -np.expm1(-np.linspace(-2, 7, 90001))
        return np.array([s[self.loss(m, f / (6 * (1 - s) * m), s).argmin()] for m, f in zip(n, c, strict=True)])

    def runs(self, cells: np.ndarray, noise: float, rng: np.random.Generator) -> Runs:
        """Return runs of cells (N, S, C)."""
        n, s, c = cells.T
        tokens = c / (6 * (1 - s) * n)
        return Runs(n, tokens, s, c, self.loss(n, tokens, s) + noise * rng.normal(size=len(n)))


def grid(sizes: np.ndarray, sparsities: tuple[float, ...], budgets: tuple[float, ...]) -> np.ndarray:
    """Return the cells (N, S, C) of a grid."""
    return np.array([(n, s, c) for c in budgets for n in sizes for s in sparsities])
