"""Remove a resource in the middle of a comparison, and check that the study still ends correctly.

The resources are a worker process, the flow, the Prefect server for 60 s, a Dask worker, a Ray node, the S3 server for
30 s, space on the disk, and the machine, with a notice (SIGTERM). Each drill runs a tiny study on a real Prefect server
with a password. The study must end correctly, by itself or after one documented command, with the margins, masks and
datamodels of an undisturbed run, bit for bit.

    python -m benchmarks.operations [--log operations.jsonl] [--only flow server ...]

The log gets a line per drill. Started again with the same log, only the missing drills are run. Mounting a small disk
requires root.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from harness.drills import children, environment, fingerprints
from harness.ports import free_ports
from harness.prefect_server import PrefectServer, prefect_server
from harness.s3_server import S3Server, s3_server
from harness.small_studies import DRILLED
from modeldiff_core.store import ObjectStore, StoreSettings

LONGER = *DRILLED, "algorithm_a.recipe.epochs=120", "algorithm_b.recipe.epochs=120", "runner.workers=2"
"""A study whose shards take about a second, so that a resource disappears in the middle of one."""
BEGUN = 4
"""Shards after which the resource is removed."""
LIMIT = 900.0
"""Seconds after which a command counts as hanging."""
SAME = "`modeldiff compare ...`, the same again"


@dataclass
class End:
    """The end of a study.

    Attributes:
        happened: What was done to it.
        command: The command that it needed afterwards.
        identical: Whether its results equal those of the undisturbed study, bit for bit.
    """

    happened: str
    command: str
    identical: bool


@dataclass
class Outcome:
    """The outcome of a drill: the end of its study, the state of its run on the server, and its seconds."""

    drill: str
    end: End
    state: str
    seconds: float


@dataclass
class Site:
    """The site of all drills.

    Attributes:
        server: The Prefect server.
        folder: Working folder of the commands.
        surroundings: Environment of the commands.
        closing: Ends processes that still run when the drills are interrupted.
        expected: Fingerprints of the undisturbed study.
    """

    server: PrefectServer
    folder: Path
    surroundings: dict[str, str]
    closing: ExitStack
    expected: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """One study of a drill; its first command is started at once."""

    site: Site
    store: ObjectStore
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.process = self._start("compare", *LONGER, *self._place(), *self.overrides)

    def begun(self) -> "Run":
        """Wait until the study is in the middle of its training, and return it."""
        self._wait_for_shards(BEGUN)
        return self

    def ended(self) -> int:
        """Wait for the command, and return its exit code."""
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise RuntimeError(f"{self.store.settings.url} hangs: {self.output()}") from None

    def finished(self, happened: str) -> "End":
        """Return the end of a study that continues by itself, or after the same command again."""
        code = self.ended()
        if code == 0:
            return self._end(happened, "none")
        self.process = self._start("compare", *LONGER, *self._place(), *self.overrides)
        return self._end(f"{happened}; the run ended with {code}", SAME)

    def retried(self, happened: str) -> "End":
        """Return the end of a study whose run has ended, after `modeldiff retry`."""
        self.process = self._start("retry", "compare digits_watermark")
        return self._end(happened, "`modeldiff retry RUN`")

    def output(self) -> str:
        """Return the end of the command's output."""
        return (self.site.folder / "output.txt").read_text(errors="replace")[-3000:]

    def shards(self) -> int:
        """Return the number of shards in the store."""
        return sum("/shards/" in key for key in self.store.sizes("trainings"))

    def _wait_for_shards(self, wanted: int) -> None:
        while self.shards() < wanted:
            if self.process.poll() is not None:
                raise RuntimeError(f"ended before it was disturbed: {self.output()}")
            time.sleep(0.2)

    def _end(self, happened: str, command: str) -> "End":
        if self.ended() != 0:
            raise RuntimeError(self.output())
        return End(happened, command, fingerprints(self.store) == self.site.expected)

    def _place(self) -> list[str]:
        settings = self.store.settings
        return [f"store.root={settings.root}", *([f"store.endpoint={settings.endpoint}"] if settings.endpoint else [])]

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.site.folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "modeldiff_platform.flows.cli", *arguments],
                env=self.site.surroundings,
                cwd=self.site.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.site.closing.callback(kill_tree, process)
        return process


def worker(site: Site, store: ObjectStore) -> End:
    """Kill a worker process of the local runner."""
    run = Run(site, store).begun()
    os.kill(children(run.process.pid)[0], signal.SIGKILL)
    return run.finished("kill -9 of a worker process")


