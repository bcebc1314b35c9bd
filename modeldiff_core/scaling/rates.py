"""Learning rates: of runs that differ in their rate alone, those of the best rate."""

import numpy as np

from modeldiff_core.scaling.law import cells_of
from modeldiff_core.scaling.runs import Runs


def best_rates(runs: Runs) -> tuple[Runs, tuple[str, ...]]:
    """Return the runs of each cell's best rate, by the mean loss over seeds, and sentences about what was done.

    A cell whose best rate is the least or the largest that it was given is counted: its loss may be too high.
    Runs without rates, or with one rate a cell, stay as they are.
    """
    if runs.rate is None:
        return runs, ()
    cells, rates = cells_of(runs), np.round(np.log(runs.rate), 4)
    kept, chosen, edges = np.zeros(len(runs), bool), 0, 0
    for cell in np.unique(cells):
        here = cells == cell
        tried = np.unique(rates[here])
        means = [runs.loss[here & (rates == rate)].mean() for rate in tried]
        best = int(np.argmin(means))
        kept |= here & (rates == tried[best])
        chosen += len(tried) > 1
        edges += len(tried) > 1 and best in (0, len(tried) - 1)
    if not chosen:
        return runs, ()
    left = len(runs) - int(kept.sum())
    return runs.take(kept), (
        f"{chosen} cells were trained at several learning rates; the best of each was taken, {left} runs left out.",
        f"In {edges} of these cells the best rate is the least or the largest tried.",
    )
