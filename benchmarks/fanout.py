"""Run thousands of shard tasks against a real Prefect server: completeness of its records, overhead, memory.

``python -m benchmarks.fanout --tasks 5000`` sends 5,000 tasks of 50 ms through the window, the runner and the retry
policy that comparisons use, with a private server, and then ``--long 40`` tasks of 10 s. Claims: every task is in the
API within a minute of the end; a task costs less than 60 ms beyond its work; the memory of flow and server stays flat;
slots work at least 97 % of the time with 10 s a task. Times count from the first shard's start: a worker process needs
seconds to import torch. Prints progress and ends with a table.

``--flows 4 --postgres`` sends the tasks from four flows at once, each with its own slots, to a server whose database is
PostgreSQL; the server's log must not mention a lock.
"""

import argparse
import os
import platform
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import psutil

from harness.fan_out import FanOut, recorded
from harness.postgres import postgres
from harness.prefect_server import prefect_server
from modeldiff_platform.flows.prefect_api.server import prefect_api
from modeldiff_platform.flows.prefect_api.supervisor import Home
from modeldiff_platform.flows.request import RunnerConfig


class Memory(threading.Thread):
    """A thread that samples the resident memory of some processes twice a second."""

    def __init__(self, **pids: int) -> None:
        super().__init__(daemon=True)
        self.processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.samples: dict[str, list[int]] = {name: [] for name in pids}
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            for name, process in self.processes.items():
                self.samples[name].append(process.memory_info().rss)

    def lines(self) -> dict[str, str]:
        """Return the median of each third of the time, in MB."""
        self.stopped.set()
        self.join()
        lines = {}
        for name, samples in self.samples.items():
            thirds = [sorted(samples[len(samples) * i // 3 : len(samples) * (i + 1) // 3]) for i in range(3)]
            lines[name] = ", ".join(f"{third[len(third) // 2] / 2**20:.0f}" for third in thirds if third)
        return lines


@dataclass(frozen=True)
class Server:
    """A Prefect server of this benchmark: its process, and the logs in which a lock would be mentioned."""

    pid: int
    logs: tuple[Path, ...]

    def locks(self) -> int:
        """Return the number of lines of its logs that mention a lock."""
        text = "\n".join(log.read_text() for log in self.logs)
        return len(re.findall(r"(?im)^.*(?:deadlock|database is locked|lock not available|lock timeout).*$", text))


@contextmanager
def private(folder: Path) -> Iterator[Server]:
    """Yield the private server that a command without a configured API starts."""
    home = Home((folder / "home").resolve())
    with prefect_api(home.root):
        state = home.state()
        assert state is not None
        yield Server(state.pid, (home.log,))


@contextmanager
def on_postgres(folder: Path) -> Iterator[Server]:
    """Yield a server with PostgreSQL, as in docker/compose.yaml, that is the configured API of this process."""
    folder.chmod(0o755)
    batches = {
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    }
    with (
        postgres(folder) as url,
        prefect_server(folder, PREFECT_SERVER_DATABASE_CONNECTION_URL=url, **batches) as server,
    ):
        os.environ.update(server.environment)
        assert server.process is not None
        yield Server(server.process.pid, (folder / "server.log", folder / "data" / "log.txt"))


def measured(plan: FanOut, server: Server) -> str:
    """Run one fan-out, and return its row of the table."""
    memory = Memory(flow=os.getpid(), server=server.pid)
    memory.start()
    done = plan.run()
    count = len(plan.indices)
    in_api, lag = recorded(done.flow_run, count)
    used = memory.lines()
    return (
        f"| {plan.runner.kind}, {len(plan.runner.slots())} slots | {count} × {plan.seconds:g} s | {done.span:.0f} s "
        f"| {1000 * done.overhead:.0f} ms | {100 * done.busy:.1f} % | {in_api} of {count} after {lag:.0f} s "
        f"| {used['flow']} | {used['server']} |"
    )


def main() -> None:
    """Run both fan-outs on one server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5000, help="shards of --seconds each, of all flows together")
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--long", type=int, default=40, help="shards of 10 s; 0 for none")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="slots of each flow")
    parser.add_argument("--kind", choices=["local", "dask", "ray"], default="local")
    parser.add_argument("--flows", type=int, default=1, help="flows at once, each in its own process")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL as the server's database")
    options = parser.parse_args()
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "ERROR"
    runner = RunnerConfig(kind=options.kind, workers=options.workers)
    rows = []
    os.environ.pop("PREFECT_API_URL", None)
    with tempfile.TemporaryDirectory(prefix="fanout-") as name:
        folder = Path(name)
        with (on_postgres if options.postgres else private)(folder) as server:
            for count, seconds in ((options.tasks, options.seconds), (options.long, 10.0)):
                if count:
                    plan = FanOut(list(range(count // options.flows)), seconds, name, runner)
                    with ProcessPoolExecutor(options.flows, get_context("spawn")) as flows:
                        rows += flows.map(measured, [plan] * options.flows, [server] * options.flows)
                    print(*rows, sep="\n", file=sys.stderr, flush=True)
            locks = server.locks()
    print(f"{datetime.now(UTC):%Y-%m-%d} · {platform.machine()}, {os.cpu_count()} cores")
    print("| runner | shards | wall | overhead a shard | slots busy | in the API | flow MB, by thirds | server MB |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"{locks} lines of the server's logs mention a lock")


if __name__ == "__main__":
    main()