def flow(site: Site, store: ObjectStore) -> End:
    """Kill the command and its processes, and retry the run once the server has marked it as crashed."""
    run = Run(site, store).begun()
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    began = time.monotonic()
    while (state := last_state(site)) != "Crashed":
        if time.monotonic() - began > 120:
            raise RuntimeError(f"{state}: not marked as crashed within two minutes")
        time.sleep(1)
    return run.retried(f"kill -9 of the flow; marked as crashed after {time.monotonic() - began:.0f} s")


def server(site: Site, store: ObjectStore) -> End:
    """Stop the Prefect server for a minute."""
    run = Run(site, store).begun()
    site.server.stop()
    time.sleep(60)
    shards = run.shards()
    site.server.start()
    return run.finished(f"Prefect's server stopped for 60 s, in which the run came to {shards} shards")


def dask(site: Site, store: ObjectStore) -> End:
    """Kill one of two Dask workers."""
    port = free_ports()
    address = f"tcp://127.0.0.1:{port}"
    here = "--host", "127.0.0.1"
    with ExitStack() as stack:
        command = "-m", "dask", "scheduler", *here, "--port", str(port), "--no-dashboard"
        stack.enter_context(cluster_process(site, *command))
        more = "--nthreads", "1", "--memory-limit", "0", "--no-nanny", "--no-dashboard"
        first, _ = [
            stack.enter_context(cluster_process(site, "-m", "dask", "worker", address, *here, *more)) for _ in range(2)
        ]
        wait_for_workers(address, 2)
        run = Run(site, store, ("runner=dask", f"runner.address={address}", "runner.workers=null")).begun()
        first.kill()
        return run.finished("kill -9 of one of two Dask workers")


def ray(site: Site, store: ObjectStore) -> End:
    """Kill one of two Ray nodes, with the workers on it."""
    from ray.util import get_node_ip_address

    # ray start requires a token, and so would the flow: RAY_AUTH_MODE=token and RAY_AUTH_TOKEN.
    site = replace(site, surroundings={**site.surroundings, "RAY_AUTH_MODE": "disabled"})
    port = free_ports()
    common = ["--num-cpus", "1", "--block", "--disable-usage-stats", "--object-store-memory", "100000000"]
    # Any ports: the default range may contain the head's port.
    common += ["--min-worker-port", "0", "--max-worker-port", "0"]
    start = "-m", "ray.scripts.scripts", "start"
    address = f"{get_node_ip_address()}:{port}"  # Ray uses this address for loopback too
    with ExitStack() as stack:
        head = f"--head --port {port} --ray-client-server-port {port + 1} --include-dashboard false".split()
        head += ["--temp-dir", str(site.folder / "ray")]
        stack.enter_context(cluster_process(site, *start, *common, *head))
        wait_for_listener(port)
        second = stack.enter_context(cluster_process(site, *start, *common, "--address", address))
        time.sleep(10)
        run = Run(site, store, ("runner=ray", f"runner.address={address}", "runner.workers=null")).begun()
        kill_tree(second)
        return run.finished("kill -9 of one of two Ray nodes with its workers")


def objects(site: Site, store: ObjectStore) -> End:
    """Kill the S3 server, and restart it after half a minute."""
    with s3_server(fresh(site, "s3")) as s3:
        os.environ.update(s3.environment)
        s3_site = replace(site, surroundings={**site.surroundings, **s3.environment})
        run = Run(s3_site, _on(s3, store)).begun()
        s3.kill()
        time.sleep(30)
        s3.start()
        return run.finished("kill -9 of the S3 server, back after 30 s")


def disk(site: Site, store: ObjectStore) -> End:
    """Fill the disk that holds the store, and make space again."""
    folder = Path(store.settings.root)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], check=True)
    try:
        run = Run(site, store).begun()
        ballast = folder / "ballast"
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(bytes(2**16))
                    file.flush()
            except OSError:
                pass
        code = run.ended()
        if "No space left on device" not in run.output():
            raise RuntimeError(f"ended with {code} and does not give the cause: {run.output()}")
        ballast.unlink()
        return run.finished("the disk full until the run had ended, which names the shards and the cause")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def notice(site: Site, store: ObjectStore) -> End:
    """Send SIGTERM to all processes, as a machine does that is about to be reclaimed."""
    run = Run(site, store).begun()
    os.killpg(run.process.pid, signal.SIGTERM)
    began = time.monotonic()
    code = run.ended()
    words = f"SIGTERM to all its processes, which ended with {code} after {time.monotonic() - began:.0f} s as "
    return run.retried(words + last_state(site).lower())


