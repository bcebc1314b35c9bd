"""Compare residual PCA with residuals formed in NumPy and scikit-learn's PCA with its defaults.

    python -m benchmarks.residual_pca [--targets 5000] [--train 20000] [--components 50] [--turns 3] [--device cpu]

Attribution matrices in float32: a part that both algorithms share, 100 directions of decreasing strength that only A
has, and noise. Seconds are medians over alternating turns. The error is the sine of the angle between a direction and
that of a float64 solution (ARPACK on the Gram matrix of residuals formed in float64). Memory is the peak of a fresh
process beyond its memory before it read its input, over the size of both input matrices. Goals: no slower, no larger
error, directions within 1e-5, memory at most twice the input.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from sklearn.decomposition import PCA

from modeldiff_core.comparison import residual_pca

MATRICES = ("a.npy", "b.npy")


def attributions(targets: int, train: int) -> tuple[np.ndarray, np.ndarray]:
    """Return A's and B's matrices [targets, train]."""
    rng = np.random.default_rng(0)

    def part(rank: int, strengths: np.ndarray) -> np.ndarray:
        loadings = rng.standard_normal((targets, rank), np.float32) * strengths.astype(np.float32)
        basis = np.linalg.qr(rng.standard_normal((train, rank), np.float32))[0].T
        return np.asarray(loadings @ basis)

    shared = part(200, np.geomspace(20, 1, 200))
    only_a = part(100, np.geomspace(12, 1, 100))
    noise = [0.03 * rng.standard_normal((targets, train), np.float32) for _ in range(2)]
    return shared + only_a + noise[0], shared + noise[1]


def usual(a: np.ndarray, b: np.ndarray, components: int) -> np.ndarray:
    """Return directions by NumPy and scikit-learn."""
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    left = a - (a * b).sum(1, keepdims=True) * b
    return np.asarray(PCA(components, random_state=0).fit(left).components_)


def exact(a: np.ndarray, b: np.ndarray, components: int) -> np.ndarray:
    """Return directions computed in float64, in blocks of training examples."""
    length, product, power = (np.zeros(len(a)) for _ in range(3))
    blocks = [slice(at, at + 1000) for at in range(0, a.shape[1], 1000)]
    for block in blocks:
        x, y = a[:, block].astype(float), b[:, block].astype(float)
        length, product, power = length + (x * x).sum(1), product + (x * y).sum(1), power + (y * y).sum(1)

    def residual(block: slice) -> np.ndarray:
        left = a[:, block].astype(float) - (product / power)[:, None] * b[:, block]
        left /= np.sqrt(length)[:, None]
        return np.asarray(left - left.mean(0))

    gram = np.zeros((len(a), len(a)))
    for block in blocks:
        left = residual(block)
        gram += left @ left.T
    _, vectors = eigsh(gram, components, tol=1e-13)
    directions = np.concatenate([vectors.T @ residual(block) for block in blocks], 1)[::-1]
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))


def sines(directions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the sine of the angle between each direction and its reference."""
    unit = directions.astype(float) / np.linalg.norm(directions.astype(float), axis=1, keepdims=True)
    cosine = np.einsum("ij,ij->i", unit, reference)
    return np.asarray(np.linalg.norm(unit - cosine[:, None] * reference, axis=1))


def peak(way: str, folder: Path, components: int) -> float:
    """Return the peak memory of a fresh process (started with --memory) over the size of its input."""
    command = [sys.executable, "-m", "benchmarks.residual_pca", "--memory", way, str(folder), str(components)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_peak(way: str, folder: Path, components: int) -> None:
    """Print the peak memory of one way beyond the memory that the process held before, over the size of its input."""
    warm = np.random.default_rng(0).standard_normal((2, 40, 60)).astype(np.float32)
    (usual if way == "usual" else residual_pca)(warm[0], warm[1], 2)
    before = status("VmRSS")
    a, b = (np.load(folder / name) for name in MATRICES)
    (usual if way == "usual" else residual_pca)(a, b, components)
    print((status("VmHWM") - before) / (a.nbytes + b.nbytes))


def status(field: str) -> int:
    """Return bytes that Linux reports for this process: VmRSS (current) or VmHWM (peak)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    """Measure and print a table."""
    if sys.argv[1:2] == ["--memory"]:
        measure_peak(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("targets", 5000), ("train", 20000), ("components", 50), ("turns", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    a, b = attributions(options.targets, options.train)
    k = options.components
    ways: dict[str, Callable[[], np.ndarray]] = {
        "NumPy and scikit-learn": lambda: usual(a, b, k),
        "residual_pca": lambda: residual_pca(a, b, k, device=options.device).directions,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    directions: dict[str, np.ndarray] = {}
    for turn in range(options.turns):
        for name, way in ways.items():
            began = perf_counter()
            directions[name] = way()
            seconds[name].append(perf_counter() - began)
            print(f"turn {turn + 1}, {name}: {seconds[name][-1]:.1f} s", flush=True)
    print("exact solution ...", flush=True)
    reference = exact(a, b, k)
    with tempfile.TemporaryDirectory() as folder:
        for name, matrix in zip(MATRICES, (a, b), strict=True):
            np.save(Path(folder) / name, matrix)
        memory = dict(zip(ways, (peak(way, Path(folder), k) for way in ("usual", "ours")), strict=True))
    print(
        f"\n{options.targets:,} × {options.train:,}, {k} components, {torch.get_num_threads()} threads, "
        f"{options.device}, {platform.processor() or platform.machine()}, {datetime.now(UTC):%Y-%m-%d}\n"
    )
    print("| way | seconds | × | largest error | median error | memory / input |\n|---|---|---|---|---|---|")
    base = float(np.median(seconds["NumPy and scikit-learn"]))
    for name in ways:
        typical, error = float(np.median(seconds[name])), sines(directions[name], reference)
        print(
            f"| {name} | {typical:.1f} | {base / typical:.2f} | {error.max():.1e} | {np.median(error):.1e} | "
            f"{memory[name]:.2f} |"
        )


if __name__ == "__main__":
    main()
