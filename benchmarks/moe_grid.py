"""A part of study=moe_small that two cores train in half an hour: are the signs of S* those of the paper?

python -m benchmarks.moe_grid --store FOLDER [--quick]     (goes on where it was ended)

The cells of moe_small at budgets of 2.5e10 and 1e11 FLOPs, learning rates .02 and .05, one seed: 96 runs. Quick: the
smallest and the largest size at 5e10 FLOPs and a rate of .03: 12 runs, a minute of processor time.

Rules, written before it ran:
- S* of a size and budget is the lowest point of a parabola in log 1/(1 − S) through the lowest loss and its neighbors;
  at an end of the grid it is censored, and counts in no comparison.
- S* rises with N at fixed C in more pairs of neighboring sizes than it falls in, and falls with C at fixed N in more
  sizes than it rises in; with one seed whose losses scatter by some .02 this is a sign, not a test.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from modeldiff_core.experiments.moe_grid.present import groups_of
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.store import read_record
from modeldiff_platform.flows.cli.compose import composed

OVERRIDES = (
    "study=moe_small",
    "budgets=[2.5e10,1e11]",
    "learning_rates=[0.02,0.05]",
    "seeds=1",
    "tuning.share=0",
    "fits=null",
)
QUICK = ("budgets=[5e10]", "learning_rates=[0.03]")


def best_sparsity(cells: Sequence[Mapping[str, Any]]) -> tuple[float, bool]:
    """Return S* of cells that differ in sparsity alone, in their order, and whether it is an end of the grid."""
    losses = [cell["loss"] for cell in cells]
    at = int(np.argmin(losses))
    if at in (0, len(losses) - 1):
        return float(cells[at]["sparsity"]), True
    x = [-math.log(1 - cell["sparsity"]) for cell in cells[at - 1 : at + 2]]
    second, first, _ = np.polyfit(x, losses[at - 1 : at + 2], 2)
    return 1 - math.exp(first / (2 * second)), False


def signs(pairs: Sequence[tuple[tuple[float, bool], tuple[float, bool]]]) -> tuple[int, int, int]:
    """Return in how many pairs of S* the second is larger, smaller, and how many are censored."""
    inside = [(one[0], other[0]) for one, other in pairs if not (one[1] or other[1])]
    rises = sum(other > one for one, other in inside)
    return rises, len(inside) - rises, len(pairs) - len(inside)


def main() -> None:
    """Run the grid and print losses, optima and signs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    root, overrides = asked.store, [*OVERRIDES, *(QUICK if asked.quick else ())]
    study = {key: value for key, value in composed(overrides).items() if key not in ("store", "runner")}
    if asked.quick:
        study["sizes"] = [study["sizes"][0], study["sizes"][-1]]
    run_study(study, root)
    experiment, store = open_experiment(study, root)
    summary = read_record(store, experiment.summary.record)
    best = dict[tuple[float, int], tuple[float, bool]]()
    print(f"{date.today()}\n\n| C | N | loss at S | S* |\n|---|---|---|---|")
    for (budget, size, _, _), cells in groups_of(summary["cells"]).items():
        best[budget, size] = best_sparsity(cells)
        losses = ", ".join(f"{cell['sparsity']:.3g}: {cell['loss']:.3f}" for cell in cells)
        value, censored = best[budget, size]
        print(f"| {budget:.2g} | {size:,} | {losses} | {value:.3f}{' (an end)' if censored else ''} |")
    budgets, sizes = (sorted({key[at] for key in best}) for at in (0, 1))
    along_n = [(best[budget, one], best[budget, other]) for budget in budgets for one, other in pairwise(sizes)]
    along_c = [(best[one, size], best[other, size]) for size in sizes for one, other in pairwise(budgets)]
    print("\nS* rises with N in {}, falls in {} pairs of sizes; {} are censored.".format(*signs(along_n)))
    print("S* rises with C in {}, falls in {} sizes; {} are censored.".format(*signs(along_c)))
    print(f"{summary['edges']} of {len(summary['cells'])} best rates are the lower or the higher of both.")


if __name__ == "__main__":
    main()
