"""Budgets: runs of about the same training FLOPs."""

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.scaling.runs import Runs

GAP = 0.2
"""Runs whose ln C lie closer than this to their next neighbor are of one budget."""


def budgets_of(runs: Runs) -> tuple[Float[np.ndarray, " budgets"], Int[np.ndarray, " runs"]]:
    """Return the budgets in FLOPs (geometric means of their runs), ascending, and the number of each run's budget."""
    logs = np.log(runs.flops)
    order = np.argsort(logs, kind="stable")
    number = np.empty(len(logs), np.int64)
    number[order] = np.concatenate([[0], np.cumsum(np.diff(logs[order]) > GAP)])
    count = int(number.max()) + 1
    return np.exp([logs[number == one].mean() for one in range(count)]), number
