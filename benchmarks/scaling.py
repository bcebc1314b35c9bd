"""Plant scaling laws of mixtures of experts, and see what comes back: coefficients, optima, intervals, advice.

    python -m benchmarks.scaling [--rows ...] [--first 0] [--studies 1000] [--out FILE] [--seconds S] [--table]

The planted law is L(N, D, S) of arXiv 2501.12370, table 3, on a grid like the paper's own: its 5 budgets, its 7
sparsities, 8 sizes from 1e8 to 3e10, 280 runs (the paper's sizes are not published as a list); D = C/(6(1−S)N). Noise
is normal, in nats. Every fit has 100 draws of the bootstrap, each refitted from the fit.

The rules, fixed before the run:
  - exact (no noise, one study): every coefficient within 1e-3 of itself.
  - noise .005: without the runs of S = .98 the law predicts their losses with a root mean squared error of .005 or less
    on average over studies (from the planted losses, without noise), and S* differs from the planted one by .01 or less
    on average, over the points (N, C) of OPTIMA whose planted optimum lies inside the grid.
  - noise .005 and noise .02: the 95 % intervals of S* at these points, and of the losses of 13 models at budgets of
    1e20 and 3e21 (three times the largest), hold the planted value in 93 to 97 % of 1,000 studies.
  - noise .02: e is flagged as not determined in 95 % or more.
  - advice (20 laws): exponents and scales are drawn about the published ones; 80 runs (5 budgets × 4 sizes ×
    4 sparsities, noise .005) are there. S* at a size and budget in the middle is to become as narrow as when all 80
    cells are run twice more: both are done, refitted and their intervals measured. The plan of `advise` is run once,
    twice, ... until its interval is no wider. It reaches that with at most 60 % of the FLOPs of the grid in all 20.
    What the same FLOPs give when they are spread evenly over the cells of the smallest budget is told beside it.

A study's seed comes from (row, number); none was looked at before. One JSON line a study; a run that was stopped goes
on.
"""

from pathlib import Path
from typing import Any

import numpy as np

from harness.batteries import Battery, records
from harness.planted_laws import BUDGETS, SIZES, SPARSITIES, Planted, grid
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.advice import Cells, Target, advise
from modeldiff_core.scaling.coefficients import coefficients
from modeldiff_core.scaling.law import FittedLaw, Options, Points, fit_law
from modeldiff_core.scaling.optima import Window, best_size, best_sparsity

OPTIMA = np.array([(n, c) for c in BUDGETS for n in (5e8, 1e9, 5e9, 2e10)])
NEW = np.array(
    [(n, s, 3e21) for n in (1e9, 1e10, 3e10) for s in (0, 0.9, 0.98)]
    + [(n, s, 1e20) for n in (1e9, 1e10) for s in (0.5, 0.95)]
)
NOISES = {"exact": 0.0, "noise .005": 0.005, "noise .02": 0.02}
AGAIN, MOST = 2, 8
"""How often the whole grid is run again, and how often a plan of advice is, at most."""


def study(name: str, number: int) -> dict[str, Any]:
    """Return what one study found."""
    rng = np.random.default_rng([*name.encode(), number])
    found = _advice(number, rng) if name == "advice" else _recovered(NOISES[name], number, rng)
    return {"row": name, "study": number, **found}


def _recovered(noise: float, number: int, rng: np.random.Generator) -> dict[str, Any]:
    truth = Planted()
    runs = truth.runs(grid(SIZES, SPARSITIES, BUDGETS), noise, rng)
    law = fit_law(runs, options=Options(seed=number))
    if not noise:
        known = {**vars(truth), "lambda": truth.power}
        off = [abs(one.value / known[one.name] - 1) for one in coefficients(law, runs)]
        small = best_sparsity(law, np.full(len(BUDGETS), 5e8), np.array(BUDGETS), Window.of(runs))
        levels = np.array(SPARSITIES)
        sized = [best_size(law, levels, np.full(len(levels), c), Window.of(runs)).loss.value for c in BUDGETS]
        falls = bool((np.diff(sized, axis=1) < 0).all())
        return {"coefficients": max(off), "small": small.best.value.tolist(), "falls": falls}
    window, (n, c) = Window.of(runs), OPTIMA.T
    best = truth.best(n, c)
    inside = (best > 0) & (best < SPARSITIES[-1])
    optima = best_sparsity(law, n[inside], c[inside], window)
    size, sparsity, budget = NEW.T
    points = Points(size, budget / (6 * (1 - sparsity) * size), sparsity)
    predicted, planted = law.predict(points), truth.loss(size, points.tokens, sparsity)
    dense = runs.sparsity < 0.97
    without = fit_law(runs.take(dense), options=Options(draws=0))
    held = Points.of(runs.take(~dense))
    missed = without.losses(held)[0] - truth.loss(held.parameters, held.tokens, held.sparsity)
    (constant,) = coefficients(law, runs, ("e",))
    there = best[inside]
    return {
        "points": int(inside.sum()),
        "s_covered": float(np.mean((optima.best.low <= there) & (there <= optima.best.high))),
        "s_off": float(np.abs(optima.best.value - there).mean()),
        "s_worst": float(np.abs(optima.best.value - there).max()),
        "loss_covered": float(np.mean((predicted.low <= planted) & (planted <= predicted.high))),
        "loss_off": float(np.abs(predicted.value - planted).mean()),
        "held_rmse": float(np.sqrt(np.mean(missed**2))),
        "e": constant.value,
        "e_flagged": not constant.determined,
    }


