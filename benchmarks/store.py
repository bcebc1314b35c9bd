"""Shards written, scanned, consolidated and read by columns, on a folder and on a real S3 server on loopback.

2,000 shards of [16 × 1,000] float32 margins, then 10,000 of float16, written by two processes. For each it prints
  - scan:           one listing that finds the missing shards,
  - bytes:          reading every shard's bytes once, as many at a time as the consolidation does, without looking,
  - shards:         the same with every check, which is also what a block of columns costs without a matrix,
  - consolidation:  all shards into one matrix, in a process of its own; its peak memory is that process's,
  - block:          100 columns of the matrix, with their checksums; ratio: shards / block.
The middle three are repeated in turn, since the machine may be shared; a ratio is the median of the rounds' ratios.
At last 10,000 and 30,000 models of 10,000 float16 targets and 50,000 training examples, in shards of 100, show that
memory does not grow with the models:
    peak ≤ base + 2·ROWS·(bytes of a margin · targets + train/8) + 2·READERS·shard + little else,
two buffers, of which one is written while the other is filled, and the shards read ahead.

    python -m benchmarks.store [rounds, 3 by default]
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
from time import perf_counter
from typing import Any

import numpy as np

from modeldiff_core.store import (
    MarginMatrix,
    ObjectStore,
    Shard,
    StoreSettings,
    done_shards,
    read_shards,
    shard_key,
    write_matrix,
    write_shard,
)
from modeldiff_core.store.matrices import COLUMNS, ROWS
from modeldiff_core.store.shards import READERS
from tests.servers import s3_server

IDENTITY = {"benchmark": 1}
PREFIX = "trainings/x/subsets"

Spawn = multiprocessing.get_context("spawn")


def write(settings: StoreSettings, indices: range, shape: tuple[int, int, int], dtype: str) -> None:
    """Shards of those indices; shape: models, targets, training examples. In a process of its own."""
    store = ObjectStore(settings)
    models, targets, train = shape
    rng = np.random.default_rng(0)
    margins = rng.normal(size=(models, targets)).astype(dtype)
    for index in indices:
        masks = rng.integers(0, 2, (models, train), dtype=np.uint8).astype(bool)
        shard = Shard(index * models, masks, np.roll(margins, index, axis=1), np.zeros(models, bool))
        write_shard(store, PREFIX, index, shard, IDENTITY)


def write_by_two(settings: StoreSettings, count: int, shape: tuple[int, int, int], dtype: str) -> float:
    """Seconds that two processes take for all shards."""
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


def read_bytes(store: ObjectStore, count: int) -> float:
    """Seconds to fetch every shard once."""
    began = perf_counter()
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(READERS) as threads:
        for index in range(count):
            waiting.append(threads.submit(store.read, shard_key(PREFIX, index)))
            if len(waiting) == 2 * READERS:
                waiting.popleft().result()
    return perf_counter() - began


def intact(store: ObjectStore, count: int) -> Iterator[Shard]:
    """The shards, of which none may be damaged."""
    for _, shard in read_shards(store, PREFIX, range(count), IDENTITY):
        assert isinstance(shard, Shard), shard
        yield shard


def block_from_shards(store: ObjectStore, count: int) -> tuple[float, np.ndarray]:
    """Seconds for the first 100 columns without a matrix, and those columns."""
    began = perf_counter()
    block = np.concatenate([shard.margins[:, :COLUMNS] for shard in intact(store, count)])
    return perf_counter() - began, block


def peak_memory() -> int:
    """Most resident bytes of this process so far (getrusage would count its parent's before the exec)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def consolidate(
    settings: StoreSettings, count: int, shape: tuple[int, int, int], answers: "multiprocessing.Queue[Any]"
) -> None:
    """Puts seconds, and resident bytes before and at the peak. In a process of its own."""
    store = ObjectStore(settings)
    store.exists("warm/up")
    before = peak_memory()
    models, targets, train = shape
    began = perf_counter()
    write_matrix(store, "trainings/x/margins", intact(store, count), count * models, train, targets, IDENTITY)
    seconds = perf_counter() - began
    answers.put((seconds, before, peak_memory()))


