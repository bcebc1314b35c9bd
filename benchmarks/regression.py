"""The lasso of every target, side by side with scikit-learn, celer and skglm, and how it grows.

    python benchmarks/regression.py [targets of the others, 20 by default]   against the others, on two cores
    python benchmarks/regression.py growth                                  time and memory, a process and core a point
    python benchmarks/regression.py gpu [n_train models targets [device]]   on CUDA, 50,000 × 50,000 × 10,000 by default

Masks at random with half of the training examples, margins from a planted sparse truth with noise, so that λ/λ_max of
about 0.1 is chosen and about a fifth of the weights is not zero, as in real studies. Everybody goes down the same path
of 20 λ on nine tenths of the models, chooses by the error on the rest, and fits all models at the chosen λ to a
relative duality gap of 1e-4, which is measured in float64 for everybody. The others start warm and get centred data and
the Gram matrix for nothing. Everybody runs in two processes of one thread at a time, as blocks of targets do in a
study. `gpu` needs torch, numpy and scikit-learn alone.
"""

import json
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import numpy as np
import torch
from sklearn.linear_model import lasso_path

from modeldiff_core.datamodels import Datamodels, fit_lasso, lasso
from modeldiff_core.datamodels.design import GramDesign, PackedDesign
from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.lasso import gram_megabytes
from modeldiff_core.datamodels.moments import validation_split
from modeldiff_core.subsets import SubsetSampler

N_LAMBDAS, RATIO, GAP = 20, 0.01, 1e-4
LOOSE_GAP, PATIENCE = 1e-2, 3
CORES = 2


