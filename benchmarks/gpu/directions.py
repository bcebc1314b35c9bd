"""Residual PCA on the device against a float64 solution, and its seconds compared with the CPU's."""

from collections.abc import Iterator
from time import perf_counter

from benchmarks.gpu.results import Bench, Comparison, Rate, Result
from benchmarks.gpu.tasks import finish
from benchmarks.residual_pca import attributions, exact, sines
from modeldiff_core.comparison import residual_pca

SINE = 1e-4
"""Largest sine of the angle between a direction and that of the float64 solution."""


def directions(bench: Bench) -> Iterator[Result]:
    """Yield the largest angle to a direction of the float64 solution (ARPACK on the Gram matrix of residuals)."""
    targets, train, components = (200, 500, 5) if bench.quick else (1000, 4000, 10)
    a, b = attributions(targets, train)
    found = residual_pca(a, b, components, device=bench.device)
    error = float(sines(found.directions, exact(a, b, components)).max())
    yield Comparison(f"residual PCA, {targets:,} × {train:,}, {components} directions, sine of the angle", error, SINE)
    on_cpu = residual_pca(a, b, components)
    for name in ("explained_variance_a", "explained_variance_b"):
        ours, theirs = getattr(found, name), getattr(on_cpu, name)
        yield Comparison(f"residual PCA, {name}", float(abs(ours / theirs - 1).max()), SINE)


def directions_rate(bench: Bench) -> Iterator[Result]:
    """Yield the seconds a target of residual PCA with 50 directions on the CPU and on the device."""
    targets, train, components = (200, 500, 5) if bench.quick else (4000, 16_000, 50)
    a, b = attributions(targets, train)
    usual = None
    for way, device in (("one core of the CPU", "cpu"), (bench.device, bench.device)):
        residual_pca(a[:300, :400], b[:300, :400], components, device=device)  # loads the libraries
        finish(bench.device)
        began = perf_counter()
        residual_pca(a, b, components, device=device)
        seconds = perf_counter() - began
        usual = usual or seconds
        yield Rate(f"residual PCA, {targets:,} × {train:,}", way, seconds / targets, "target", ratio=usual / seconds)