def consolidated(settings: StoreSettings, count: int, shape: tuple[int, int, int]) -> tuple[float, float, float]:
    """What `consolidate` puts."""
    answers: multiprocessing.Queue[Any] = Spawn.Queue()
    process = Spawn.Process(target=consolidate, args=(settings, count, shape, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("the consolidation failed")
    seconds, before, peak = answers.get(timeout=5)
    return seconds, before, peak


def timed(operation: Callable[[], Any], times: int) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(times):
        began = perf_counter()
        operation()
        seconds.append(perf_counter() - began)
    return statistics.median(seconds)


def measure(settings: StoreSettings, count: int, dtype: str, rounds: int) -> str:
    """One line of the table."""
    shape = (16, 1000, 1000)
    store = ObjectStore(settings)
    written = write_by_two(settings, count, shape, dtype)
    assert done_shards(store, PREFIX) == set(range(count))
    scan = timed(lambda: done_shards(store, PREFIX), 5)
    fetched, checked, gathered, peaks, blocks = [], [], [], [], []
    for _ in range(rounds):
        fetched.append(read_bytes(store, count))
        seconds, from_shards = block_from_shards(store, count)
        checked.append(seconds)
        seconds, _, peak = consolidated(settings, count, shape)
        gathered.append(seconds)
        peaks.append(peak)
        matrix = MarginMatrix.open(store, "trainings/x/margins")
        blocks.append(timed(lambda matrix=matrix: matrix.margins(0, COLUMNS), 5))
        np.testing.assert_array_equal(matrix.margins(0, COLUMNS), from_shards)

    def middle(pairs: list[float], by: list[float]) -> float:
        return statistics.median(a / b for a, b in zip(pairs, by, strict=True))

    return (
        f"| {settings.url.split('://')[0]}, {count:,} × {dtype} | {written:.1f} | {scan:.2f} | "
        f"{statistics.median(fetched):.1f} | {statistics.median(checked):.1f} | {statistics.median(gathered):.1f} | "
        f"{middle(gathered, fetched):.2f} | {middle(gathered, checked):.2f} | {1000 * statistics.median(blocks):.0f} | "
        f"{middle(checked, blocks):.0f} | {max(peaks) / 1e6:.0f} |"
    )


def measure_large(settings: StoreSettings, models: int) -> str:
    """Peak memory of a large consolidation beside the formula."""
    shape = (100, 10_000, 50_000)
    written = write_by_two(settings, models // 100, shape, "float16")
    seconds, before, peak = consolidated(settings, models // 100, shape)
    buffers = 2 * min(ROWS, models) * (2 * shape[1] + shape[2] // 8)
    ahead = 2 * READERS * shape[0] * (2 * shape[1] + shape[2])
    return (
        f"{models:,} × {shape[1]:,} float16, {shape[2]:,} training examples: written in {written:.0f} s, consolidated "
        f"in {seconds:.0f} s; peak {peak / 1e6:.0f} MB = base {before / 1e6:.0f} + buffers {buffers / 1e6:.0f} + "
        f"shards read ahead {ahead / 1e6:.0f} + {(peak - before - buffers - ahead) / 1e6:.0f}"
    )


def main() -> None:
    """Print the table and the large cases."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, {rounds} rounds")
    print(
        "| store | write, s | scan, s | bytes, s | shards, s | consolidation, s | / bytes | / shards | block, ms | "
        "shards / block | peak, MB |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(prefix="store-") as name:
        folder = Path(name)
        (folder / "s3").mkdir()
        with s3_server(folder / "s3") as server:
            os.environ.update(server.environment)
            for count, dtype in ((2_000, "float32"), (10_000, "float16")):
                print(measure(StoreSettings(str(folder / dtype)), count, dtype, rounds), flush=True)
                remote = StoreSettings(f"s3://{server.bucket}/{dtype}", server.endpoint)
                print(measure(remote, count, dtype, rounds), flush=True)
            for models in (10_000, 30_000):
                print("file: " + measure_large(StoreSettings(str(folder / f"large-{models}")), models), flush=True)
            remote = StoreSettings(f"s3://{server.bucket}/large", server.endpoint)
            print("s3: " + measure_large(remote, 10_000), flush=True)


if __name__ == "__main__":
    main()
