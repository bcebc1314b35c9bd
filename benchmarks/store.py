"""Measure how shards are written, scanned, consolidated and read by columns, in a folder and on a real S3 server.

2,000 shards of [16 × 1,000] float32 margins, then 10,000 of float16, written by two processes. For each it prints
  - scan:           one listing that finds the missing shards,
  - bytes:          reading every shard's bytes once, as many at a time as the consolidation does, without checks,
  - shards:         the same with every check, which is also the cost of a block of columns without a matrix,
  - consolidation:  all shards into one matrix, in a separate process, whose peak memory is reported,
  - block:          100 columns of the matrix, with their checksums; ratio: shards / block.
The middle three are repeated in turn, since the machine may be shared. A ratio is the median of the rounds' ratios, by
the clock and, for consolidation / bytes, also by processor time of the reading process and the server.
Finally 10,000 and 30,000 models of 10,000 float16 targets and 50,000 training examples, in shards of 100, show that
memory does not grow with the models:
    peak ≤ base + 2·ROWS·(bytes of a margin · targets + train/8) + 2·READERS·shard + little else,
for two buffers, of which one is written while the other is filled, and the shards fetched ahead.

    python -m benchmarks.store [rounds, 3 by default [of float32, float16, large: those to run]]
"""

import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from harness.s3_server import S3Server, s3_server
from harness.stored_shards import done_shards
from modeldiff_core.store import (
    MarginMatrix,
    ObjectStore,
    Shard,
    StoreSettings,
    read_shards,
    shard_key,
    write_matrix,
    write_shard,
)
from modeldiff_core.store.matrices import COLUMNS, ROWS
from modeldiff_core.store.shards import READERS

IDENTITY = {
    "recipe_version": 1,
    "dataset": {"kind": "digits", "fingerprint": "2b3bf022f0285c33" * 4, "targets": 1000},
    "algorithm": {
        "kind": "sgd",
        "seed": 1,
        "recipe": {
            "network": {"kind": "mlp", "widths": [64], "init": "random", "init_sha256": "", "trainable": "all"},
            "epochs": 15,
            "batch_size": 50,
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.0005,
            "label_smoothing": 0.0,
            "schedule": "triangular",
            "peak": 0.2,
            "mean": 0.5,
            "scale": 0.5,
            "augmentations": [],
            "precision": "float32",
            "test_time": "none",
        },
    },
    "subsets": {"fraction": 0.5, "seed": 0, "shard_size": 16},
    "ensemble": {"shard_size": 10},
    "output": "margin",
}
"""An identity as long as those of trainings, since the identity of every shard is compared."""
PREFIX = "trainings/x/subsets"

Spawn = multiprocessing.get_context("spawn")


def write(settings: StoreSettings, indices: range, shape: tuple[int, int, int], dtype: str) -> None:
    """Write the shards of these indices; `shape` holds models, targets and training examples. Run in a new process."""
    store = ObjectStore(settings)
    models, targets, train = shape
    rng = np.random.default_rng(0)
    margins = rng.normal(size=(models, targets)).astype(dtype)
    for index in indices:
        masks = rng.integers(0, 2, (models, train), dtype=np.uint8).astype(bool)
        shard = Shard(index * models, masks, np.roll(margins, index, axis=1), np.zeros(models, bool))
        write_shard(store, PREFIX, index, shard, IDENTITY)


def write_by_two(settings: StoreSettings, count: int, shape: tuple[int, int, int], dtype: str) -> float:
    """Return the seconds that two processes take to write all shards."""
    halves = range(0, count, 2), range(1, count, 2)
    began = perf_counter()
    writers = [Spawn.Process(target=write, args=(settings, half, shape, dtype)) for half in halves]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        if writer.exitcode:
            raise RuntimeError("a writer failed")
    return perf_counter() - began


def processor(server: S3Server | None) -> float:
    """Return the seconds of processor time that an S3 server has used so far; 0 without one."""
    if server is None or server.process is None:
        return 0.0
    times = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def read_bytes(store: ObjectStore, count: int) -> tuple[float, float]:
    """Return the seconds to fetch every shard once, by the clock and of this process."""
    began, busy = perf_counter(), process_time()
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(READERS) as threads:
        for index in range(count):
            waiting.append(threads.submit(store.read, shard_key(PREFIX, index)))
            if len(waiting) == 2 * READERS:
                waiting.popleft().result()
    return perf_counter() - began, process_time() - busy


def intact(store: ObjectStore, count: int) -> Iterator[Shard]:
    """Yield the shards; fail for a damaged one."""
    for _, shard in read_shards(store, PREFIX, range(count), IDENTITY):
        assert isinstance(shard, Shard), shard
        yield shard


def block_from_shards(store: ObjectStore, count: int) -> tuple[float, np.ndarray]:
    """Return the seconds for the first 100 columns without a matrix, and those columns."""
    began = perf_counter()
    block = np.concatenate([shard.margins[:, :COLUMNS] for shard in intact(store, count)])
    return perf_counter() - began, block