DRILLS: dict[str, Callable[[Site, ObjectStore], End]] = {
    "worker": worker,
    "flow": flow,
    "server": server,
    "dask": dask,
    "ray": ray,
    "s3": objects,
    "disk": disk,
    "notice": notice,
}


def last_state(site: Site) -> str:
    """Return the state of the latest flow run."""
    (run,) = site.server.ask("flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})
    return str(run["state_name"])


def fresh(site: Site, name: str) -> Path:
    """Return a new folder."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=site.folder))


def _on(s3: S3Server, store: ObjectStore) -> ObjectStore:
    return ObjectStore(StoreSettings(f"s3://{s3.bucket}/{Path(store.settings.root).name}", s3.endpoint))


@contextmanager
def cluster_process(site: Site, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a process of a cluster, and kill it at the end of the block."""
    with (site.folder / "cluster.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=site.surroundings, cwd=site.folder, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        kill_tree(process)


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and all its descendants with -9."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
    process.wait()


def wait_for_listener(port: int, seconds: float = 120) -> None:
    """Wait until a process listens on a port."""
    end = time.monotonic() + seconds
    while not any(
        c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in psutil.net_connections("tcp")
    ):
        if time.monotonic() > end:
            raise RuntimeError(f"nothing listens on {port}")
        time.sleep(0.5)


def wait_for_workers(address: str, wanted: int) -> None:
    """Wait until a Dask scheduler has its workers."""
    from distributed import Client

    with Client(address, timeout=120) as client:
        client.wait_for_workers(wanted, timeout=180)


def drill(name: str, site: Site) -> Outcome:
    """Run one drill on a fresh store."""
    store = ObjectStore(StoreSettings(str(fresh(site, name) / "store")))
    began = time.monotonic()
    end = DRILLS[name](site, store)
    return Outcome(name, end, last_state(site), time.monotonic() - began)


def undisturbed(site: Site) -> tuple[dict[str, str], float]:
    """Return the fingerprints of an undisturbed study, and the seconds that it takes."""
    began = time.monotonic()
    run = Run(site, ObjectStore(StoreSettings(str(fresh(site, "undisturbed") / "store"))))
    if run.ended() != 0:
        raise RuntimeError(run.output())
    expected = fingerprints(run.store)
    assert len(expected) == 2 + 2 * 3, expected
    return expected, time.monotonic() - began


def logged(log: Path) -> list[Outcome]:
    """Return the drills that an earlier start has logged."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [Outcome(**{**line, "end": End(**line["end"])}) for line in lines]


def table(outcomes: list[Outcome]) -> str:
    """Return a Markdown table with a line per drill."""
    lines = ["| drill | what happened | command needed | state in the end | identical | seconds |", "|" + "---|" * 6]
    for one in outcomes:
        end, same = one.end, "yes" if one.end.identical else "no"
        lines.append(f"| {one.drill} | {end.happened} | {end.command} | {one.state} | {same} | {one.seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run the drills that the log lacks, and print the table of all drills."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, default=Path("operations.jsonl"))
    parser.add_argument("--only", nargs="+", choices=DRILLS, default=list(DRILLS))
    options = parser.parse_args()
    # Unwinds the stack, which ends all processes.
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    log = options.log.absolute()
    outcomes = logged(log)
    left = [name for name in options.only if name not in {outcome.drill for outcome in outcomes}]
    with tempfile.TemporaryDirectory(prefix="operations-") as name, ExitStack() as stack:
        folder = Path(name)
        if left:
            prefect = stack.enter_context(prefect_server(folder))
            names = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_HOME", "NO_PROXY", "DO_NOT_TRACK"
            surroundings = environment(folder, **{name: prefect.environment[name] for name in names})
            site = Site(prefect, folder, surroundings, stack)
            site.expected, seconds = undisturbed(site)
            print(f"undisturbed: {seconds:.0f} s", file=sys.stderr, flush=True)
        for name in left:
            outcomes.append(drill(name, site))
            with log.open("a") as file:
                file.write(json.dumps(asdict(outcomes[-1])) + "\n")
            print(outcomes[-1], file=sys.stderr, flush=True)
    print(f"{datetime.now(UTC):%Y-%m-%d} · {platform.machine()}, {os.cpu_count()} cores")
    print(table(outcomes))
    sys.exit(not all(outcome.end.identical and outcome.state == "Completed" for outcome in outcomes))


if __name__ == "__main__":
    main()
