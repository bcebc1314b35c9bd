"""Compare the lasso of every target with scikit-learn, celer and skglm, and measure how it grows.

    python -m benchmarks.regression [targets of the others, 20 by default]   against the others, on two cores
    python -m benchmarks.regression growth                                   time and memory, one process per point
    python -m benchmarks.regression gpu [n_train models targets [device]]   on CUDA, 50,000 × 50,000 × 10,000 by default

Random masks with half of the training examples, margins from a planted sparse truth with noise, so that λ/λ_max of
about 0.1 is chosen and about a fifth of the weights is not zero, as in real studies. Every library follows the same
path of 20 λ on nine tenths of the models, chooses by the error on the rest, and fits all models at the chosen λ to a
relative duality gap of 1e-4, measured in float64 for all. The other libraries start warm, and the time to center their
data and to make their Gram matrix is not counted. All run in two processes of one thread at a time, as blocks of
targets do in a study. `gpu` needs only torch, numpy and scikit-learn.
"""

import multiprocessing
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.regression_fit import GAP, N_LAMBDAS, Meter, fit, planted, print_parts, product_rate
from benchmarks.regression_growth import growth, memory_now
from benchmarks.regression_others import CORES, OTHERS, Case, calibrated, objective_excess, shared_out
from modeldiff_core.datamodels import Datamodels
from modeldiff_core.datamodels.gram import co_occurrence


def against_others(reference: int) -> None:
    """Print the comparison at n 2,000, m 8,000, 1,000 targets."""
    train, models, targets = 2000, 8000, 1000
    masks, margins = planted(train, models, targets)
    print(f"n {train:,}, m {models:,}, {targets:,} targets, {N_LAMBDAS} λ, relative gap {GAP:g}\n", flush=True)
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        context.Pool(CORES, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        began = perf_counter()
        gram = co_occurrence(masks).numpy()
        counting = perf_counter() - began
        for name, array in (("masks", masks), ("margins", margins), ("gram", gram)):
            np.save(f"{folder}/{name}.npy", array)
        ours, meter, seconds = our_halves(pool, folder, counting)
        top = np.abs((masks - masks.mean(0)).astype(np.float32).T @ (margins - margins.mean(0))).max(0) / models
        print(
            f"chosen λ/λ_max {np.median(ours.lambdas / top):.3f} (median), {(ours.weights != 0).mean():.1%} not zero, "
            f"largest gap {ours.duality_gap.max():.1e}"
        )
        each = pool.map(rates_of, [train] * CORES, chunksize=1)
        print_parts(meter, seconds, {name: sum(rates[name] for rates in each) for name in each[0]})
        excess = objective_excess(masks, margins, ours, 5)
        print(f"objective above scikit-learn's at a gap of 1e-8, 5 targets: at most {excess:.1e}\n", flush=True)
        lines = [("**this**", seconds, float(ours.duality_gap.max()))]
        for library, (_, tolerances) in OTHERS.items():
            strict = calibrated(pool, folder, library, tolerances)
            case = Case(folder, library, tuple(range(reference)), strict)
            lines.append((library, *shared_out(pool, case, targets)))
            print(f"{library}: {lines[-1][1]:.1f} s, tolerance {strict:g}", flush=True)
            if library == "scikit-learn":
                case = Case(folder, library, tuple(range(reference)), strict, loose=4e-3)
                lines.append((f"{library} with our shortcuts", *shared_out(pool, case, targets)))
    print(f"\n| {targets:,} targets | s | times this | largest gap |\n|---|---|---|---|")
    for name, measured, gap in lines:
        print(f"| {name} | {measured:.1f} | {measured / seconds:.1f} | {gap:.1e} |")
    best = min(measured for name, measured, _ in lines[1:] if "shortcuts" not in name)
    print(f"\n{best / seconds:.1f} times faster than the best of the others")


def our_halves(pool: Any, folder: str, counting: float) -> tuple[Datamodels, Meter, float]:
    """Fit both halves of the targets at a time, and return the fastest of three turns; the slower half counts."""
    turns = []
    for _ in range(3):
        halves = pool.starmap(fit_half, [(folder, half) for half in range(CORES)], chunksize=1)
        turns.append((max(seconds for _, _, seconds in halves) + counting, halves))
    seconds, halves = min(turns, key=lambda turn: turn[0])
    slower = max(halves, key=lambda half: half[2])[1]
    parts = {**slower.seconds, "Gram": slower.seconds["Gram"] + counting}
    meter = Meter("cpu", parts, sum(meter.operations for _, meter, _ in halves))
    fields = [[getattr(out, name) for out, _, _ in halves] for name in Datamodels.__dataclass_fields__]
    joined = [np.stack(pair, 1).reshape(-1, *pair[0].shape[1:]) for pair in fields]
    return Datamodels(*joined), meter, seconds


def fit_half(folder: str, half: int) -> tuple[Datamodels, Meter, float]:
    """Fit every other target, with the counts that the parent process has made."""
    masks, margins, gram = (np.load(f"{folder}/{name}.npy") for name in ("masks", "margins", "gram"))
    return fit(masks, np.ascontiguousarray(margins[:, half::CORES]), gram=gram)


def rates_of(train: int) -> dict[torch.dtype, float]:
    """Return the GFLOP/s of one core for each precision."""
    return {precision: product_rate(train, 512, precision, "cpu") for precision in (torch.float32, torch.bfloat16)}


def on_device(train: int, models: int, targets: int, device: str) -> None:
    """Measure one large fit on an accelerator."""
    torch.set_num_threads(1)
    masks, margins = planted(train, models, targets, device)
    name = torch.cuda.get_device_name() if device != "cpu" else platform.machine()
    print(f"{name}: n {train:,}, m {models:,}, {targets:,} targets, {N_LAMBDAS} λ, relative gap {GAP:g}", flush=True)
    rates = {p: product_rate(train, min(targets, 2048), p, device) for p in (torch.float32, torch.bfloat16)}
    fit(masks[:4096], margins[:4096, :64], device)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    out, meter, seconds = fit(masks, margins, device)
    print_parts(meter, seconds, rates)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device != "cpu" else memory_now() / 1024
    products = meter.operations / (2 * targets * train**2)
    print(
        f"{seconds / targets * 1e3:.2f} ms a target, {products:.0f} products a target, "
        f"{(out.weights != 0).mean():.1%} not zero, largest gap {out.duality_gap.max():.1e}, peak {peak:.1f} GB"
    )


def main() -> None:
    """Print the requested tables."""
    mode, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("20", [])
    began = perf_counter()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__},")
    print(f"load averages before {load}")
    if mode == "growth":
        growth()
    elif mode == "gpu":
        train, models, targets = (int(value) for value in rest[:3]) if rest else (50_000, 50_000, 10_000)
        on_device(train, models, targets, rest[3] if len(rest) > 3 else "cuda")
    else:
        against_others(int(mode))
    print(f"{perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
