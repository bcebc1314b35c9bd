"""What a token costs: training FLOPs by size and sparsity, read off the runs themselves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from modeldiff_core.scaling.runs import Runs


@dataclass(frozen=True)
class Cost:
    """Training FLOPs of a token: C/D = `factor`·N^`power`·(1 − `sparse`·S).

    The crude count of arXiv 2501.12370 is 6·N·(1 − S): factor 6, power 1, sparse 1. Parameters that every token
    passes (attention, embeddings) make `sparse` smaller.

    Attributes:
        factor: FLOPs of a token and parameter.
        power: Exponent of N.
        sparse: Share of the FLOPs that goes with the active share of the experts.
        error: Largest |measured/predicted − 1| over the runs that it was read off.

    """

    factor: float = 6.0
    power: float = 1.0
    sparse: float = 1.0
    error: float = 0.0

    @classmethod
    def of(cls, runs: Runs) -> "Cost":
        """Return the costs that fit the runs' C/D in least squared logarithms; the crude count where it fits to 1 %."""
        crude = cls()
        error = crude._error(runs)
        if error <= 0.01:
            return cls(error=error)
        logs, size = np.log(runs.flops / runs.tokens), np.log(runs.parameters)
        various = np.ptp(size) > 0.1

        def rest(sparse: float) -> tuple[float, np.ndarray]:
            target = logs - np.log1p(-sparse * runs.sparsity)
            power = np.polyfit(size, target, 1) if various else np.array([1.0, float(np.mean(target - size))])
            return float(np.square(target - np.polyval(power, size)).sum()), power

        sparse = float(minimize_scalar(lambda value: rest(value)[0], bounds=(0.0, 1.0), method="bounded").x)
        power, logged = rest(sparse)[1]
        found = cls(float(np.exp(logged)), float(power), sparse)
        return cls(found.factor, found.power, found.sparse, found._error(runs))

    def flops(
        self, parameters: Float[np.ndarray, " *points"], sparsity: Float[np.ndarray, " *points"]
    ) -> Float[np.ndarray, " *points"]:
        """Return the training FLOPs of a token."""
        return np.asarray(self.factor * parameters**self.power * (1 - self.sparse * sparsity))

    def _error(self, runs: Runs) -> float:
        ratio = runs.flops / (runs.tokens * self.flops(runs.parameters, runs.sparsity))
        return float(np.abs(ratio - 1).max())
