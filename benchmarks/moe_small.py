"""Does the best sparsity rise with the size and fall with the budget in study=moe_small?

    python -m benchmarks.moe_small --store FOLDER [--picture FILE]     (trains what is missing: an hour of one core)

The 288 runs of the study (four sizes, three budgets, six sparsities, four seeds) are fitted by a surface a budget and
by the law; S* of every size and budget is read off both.

Rules, written before the study had ended:
- An optimum counts as inside if the fit to all runs has it within the sparsities of its budget; others are censored,
  counted, and in no mean. The grid is well chosen if at least 3 of 4 sizes are inside at each budget, by surfaces.
- Runs are resampled 1,000 times: four of a cell's four seeds with replacement. Degrees of the surfaces stay those of
  all runs. In each resample the change of s* = -ln(1 - S*) is averaged over neighboring sizes at one budget, and over
  neighboring budgets at one size, where both are inside by the fit to all runs; at an edge a resample's s* is the edge.
- "S* rises with N" and "S* falls with C" hold if the mean change has that sign in 95 % of the resamples. Where it does
  not, the seeds are told that would decide: seeds x (1.645 sd / mean)^2, if the mean has the sign, else none.
- The law's own draws (a wild bootstrap over cells) are told beside it and do not decide.
"""

import argparse
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.experiments.moe_grid.present import groups_of
from modeldiff_core.experiments.moe_grid.table import runs_of
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.experiments.scaling.figures import best_sparsities
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.budgets import budgets_of
from modeldiff_core.scaling.law import cells_of
from modeldiff_core.scaling.optima import Window
from modeldiff_core.scaling.surface import Surface, fit_surface
from modeldiff_core.store import read_record
from modeldiff_platform.flows.cli.compose import composed

RESAMPLES = 1000
SURE = 0.95
ONE_SIDED = 1.645
"""The 95 % point of a normal distribution."""


def optima(surface: Surface, sizes: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, "fits sizes"]:
    """Return s* = -ln(1 - S*) of each fit of a surface at sizes, edges where the lowest point is one."""
    places = np.linspace(*surface.window.sparsity, 321)
    losses = [surface.losses(np.full(len(places), size), -np.expm1(-places)) for size in sizes]
    return np.stack([places[one.argmin(1)] for one in losses], 1)


def inside(found: Float[np.ndarray, "*shape"], window: Window) -> Bool[np.ndarray, "*shape"]:
    """Return which optima are no edge of the sparsities of their budget."""
    low, high = window.sparsity
    step = (high - low) / 320
    return np.asarray((found > low + step) & (found < high - step))


def resampled(runs: Runs, count: int, seed: int = 0) -> list[Runs]:
    """Return runs with those of each cell drawn with replacement."""
    rng, cells = np.random.default_rng(seed), cells_of(runs)
    own = [np.flatnonzero(cells == cell) for cell in range(int(cells.max()) + 1)]
    return [runs.take(np.concatenate([rng.choice(rows, len(rows)) for rows in own])) for _ in range(count)]


def changes(
    found: Float[np.ndarray, "fits sizes budgets"], kept: Bool[np.ndarray, "sizes budgets"], axis: int
) -> Float[np.ndarray, " fits"]:
    """Return the mean change of s* between neighbors along an axis (0: sizes, 1: budgets) that are both kept."""
    count = kept.shape[axis]
    both = np.take(kept, range(count - 1), axis) & np.take(kept, range(1, count), axis)
    return np.asarray(np.diff(found, axis=axis + 1)[:, both].mean(1)) if both.any() else np.empty(0)


def verdict(what: str, moved: Float[np.ndarray, " fits"], seeds: int) -> str:
    """Return a sentence on resampled changes that should be positive."""
    if not len(moved):
        return f"{what}: no two neighbors are inside."
    share, mean, sd = float((moved > 0).mean()), float(moved.mean()), float(moved.std())
    told = f"{what} in {share:.1%} of {len(moved)} resamples (mean change of s* {mean:+.3f} ± {sd:.3f})"
    if share >= SURE:
        return f"{told}: holds."
    if mean <= 0:
        return f"{told}: does not hold, and more seeds of these cells would not be expected to change that."
    return f"{told}: not decided; {int(np.ceil(seeds * (ONE_SIDED * sd / mean) ** 2))} seeds would decide."