def planted(train: int, models: int, targets: int, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Masks, and margins with a tenth of weights that are not zero; noise of 1.7 of the signal's deviation."""
    masks = SubsetSampler(train, 0.5, 0).masks(range(models))
    draw = torch.Generator().manual_seed(0)
    out = []
    for count in [min(1000, targets - start) for start in range(0, targets, 1000)]:
        weights = torch.randn(train, count, generator=draw) * (torch.rand(train, count, generator=draw) < 0.1)
        parts = np.array_split(masks, max(1, models // 4096))
        signal = torch.cat([(torch.from_numpy(x).to(device).float() @ weights.to(device)).cpu() for x in parts])
        out.append(signal + 1.7 * signal.std(0) * torch.randn(models, count, generator=draw) + 3)
    return masks, torch.cat(out, 1).numpy()


@dataclass
class Meter:
    """Seconds and floating-point operations of the parts of a fit."""

    device: str = "cpu"
    seconds: dict[str, float] = field(default_factory=dict)
    operations: float = 0.0

    def clock(self) -> float:
        """Now, when the device has done all it was asked for."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        return perf_counter()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time added to a part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            began = self.clock()
            out = function(*args, **kwargs)
            self.seconds[name] = self.seconds.get(name, 0) + self.clock() - began
            return out

        return call

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A product of a design, with the operations that it stands for added up."""

        def call(design: Any, rows: torch.Tensor) -> Any:
            matrix = len(design.mask_mean) ** 2 if isinstance(design, GramDesign) else 2 * design.bits.numel() * 8
            self.operations += 2 * len(rows) * matrix
            return function(design, rows)

        return call

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measures what is fitted meanwhile."""
        parts = {"walk": "path", "solve_rows": "refit", "sums": "XᵀY"}
        with ExitStack() as stack:
            for name, part in parts.items():
                stack.enter_context(mock.patch.object(lasso, name, self.timed(part, getattr(lasso, name))))
            for kind in (GramDesign, PackedDesign):
                stack.enter_context(mock.patch.object(kind, "without", self.timed("Gram", kind.without)))
                for name in ("counted", "rough_product"):
                    changed = self.counted(name, getattr(kind, name))
                    stack.enter_context(mock.patch.object(kind, name, changed))
            yield

    @property
    def rate(self) -> float:
        """GFLOP/s of path and refit, all that happens in them counted as time."""
        return self.operations / (self.seconds["path"] + self.seconds["refit"]) / 1e9


def fit(masks: np.ndarray, margins: np.ndarray, device: str = "cpu", **options: Any) -> tuple[Datamodels, Meter, float]:
    """Our fit, its parts, and seconds from masks and margins to weights."""
    meter = Meter(device)
    began = meter.clock()
    if "memory_budget_mb" not in options and "gram" not in options:
        options["gram"] = meter.timed("Gram", co_occurrence)(masks, device)
    with meter.running():
        out = fit_lasso(
            masks, margins, n_lambdas=N_LAMBDAS, lambda_min_ratio=RATIO, gap_tolerance=GAP, device=device, **options
        )
    return out, meter, meter.clock() - began


def product_rate(train: int, targets: int, precision: torch.dtype, device: str) -> float:
    """GFLOP/s of a matrix product [targets, train]·[train, train], the best of five."""
    left, right = (torch.rand(rows, train, device=device).to(precision) for rows in (targets, train))
    meter, best = Meter(device), 0.0
    for _ in range(5):
        began = meter.clock()
        left @ right
        best = max(best, 2 * targets * train**2 / (meter.clock() - began) / 1e9)
    return best


def relative_gap(x: np.ndarray, y: np.ndarray, coefficients: np.ndarray, lambdas: np.ndarray) -> np.ndarray:
    """(P − D)/P of each column of coefficients, from centred data in float64."""
    residual = y[:, None] - x @ coefficients
    primal = np.square(residual).mean(0) / 2 + lambdas * np.abs(coefficients).sum(0)
    slope = np.abs(x.T @ residual).max(0) / len(x)
    s = np.minimum(1, lambdas / np.maximum(slope, 1e-300))
    dual = s * (residual * y[:, None]).mean(0) - s**2 * np.square(residual).mean(0) / 2
    return (primal - dual) / primal


@dataclass(frozen=True)
class Centred:
    """One set of models as the others want it."""

    x: np.ndarray
    gram: np.ndarray
    mask_mean: np.ndarray

    @classmethod
    def of(cls, masks: np.ndarray) -> "Centred":
        """Centred masks in float64, column by column, and their Gram matrix."""
        mean = masks.mean(0)
        x = np.asfortranarray(masks - mean)
        return cls(x, np.ascontiguousarray(x.T @ x), mean)


Path20 = Callable[[Centred, np.ndarray, np.ndarray, np.ndarray | None, float], np.ndarray]


def by_scikit_learn(
    data: Centred, y: np.ndarray, lambdas: np.ndarray, start: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """Coordinate descent on the precomputed Gram matrix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, coefficients, _ = lasso_path(
            data.x, y, alphas=lambdas, precompute=data.gram, Xy=data.x.T @ y, coef_init=start, tol=tolerance,
            max_iter=100_000, check_input=False,
        )  # fmt: skip
    return np.asarray(coefficients)


def by_celer(
    data: Centred, y: np.ndarray, lambdas: np.ndarray, start: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """Working sets and dual extrapolation."""
    from celer import celer_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = celer_path(data.x, y, "lasso", alphas=lambdas, coef_init=start, tol=tolerance, max_iter=100)
    return np.asarray(found[1])


def by_skglm(
    data: Centred, y: np.ndarray, lambdas: np.ndarray, start: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """Its compiled coordinate descent on a Gram matrix; its solver would compute that anew for each λ."""
    from skglm.penalties import L1
    from skglm.solvers.gram_cd import _gram_cd_epoch
    from skglm.utils.jit_compilation import compiled_clone

    models = len(y)
    gram, slope = data.gram / models if data.gram[0, 0] > 1 else data.gram, data.x.T @ y / models
    w = np.zeros(len(slope)) if start is None else start.copy()
    gradient = gram @ w - slope
    out = []
    for penalty in lambdas:
        compiled = compiled_clone(L1(penalty))
        while _gram_cd_epoch(gram, w, gradient, compiled, False).max() > tolerance * penalty:
            pass
        out.append(w.copy())
    return np.stack(out, 1)


OTHERS: dict[str, tuple[Path20, tuple[float, ...]]] = {
    "scikit-learn": (by_scikit_learn, (1e-4, 6e-5, 4e-5, 3e-5, 2e-5, 1e-5)),
    "celer": (by_celer, (3e-4, 1e-4, 3e-5, 1e-5)),
    "skglm": (by_skglm, (3e-3, 1e-3, 6e-4, 3e-4, 1e-4)),
}
"""Each library's path, and tolerances (in its own terms) of which the first that reaches the gap is taken."""


@dataclass(frozen=True)
class Case:
    """Some targets that another library fits: where the data lie, and how closely it stops."""

    folder: str
    library: str
    targets: tuple[int, ...]
    tolerance: float
    loose: float | None = None
    """With it the path stops this early and ends after PATIENCE λ without a smaller error: our own shortcuts."""


def solve_case(case: Case) -> tuple[float, float]:
    """Seconds of a library for these targets, and the largest relative gap of paths and refits."""
    masks, margins = (np.load(f"{case.folder}/{name}.npy", mmap_mode="r") for name in ("masks", "margins"))
    rows, held = validation_split(len(masks), 0.1, 0)
    part, everything = _CENTRED.setdefault(case.folder, (Centred.of(masks[rows]), Centred.of(masks)))
    solve, tolerances = OTHERS[case.library][0], case.tolerance
    if case.library == "skglm" and not _WARM:
        solve(part, np.asarray(margins[rows, 0], float), np.array([1.0]), None, 1.0)
    _WARM.add(case.library)
    seconds, worst = 0.0, 0.0
    for target in case.targets:
        y = np.asarray(margins[:, target], float)
        fitted, whole = y[rows] - y[rows].mean(), y - y.mean()
        top = np.abs(part.x.T @ fitted).max() / len(rows)
        lambdas = top * RATIO ** (np.arange(N_LAMBDAS) / (N_LAMBDAS - 1))
        began = perf_counter()
        if case.loose is None:
            path = solve(part, fitted, lambdas, None, tolerances)
            errors = np.square(_held_residual(masks, y, rows, held, part, path)).mean(0)
            best = int(errors.argmin())
        else:
            path, best = _early(solve, part, fitted, lambdas, case.loose, masks, y, rows, held)
        final = solve(everything, whole, lambdas[best : best + 1], path[:, best].copy(), tolerances)
        seconds += perf_counter() - began
        gaps = [relative_gap(everything.x, whole, final, lambdas[best : best + 1])]
        if case.loose is None:
            gaps.append(relative_gap(part.x, fitted, path, lambdas))
        worst = max(worst, *(float(gap.max()) for gap in gaps))
    return seconds, worst


_CENTRED: dict[str, tuple[Centred, Centred]] = {}
_WARM: set[str] = set()


def _held_residual(
    masks: np.ndarray, y: np.ndarray, rows: np.ndarray, held: np.ndarray, part: Centred, path: np.ndarray
) -> np.ndarray:
    return np.asarray((y[held] - y[rows].mean())[:, None] - (masks[held] - part.mask_mean) @ path)


def _early(
    solve: Path20,
    part: Centred,
    fitted: np.ndarray,
    lambdas: np.ndarray,
    loose: float,
    masks: np.ndarray,
    y: np.ndarray,
    rows: np.ndarray,
    held: np.ndarray,
) -> tuple[np.ndarray, int]:
    """The path λ by λ, left after PATIENCE of them without a smaller error."""
    columns: list[np.ndarray] = []
    errors: list[float] = []
    start: np.ndarray | None = None
    for k in range(len(lambdas)):
        found = solve(part, fitted, lambdas[k : k + 1], start, loose)
        columns.append(found[:, 0])
        start = found[:, 0].copy()
        errors.append(float(np.square(_held_residual(masks, y, rows, held, part, found)).mean()))
        if k - int(np.argmin(errors)) >= PATIENCE:
            break
    return np.stack(columns, 1), int(np.argmin(errors))


def fit_half(folder: str, half: int) -> tuple[Datamodels, Meter, float]:
    """Our fit of every other target, with the counts that the parent made."""
    masks, margins, gram = (np.load(f"{folder}/{name}.npy") for name in ("masks", "margins", "gram"))
    return fit(masks, np.ascontiguousarray(margins[:, half::CORES]), gram=gram)


def rates_of(train: int) -> dict[torch.dtype, float]:
    """GFLOP/s of one core."""
    return {precision: product_rate(train, 512, precision, "cpu") for precision in (torch.float32, torch.bfloat16)}


def against_others(reference: int) -> None:
    """The comparison at n 2,000, m 8,000, 1,000 targets."""
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
    """Both halves of the targets at a time, the fastest of three turns; the slower half counts."""
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


def print_parts(meter: Meter, seconds: float, rates: dict[torch.dtype, float]) -> None:
    """Where the time went, and how fast it was."""
    rest = seconds - sum(meter.seconds.values())
    parts = " · ".join(f"{name} {value:.2f} s" for name, value in [*meter.seconds.items(), ("rest", rest)])
    print(f"{seconds:.2f} s: {parts}")
    shares = ", ".join(f"{meter.rate / rate:.0%} of {str(p)[6:]}'s {rate:.0f}" for p, rate in rates.items())
    print(f"path and refit {meter.rate:.0f} GFLOP/s: {shares} for one matrix product", flush=True)


def objective_excess(masks: np.ndarray, margins: np.ndarray, ours: Datamodels, targets: int) -> float:
    """Largest relative excess of our objective over scikit-learn's at a tiny gap, both in float64."""
    data, worst = Centred.of(masks), 0.0
    for target in range(targets):
        y = margins[:, target].astype(float) - margins[:, target].mean(dtype=float)
        penalty = float(ours.lambdas[target])
        best = by_scikit_learn(data, y, np.array([penalty]), None, 1e-8)[:, 0]
        mine, theirs = (
            np.square(y - data.x @ w).mean() / 2 + penalty * np.abs(w).sum()
            for w in (ours.weights[target].astype(float), best)
        )
        worst = max(worst, (mine - theirs) / theirs)
    return worst


def calibrated(pool: Any, folder: str, library: str, tolerances: tuple[float, ...]) -> float:
    """The loosest tolerance with which the library keeps to the gap for two targets."""
    for tolerance in tolerances:
        if max(gap for _, gap in pool.map(solve_case, [Case(folder, library, (k,), tolerance) for k in (0, 1)])) <= GAP:
            return tolerance
    raise RuntimeError(f"{library} does not reach a gap of {GAP:g}")


def shared_out(pool: Any, case: Case, targets: int) -> tuple[float, float]:
    """Seconds of all processes together for so many targets, and the largest gap."""
    shares = [Case(case.folder, case.library, case.targets[i::CORES], case.tolerance, case.loose) for i in range(CORES)]
    results = pool.map(solve_case, shares, chunksize=1)
    factor = targets / len(case.targets)
    return max(seconds for seconds, _ in results) * factor, max(gap for _, gap in results)


POINTS: list[tuple[int, int, int, dict[str, Any]]] = [
    *((n, 4 * n, 1000, {}) for n in (500, 2000, 8000)),
    *((2000, m, 1000, {}) for m in (2000, 32000)),
    *((2000, 8000, targets, {}) for targets in (100, 4000)),
    (2000, 8000, 1000, {"memory_budget_mb": 1}),
]
"""Examples with four models each, models, targets, and once more without the counts."""


def growth() -> None:
    """A line for each point; the parts grow in n²·m, in targets·n·m and in targets·n²·iterations."""
    titles = "n|m|targets|products with|s|Gram|XᵀY|path|refit|products a target|peak MB over data|foreseen"
    print("| " + titles.replace("|", " | ") + " |\n" + "|---" * (titles.count("|") + 1) + "|")
    for point in POINTS:
        command = [sys.executable, __file__, "point", json.dumps(point)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def one_point(train: int, models: int, targets: int, options: dict[str, Any]) -> None:
    """Measure one point in this process, whose peak is then its own."""
    torch.set_num_threads(1)
    masks, margins = planted(train, models, targets)
    fit(masks[:64, :64], margins[:64, :4])
    before = memory_now()
    out, meter, seconds = fit(masks, margins, **options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    products = meter.operations / (2 * targets * train**2)
    parts = " | ".join(f"{meter.seconds.get(name, 0):.2f}" for name in ("Gram", "XᵀY", "path", "refit"))
    how = "masks' bits" if options else "counts"
    print(f"| {train:,} | {models:,} | {targets:,} | {how} | {seconds:.1f} | {parts} | {products:.0f} |", end="")
    print(f" {peak - before:.0f} | {gram_megabytes(models, train, torch.device('cpu')):.0f} |")
    if out.duality_gap.max() > GAP:
        print(f"largest gap {out.duality_gap.max():.1e}")


def memory_now() -> float:
    """Resident megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def on_device(train: int, models: int, targets: int, device: str) -> None:
    """One large fit on an accelerator."""
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
    """Print the tables that were asked for."""
    mode, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("20", [])
    if mode == "point":
        one_point(*json.loads(rest[0]))
        return
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