def peak_memory() -> int:
    """Return the peak resident bytes of this process (getrusage would count its parent's before the exec)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def consolidate(
    settings: StoreSettings, count: int, shape: tuple[int, int, int], answers: "multiprocessing.Queue[Any]"
) -> None:
    """Consolidate in this new process; put its seconds by clock and CPU, and resident bytes before and at peak."""
    store = ObjectStore(settings)
    store.exists("warm/up")
    before = peak_memory()
    models, targets, train = shape
    began, busy = perf_counter(), process_time()
    write_matrix(store, "trainings/x/margins", intact(store, count), count * models, train, targets, IDENTITY)
    answers.put((perf_counter() - began, process_time() - busy, before, peak_memory()))


def consolidated(settings: StoreSettings, count: int, shape: tuple[int, int, int]) -> tuple[float, float, int, int]:
    """Run `consolidate` in a new process, and return what it puts."""
    answers: multiprocessing.Queue[Any] = Spawn.Queue()
    process = Spawn.Process(target=consolidate, args=(settings, count, shape, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("the consolidation failed")
    seconds, busy, before, peak = answers.get(timeout=5)
    return seconds, busy, before, peak


def timed(operation: Callable[[], Any], times: int) -> float:
    """Return the median seconds of an operation."""
    seconds = []
    for _ in range(times):
        began = perf_counter()
        operation()
        seconds.append(perf_counter() - began)
    return statistics.median(seconds)


def measure(settings: StoreSettings, count: int, dtype: str, rounds: int, server: S3Server | None = None) -> str:
    """Return one line of the table, counting the processor time of `server` too."""
    shape = (16, 1000, 1000)
    store = ObjectStore(settings)
    written = write_by_two(settings, count, shape, dtype)
    assert done_shards(store, PREFIX) == set(range(count))
    scan = timed(lambda: done_shards(store, PREFIX), 5)
    fetched, checked, gathered, work, peaks, blocks = [], [], [], [], [], []
    for _ in range(rounds):
        before = processor(server)
        seconds, busy = read_bytes(store, count)
        fetched.append(seconds)
        of_bytes = busy + processor(server) - before
        seconds, from_shards = block_from_shards(store, count)
        checked.append(seconds)
        before = processor(server)
        seconds, busy, _, peak = consolidated(settings, count, shape)
        gathered.append(seconds)
        work.append((busy + processor(server) - before) / of_bytes)
        peaks.append(peak)
        matrix = MarginMatrix.open(store, "trainings/x/margins")
        blocks.append(timed(lambda matrix=matrix: matrix.margins(0, COLUMNS), 5))
        np.testing.assert_array_equal(matrix.margins(0, COLUMNS), from_shards)

    def middle(pairs: list[float], by: list[float]) -> float:
        return statistics.median(a / b for a, b in zip(pairs, by, strict=True))

    return (
        f"| {settings.url.split('://')[0]}, {count:,} × {dtype} | {written:.1f} | {scan:.2f} | "
        f"{statistics.median(fetched):.1f} | {statistics.median(checked):.1f} | {statistics.median(gathered):.1f} | "
        f"{middle(gathered, fetched):.2f} | {statistics.median(work):.2f} | {middle(gathered, checked):.2f} | "
        f"{1000 * statistics.median(blocks):.0f} | "
        f"{middle(checked, blocks):.0f} | {max(peaks) / 1e6:.0f} |"
    )


def measure_large(settings: StoreSettings, models: int) -> str:
    """Return the peak memory of a large consolidation next to the formula."""
    shape = (100, 10_000, 50_000)
    written = write_by_two(settings, models // 100, shape, "float16")
    seconds, _, before, peak = consolidated(settings, models // 100, shape)
    buffers = 2 * min(ROWS, models) * (2 * shape[1] + shape[2] // 8)
    ahead = 2 * READERS * shape[0] * (2 * shape[1] + shape[2] // 8)
    return (
        f"{models:,} × {shape[1]:,} float16, {shape[2]:,} training examples: written in {written:.0f} s, consolidated "
        f"in {seconds:.0f} s; peak {peak / 1e6:.0f} MB = base {before / 1e6:.0f} + buffers {buffers / 1e6:.0f} + "
        f"shards fetched ahead {ahead / 1e6:.0f} + {(peak - before - buffers - ahead) / 1e6:.0f}"
    )


def main() -> None:
    """Print the table and the large cases."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    wanted = sys.argv[2:] or ["float32", "float16", "large"]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, {rounds} rounds")
    print(
        "| store | write, s | scan, s | bytes, s | shards, s | consolidation, s | / bytes | / bytes, processor | "
        "/ shards | block, ms | shards / block | peak, MB |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(prefix="store-") as name:
        folder = Path(name)
        (folder / "s3").mkdir()
        with s3_server(folder / "s3") as server:
            os.environ.update(server.environment)
            for count, dtype in ((2_000, "float32"), (10_000, "float16")):
                if dtype in wanted:
                    print(measure(StoreSettings(str(folder / dtype)), count, dtype, rounds), flush=True)
                    remote = StoreSettings(f"s3://{server.bucket}/{dtype}", server.endpoint)
                    print(measure(remote, count, dtype, rounds, server), flush=True)
            if "large" in wanted:
                for models in (10_000, 30_000):
                    print("file: " + measure_large(StoreSettings(str(folder / f"large-{models}")), models), flush=True)
                remote = StoreSettings(f"s3://{server.bucket}/large", server.endpoint)
                print("s3: " + measure_large(remote, 10_000), flush=True)


if __name__ == "__main__":
    main()