def surfaces(
    runs: Runs, sizes: Float[np.ndarray, " sizes"], count: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, list[Surface]]:
    """Return s* [1 + resamples, sizes, budgets], what is inside [sizes, budgets], and the surfaces."""
    budgets, number = budgets_of(runs)
    found, kept, fits = [], [], []
    for at in range(len(budgets)):
        here = runs.take(number == at)
        fit = fit_surface(here, draws=0)
        again = [fit_surface(one, 0, degrees=fit.degrees) for one in resampled(here, count, seed=at)]
        found.append(np.concatenate([optima(one, sizes) for one in (fit, *again)]))
        kept.append(inside(found[-1][0], fit.window))
        fits.append(fit)
    return np.stack(found, 2), np.stack(kept, 1), fits


def report(summary: Mapping[str, Any], seeds: int) -> None:
    """Print losses, optima, and whether their signs are those of the paper."""
    runs, groups = runs_of(summary), groups_of(summary["cells"])
    sizes = np.array(sorted({key[1] for key in groups}), float)
    budgets, _ = budgets_of(runs)
    found, kept, fits = surfaces(runs, sizes)
    print(
        f"{date.today()} · {summary['runs']} runs, {summary['diverged']} diverged, "
        f"{summary['edges']} best rates at an end\n"
    )
    print("| C | N | loss at S (mean over seeds) | S* by the surface |\n|---|---|---|---|")
    for (budget, size, _, _), cells in groups.items():
        row, column = int(np.abs(sizes - size).argmin()), int(np.abs(budgets / budget - 1).argmin())
        losses = ", ".join(f"{cell['sparsity']:.3g}: {cell['loss']:.3f}" for cell in cells if cell["loss"] is not None)
        best = -np.expm1(-found[0, row, column])
        low, high = -np.expm1(-np.quantile(found[1:, row, column], (0.025, 0.975)))
        edge = "" if kept[row, column] else " (an end)"
        print(f"| {budget:.2g} | {size:,} | {losses} | {best:.3f} [{low:.3f}, {high:.3f}]{edge} |")
    spread = np.sqrt(np.mean([cell["sd"] ** 2 for cell in summary["cells"] if cell["sd"]]))
    print(f"\nA loss scatters by {spread:.4f} between seeds.")
    for budget, fit in zip(budgets, fits, strict=True):
        print(f"C {budget:.2g}: degrees {fit.degrees}, cross-validated error {fit.error:.4f}.")
    print("Sizes inside at each budget:", ", ".join(f"{one} of {len(sizes)}" for one in kept.sum(0)))
    print(verdict("S* rises with N", changes(found[1:], kept, 0), seeds))
    print(verdict("S* falls with C", -changes(found[1:], kept, 1), seeds))
    if summary["laws"]:
        told = summary["laws"]["trends"]
        shares = ("none is inside" if told[name] is None else f"{told[name]:.1%}" for name in ("rises", "falls"))
        print("By the law: rises with N in {}, falls with C in {} of its draws;".format(*shares), end=" ")
        print(f"{told['inside']} of {told['points']} optima are inside.")


def main() -> None:
    """Train what is missing and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--picture", type=Path, help="where S* against N and C is drawn, as PNG")
    asked = parser.parse_args()
    root = asked.store
    study = {key: value for key, value in composed(["study=moe_small"]).items() if key not in ("store", "runner")}
    run_study(study, root)
    experiment, store = open_experiment(study, root)
    summary = read_record(store, experiment.summary.record)
    report(summary, study["seeds"])
    if asked.picture:
        asked.picture.write_bytes(best_sparsities(summary["laws"]).png)


if __name__ == "__main__":
    main()
