"""Thousands of shard tasks against a real Prefect server: what is recorded, what a shard costs, what memory does.

``python -m benchmarks.fanout --tasks 5000`` sends 5,000 tasks of 50 ms through the window, the runner and the retry
policy that comparisons use, with a private server of its own, and then ``--long 40`` tasks of 10 s. Claims: every task
is in the API within a minute of the end; a task costs less than 60 ms beyond its work; the memory of flow and server
stays flat; slots work at least 97 % of the time with 10 s a task. Times count from the first shard's start: a worker
process needs seconds to import torch. Prints progress and ends with a table.

``--flows 4 --postgres`` has the tasks sent by four flows at once, each with slots of its own, to a server whose
database is PostgreSQL; the server's log must not name a lock.
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

from flows.prefect_api.server import prefect_api
from flows.prefect_api.supervisor import Home
from flows.request import RunnerConfig
from harness.fan_out import FanOut, recorded
from harness.postgres import postgres
from harness.prefect_server import prefect_server


class Memory(threading.Thread):
    """Resident memory of some processes, twice a second."""

    def __init__(self, **pids: int) -> None:
        super().__init__(daemon=True)
        self.processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.seen: dict[str, list[int]] = {name: [] for name in pids}
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            for name, process in self.processes.items():
                self.seen[name].append(process.memory_info().rss)

    def lines(self) -> dict[str, str]:
        """Median of each third of the time, in MB."""
        self.stopped.set()
        self.join()
        found = {}
        for name, seen in self.seen.items():
            thirds = [sorted(seen[len(seen) * i // 3 : len(seen) * (i + 1) // 3]) for i in range(3)]
            found[name] = ", ".join(f"{third[len(third) // 2] / 2**20:.0f}" for third in thirds if third)
        return found


@dataclass(frozen=True)
class Server:
    """A Prefect server of this benchmark: its process, and the logs in which a lock would be named."""

    pid: int
    logs: tuple[Path, ...]

    def locks(self) -> int:
        """Lines of its logs that tell of a lock."""
        said = "\n".join(log.read_text() for log in self.logs)
        return len(re.findall(r"(?im)^.*(?:deadlock|database is locked|lock not available|lock timeout).*$", said))


@contextmanager
def private(folder: Path) -> Iterator[Server]:
    """The server that a command without an API of its own would start."""
    home = Home((folder / "home").resolve())
    with prefect_api(home.root):
        state = home.state()
        assert state is not None
        yield Server(state.pid, (home.log,))


@contextmanager
def on_postgres(folder: Path) -> Iterator[Server]:
    """A server as docker/compose.yaml has it, with PostgreSQL behind it, as the configured API of this process."""
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
    """A row of the table: one fan-out, and what the API and the memory say of it."""
    memory = Memory(flow=os.getpid(), server=server.pid)
    memory.start()
    done = plan.run()
    count = len(plan.indices)
    found, lag = recorded(done.flow_run, count)
    used = memory.lines()
    return (
        f"| {plan.runner.kind}, {len(plan.runner.slots())} slots | {count} × {plan.seconds:g} s | {done.span:.0f} s "
        f"| {1000 * done.overhead:.0f} ms | {100 * done.busy:.1f} % | {found} of {count} after {lag:.0f} s "
        f"| {used['flow']} | {used['server']} |"
    )


def main() -> None:
    """Both fan-outs on a server of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5000, help="shards of --seconds each, of all flows together")
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--long", type=int, default=40, help="shards of 10 s; 0 for none")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="slots of each flow")
    parser.add_argument("--kind", choices=["local", "dask", "ray"], default="local")
    parser.add_argument("--flows", type=int, default=1, help="flows at once, each in a process of its own")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL as the server's database")
    given = parser.parse_args()
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "ERROR"
    runner = RunnerConfig(kind=given.kind, workers=given.workers)
    rows = []
    os.environ.pop("PREFECT_API_URL", None)
    with tempfile.TemporaryDirectory(prefix="fanout-") as name:
        folder = Path(name)
        with (on_postgres if given.postgres else private)(folder) as server:
            for count, seconds in ((given.tasks, given.seconds), (given.long, 10.0)):
                if count:
                    plan = FanOut(list(range(count // given.flows)), seconds, name, runner)
                    with ProcessPoolExecutor(given.flows, get_context("spawn")) as flows:
                        rows += flows.map(measured, [plan] * given.flows, [server] * given.flows)
                    print(*rows, sep="\n", file=sys.stderr, flush=True)
            locks = server.locks()
    print(f"{datetime.now(UTC):%Y-%m-%d} · {platform.machine()}, {os.cpu_count()} cores")
    print("| runner | shards | wall | overhead a shard | slots busy | in the API | flow MB, by thirds | server MB |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"{locks} lines of the server's logs name a lock")


if __name__ == "__main__":
    main()
