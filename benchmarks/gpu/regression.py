"""The lasso on the device against float64 on the CPU, its rate, and ridge regression from counts of the device.

Ridge and least squares are solved on the CPU; the device's part in them are the counts XᵀX, which are exact.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks.gpu.results import Bench, Comparison, Rate, Result, compared
from benchmarks.gpu.tasks import matrix_peak
from benchmarks.regression_fit import GAP as LOOSE_GAP
from benchmarks.regression_fit import fit, planted
from modeldiff_core.datamodels import Datamodels, fit_lasso
from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.ridge import Ridge

WEIGHTS = 1e-3
"""Tolerance of weights, in standard deviations of all weights."""
PENALTIES, HELD_OUT = 0.1, 1e-3
"""Tolerances of the share of targets that choose another penalty, and of R² on held-out models, which decides it.

The error of a rough step may decide between two penalties that predict equally well.
"""
GAP = 1e-7
"""Relative duality gap of compared fits, at which the weights are settled to the tolerance."""
ROUNDED = 1.001
"""A gap is given in float32."""


def lasso(bench: Bench) -> Iterator[Result]:
    """Yield how far the device's lasso is from float64's on the CPU, with counts in memory and without."""
    masks, margins = planted(*((100, 500, 32) if bench.quick else (500, 2500, 256)))
    reference = fit_lasso(masks, margins, gap_tolerance=GAP, precise=True)
    for way, budget in (("counts in memory", 16384.0), ("masks as bits", 1e-3)):
        found = fit_lasso(masks, margins, gap_tolerance=GAP, device=bench.device, memory_budget_mb=budget)
        yield from _lasso_compared(f"lasso, {way}", found, reference)


def _lasso_compared(case: str, found: Datamodels, reference: Datamodels) -> Iterator[Comparison]:
    """Yield the share of targets that chose another penalty, R², the weights of the others, and the certificates."""
    r2 = compared(f"{case}, R² on held-out models", found.validation_r2, reference.validation_r2, 1.0, HELD_OUT)
    same = np.isclose(found.lambdas, reference.lambdas, rtol=1e-4)
    yield Comparison(f"{case}, penalties chosen otherwise", float(1 - same.mean()), PENALTIES)
    yield r2
    note = f"{(reference.weights != 0).mean():.0%} of the weights are not 0"
    scale = float(reference.weights.std())
    yield compared(f"{case}, weights", found.weights[same], reference.weights[same], scale, WEIGHTS, note)
    yield Comparison(f"{case}, largest duality gap", float(found.duality_gap.max()), GAP * ROUNDED)


def lasso_rate(bench: Bench) -> Iterator[Result]:
    """Yield the lasso's seconds a target on the device, and on the CPU for the ratio of the two."""
    train, models, targets = (300, 1000, 64) if bench.quick else (20_000, 20_000, 4096)
    masks, margins = planted(train, models, targets, bench.device)
    case = f"lasso, {train:,} examples, {models:,} models"
    fit(masks[:200, :200], margins[:200, :64], bench.device)  # loads the libraries
    out, meter, seconds = fit(masks, margins, bench.device)
    yield Comparison(f"{case}, largest duality gap", float(out.duality_gap.max()), LOOSE_GAP * ROUNDED)
    peak = matrix_peak(bench.device, 1024 if bench.quick else 8192)
    yield Rate(case, f"{targets:,} targets", seconds / targets, "target", meter.rate * 1e9 / peak)


def lasso_side_by_side(bench: Bench) -> Iterator[Result]:
    """Yield the seconds a target of one fit on one core of the CPU and on the device."""
    train, models, targets = (100, 500, 64) if bench.quick else (1000, 4000, 512)
    masks, margins = planted(train, models, targets)
    case = f"lasso, {train:,} examples, {models:,} models, {targets:,} targets"
    usual = fit(masks, margins)[2]
    yield Rate(case, "one core of the CPU", usual / targets, "target", ratio=1.0)
    fit(masks, margins, bench.device)  # loads the libraries
    seconds = fit(masks, margins, bench.device)[2]
    yield Rate(case, bench.device, seconds / targets, "target", ratio=usual / seconds)


def ridge(bench: Bench) -> Iterator[Result]:
    """Yield how far counts are from exact ones, and ridge on the device's counts from the closed form in float64."""
    masks, margins = planted(*((100, 500, 32) if bench.quick else (1000, 9000, 256)))
    counts = co_occurrence(masks, bench.device).cpu()
    exact = masks.astype(np.float64).T @ masks.astype(np.float64)
    yield compared("counts XᵀX", counts.numpy(), exact, float(exact.std()), 0.0, "exact")
    found = Ridge().prepare(masks, counts)(margins)
    x, y = masks - masks.mean(0), margins.astype(np.float64) - margins.mean(0)
    moments, cross = x.T @ x / len(x), x.T @ y / len(x)
    expected = np.zeros_like(found.weights, dtype=np.float64)
    for penalty in np.unique(found.lambdas):
        chosen = found.lambdas == penalty
        expected[chosen] = np.linalg.solve(moments + penalty * np.eye(len(moments)), cross[:, chosen]).T
    yield compared("ridge on these counts, weights", found.weights, expected, float(expected.std()), WEIGHTS)