def drawn(rng: np.random.Generator) -> Planted:
    """Return a law about the published one whose S* in the middle of the grid lies inside it."""
    while True:
        powers = {
            "alpha": (0.3, 0.7),
            "beta": (0.32, 0.45),
            "power": (-0.25, -0.1),
            "delta": (0.1, 0.25),
            "gamma": (0.1, 0.25),
        }
        found, law = {name: float(rng.uniform(*ends)) for name, ends in powers.items()}, Planted()
        size, tokens = 1.7e9, 3e10
        found["a"] = law.a * size ** (found["alpha"] - law.alpha) * 2.0 ** rng.uniform(-1, 1)
        found["d"] = law.d * size ** (found["gamma"] - law.gamma) * 2.0 ** rng.uniform(-1, 1)
        found["b"] = law.b * tokens ** (found["beta"] - law.beta) * 2.0 ** rng.uniform(-1, 1)
        candidate = Planted(**found)
        best = float(candidate.best(np.array([size]), np.array([BUDGETS[2]]))[0])
        if 0.2 < best < 0.96:
            return candidate


def _advice(number: int, rng: np.random.Generator) -> dict[str, Any]:
    truth, noise = drawn(rng), 0.005
    sizes, target = np.geomspace(1e8, 3e10, 4), Target(1.7e9, BUDGETS[2])
    cells = grid(sizes, (0.0, 0.5, 0.9, 0.98), BUDGETS)
    first = truth.runs(cells, noise, rng)
    law = fit_law(first, options=Options(seed=number))
    uniform = _width([first, *(truth.runs(cells, noise, rng) for _ in range(AGAIN))], target, number)
    plan = advise(law, first, [target], Cells.grid(first), share=(1 + AGAIN) ** -0.5, steps=2000)
    chosen = np.stack([plan.cells.parameters, plan.cells.sparsity, plan.cells.flops], 1)[
        np.repeat(plan.chosen, plan.runs)
    ]
    spent, times, grown, cheap = 0.0, 0, [first], cells[cells[:, 2] == BUDGETS[0]]
    width = np.inf
    while width > uniform and times < MOST:
        times += 1
        grown.append(truth.runs(chosen, noise, rng))
        spent += float(chosen[:, 2].sum())
        width = _width(grown, target, number)
    even = np.resize(np.arange(len(cheap)), round(spent / BUDGETS[0]))
    return {
        "before": _width([first], target, number),
        "uniform": uniform,
        "advised": width,
        "times": times,
        "reached": width <= uniform,
        "share": spent / (AGAIN * float(cells[:, 2].sum())),
        "cheap": _width([first, truth.runs(cheap[even], noise, rng)], target, number),
    }


def _width(parts: list[Runs], target: Target, seed: int) -> float:
    """Return the width of the interval of S* by a fit to all parts."""
    names = ("parameters", "tokens", "sparsity", "flops", "loss")
    runs = Runs(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    law: FittedLaw = fit_law(runs, options=Options(seed=seed))
    optimum = best_sparsity(law, np.array([target.parameters]), np.array([target.flops]), Window.of(runs))
    return float(optimum.best.width[0])


def table(out: Path) -> str:
    """Return what is graded of each row."""
    found, lines = list(records(out)), list[str]()
    for name in (*NOISES, "advice"):
        own = [one for one in found if one["row"] == name]
        if not own:
            continue
        told = _advised_line(own) if name == "advice" else _recovered_line(own)
        lines.append(f"{name}, {len(own)} studies: {told}")
    return "\n".join(lines)


def _recovered_line(own: list[dict[str, Any]]) -> str:
    if "coefficients" in own[0]:
        return (
            f"coefficients off by {max(one['coefficients'] for one in own):.1e} of themselves at most; S* of N = 5e8 "
            f"{' '.join(f'{value:.2f}' for value in own[0]['small'])} at the budgets; the loss at the best N "
            f"{'falls' if own[0]['falls'] else 'does not fall'} with S at each"
        )
    mean = {name: float(np.mean([one[name] for one in own])) for name in own[0] if name not in ("row", "study")}
    error = {
        name: 1.96 * np.std([one[name] for one in own]) / np.sqrt(len(own)) for name in ("s_covered", "loss_covered")
    }
    return (
        f"intervals of S* hold {mean['s_covered']:.1%} ± {error['s_covered']:.1%}, of losses "
        f"{mean['loss_covered']:.1%} ± {error['loss_covered']:.1%}; S* off by {mean['s_off']:.4f} (worst "
        f"{max(one['s_worst'] for one in own):.3f}), losses by {mean['loss_off']:.4f}; S = .98 held out: RMSE "
        f"{mean['held_rmse']:.4f}; e {np.median([one['e'] for one in own]):.2f} (median), sd "
        f"{np.std([one['e'] for one in own]):.2f}, flagged in {mean['e_flagged']:.1%}"
    )


def _advised_line(own: list[dict[str, Any]]) -> str:
    shares = np.array([one["share"] for one in own])
    reached = sum(one["reached"] and one["share"] <= 0.6 for one in own)
    cheap = np.exp(np.mean([np.log(one["cheap"] / one["advised"]) for one in own]))
    return (
        f"as narrow as the grid twice more in {reached} with 60 % of its FLOPs or less, "
        f"median {np.median(shares):.1%}, most {shares.max():.1%}; the same FLOPs "
        f"spread over the smallest budget's grid: {cheap:.2f} times as wide"
    )


BATTERY = Battery("Planted scaling laws.", [*NOISES, "advice"], 1000, Path("scaling.jsonl"), study, table)


if __name__ == "__main__":
    BATTERY.main()
