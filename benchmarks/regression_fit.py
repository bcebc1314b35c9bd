"""A regression of a study's kind, with the time and the operations of its parts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from unittest import mock

import numpy as np
import torch

from modeldiff_core.datamodels import Datamodels, fit_lasso, lasso
from modeldiff_core.datamodels.design import GramDesign, PackedDesign
from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.subsets import SubsetSampler

N_LAMBDAS, RATIO, GAP = 20, 0.01, 1e-4


def planted(train: int, models: int, targets: int, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Draw masks and margins: a tenth of the weights is not zero, noise is 1.7 times the signal's deviation."""
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
        """Return the time once the device has finished all its work."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        return perf_counter()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, which then adds its time to a part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            began = self.clock()
            out = function(*args, **kwargs)
            self.seconds[name] = self.seconds.get(name, 0) + self.clock() - began
            return out

        return call

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a product of a design, which then adds the operations that it stands for."""

        def call(design: Any, rows: torch.Tensor) -> Any:
            matrix = len(design.mask_mean) ** 2 if isinstance(design, GramDesign) else 2 * design.bits.numel() * 8
            self.operations += 2 * len(rows) * matrix
            return function(design, rows)

        return call

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure the fits inside the block."""
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
        """GFLOP/s of path and refit, over all the time they take."""
        return self.operations / (self.seconds["path"] + self.seconds["refit"]) / 1e9


def fit(masks: np.ndarray, margins: np.ndarray, device: str = "cpu", **options: Any) -> tuple[Datamodels, Meter, float]:
    """Fit, and return the datamodels, the parts, and the seconds from masks and margins to weights."""
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
    """Return the GFLOP/s of a matrix product [targets, train]·[train, train], the best of five."""
    left, right = (torch.rand(rows, train, device=device).to(precision) for rows in (targets, train))
    meter, best = Meter(device), 0.0
    for _ in range(5):
        began = meter.clock()
        left @ right
        best = max(best, 2 * targets * train**2 / (meter.clock() - began) / 1e9)
    return best


def print_parts(meter: Meter, seconds: float, rates: dict[torch.dtype, float]) -> None:
    """Print the seconds of each part, and the rates."""
    rest = seconds - sum(meter.seconds.values())
    parts = " · ".join(f"{name} {value:.2f} s" for name, value in [*meter.seconds.items(), ("rest", rest)])
    print(f"{seconds:.2f} s: {parts}")
    shares = ", ".join(f"{meter.rate / rate:.0%} of {str(p)[6:]}'s {rate:.0f}" for p, rate in rates.items())
    print(f"path and refit {meter.rate:.0f} GFLOP/s: {shares} for one matrix product", flush=True)
