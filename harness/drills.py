"""Drills: a study whose command, workers or S3 server are killed at random moments, and a watcher of its store.

The full series are benchmarks/drills.py; tests run a few kills of each kind.
"""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from harness.s3_server import S3Server
from harness.small_studies import DRILLED, DRILLED_SHARDS
from modeldiff_core.errors import DamagedObject
from modeldiff_core.experiments.compare.experiment import Compare
from modeldiff_core.plan import verify
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings, read_tensors
from modeldiff_platform.flows.cli.compose import request

STAGES = "start", "training", "consolidation", "regression", "directions", "report", "end"
LIMIT = 600
"""Seconds after which a command counts as hanging."""


@dataclass
class Watcher:
    """A watcher of a store that other processes write to.

    Attributes:
        store: The store.
        written: Time at which each shard was last written.
        partial: Errors of shards that could not be read whole.
        again: Descriptions of shards that were written more than once.
    """

    store: ObjectStore
    written: dict[str, str] = field(default_factory=dict)
    partial: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self.scan()

    def scan(self) -> None:
        """List the shards once, and read the new ones."""
        for path, info in self.store.fs.find(self.store.path("trainings"), detail=True).items():
            key = path[len(self.store.path("")) :]
            if not key.endswith(".safetensors") or "/shards/" not in key:
                continue
            when = str(info.get("LastModified") or Path(path).stat().st_mtime_ns)
            if key not in self.written:
                self.written[key] = when
                try:
                    read_tensors(self.store, key)
                except DamagedObject as error:
                    self.partial.append(f"read in part: {error}")
            elif self.written[key] != when:
                self.again.append(f"written again: {key}, {self.written[key]} and {when}")
                self.written[key] = when

    def _watch(self) -> None:
        while not self._over.wait(0.3):
            try:
                self.scan()
            except Exception:  # the server may just have been killed
                continue


@dataclass
class Outcome:
    """The outcome of one study that was killed and resumed until it was complete.

    Attributes:
        series: Name of the series.
        kills: What was killed, and at which stage of the study.
        runs: Times that the command was started.
        shards: Shards that were written.
        trained_twice: Shards that were written more than once.
        read_in_part: Shards that could not be read whole.
        strays: Stray objects in the store.
        identical: Whether margins, masks and datamodels equal those of the undisturbed run.
        seconds: Duration.
        complaints: Everything that was wrong.
    """

    series: str
    kills: list[tuple[str, str]] = field(default_factory=list)
    runs: int = 0
    shards: int = 0
    trained_twice: int = 0
    read_in_part: int = 0
    strays: int = 0
    identical: bool = False
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)


@dataclass
class Drill:
    """A series of studies on one kind of store whose commands are killed.

    Attributes:
        name: Name of the series.
        settings: Returns the settings of a fresh store at each call.
        environment: Environment of the commands.
        folder: Working folder of the commands.
        chance: Source of random moments and victims.
        outcomes: Finished studies.
        log: File that gets a line per finished study.
    """

    name: str
    settings: Callable[[], StoreSettings]
    environment: dict[str, str]
    folder: Path
    chance: random.Random
    outcomes: list[Outcome] = field(default_factory=list)
    log: Path | None = None

    @property
    def kills(self) -> Counter[str]:
        """Number of kills of each victim."""
        return Counter(what for outcome in self.outcomes for what, _ in outcome.kills)

    @property
    def complaints(self) -> list[str]:
        """Everything that was wrong."""
        return [complaint for outcome in self.outcomes for complaint in outcome.complaints]

    def run(self, wanted: int, expected: dict[str, str], duration: float, server: S3Server | None = None) -> None:
        """Kill `wanted` times: the server if there is one, else the command and one of its workers in turn.

        Args:
            wanted: Kills of the series.
            expected: Fingerprints of the undisturbed study.
            duration: Seconds that the undisturbed study takes.
            server: The server to kill.
        """
        while (left := wanted - self.kills.total()) > 0:
            began, settings = time.monotonic(), self.settings()
            watcher, outcome = Watcher(ObjectStore(settings)), Outcome(self.name)
            with watcher.watching():
                while not self._once(outcome, watcher.store, left, duration, server):
                    pass
            outcome.shards, outcome.trained_twice = len(watcher.written), len(watcher.again)
            outcome.read_in_part = len(watcher.partial)
            actual = fingerprints(watcher.store)
            outcome.identical = actual == expected
            if not outcome.identical:
                wrong = [name for name in expected if actual.get(name) != expected[name]]
                outcome.complaints.append(f"{settings.url}: differs from the undisturbed run in {wrong}")
            findings = verify(Compare.of(request(DRILLED).study, watcher.store), watcher.store)
            outcome.strays = sum(finding.kind == "stray" for finding in findings)
            outcome.complaints += [*watcher.partial, *watcher.again]
            outcome.complaints += [f"{f.kind}: {f.key}: {f.why}" for f in findings if f.kind != "stray"]
            outcome.seconds = time.monotonic() - began
            self.outcomes.append(outcome)
            if self.log is not None:
                with self.log.open("a") as log:
                    log.write(json.dumps(asdict(outcome)) + "\n")
            print(f"{self.name}: {self.kills.total()} of {wanted} kills, {outcome}", file=sys.stderr, flush=True)

    def _once(
        self, outcome: Outcome, store: ObjectStore, wanted: int, duration: float, server: S3Server | None
    ) -> bool:
        """Start the command and kill at random moments until it ends; return whether the study is complete."""
        process = start(store.settings, self.environment, self.folder)
        outcome.runs += 1
        began = time.monotonic()
        while True:
            try:
                process.wait(self.chance.uniform(0, 0.8 * duration))
            except subprocess.TimeoutExpired:
                if time.monotonic() - began > LIMIT:
                    outcome.complaints.append(f"{store.settings.url}: hangs")
                    os.killpg(process.pid, signal.SIGKILL)
                    return False
            else:
                break
            if len(outcome.kills) >= wanted:
                continue
            at = stage(store)
            if server is not None:
                outcome.kills.append(("server", at))
                server.kill()
                time.sleep(self.chance.uniform(0, 6))
                server.start()
            elif len(outcome.kills) % 2 == 0:
                outcome.kills.append(("command", at))
                process.kill()
                process.wait()
                return False
            elif workers := children(process.pid):
                outcome.kills.append(("worker", at))
                os.kill(self.chance.choice(workers), signal.SIGKILL)
        output = (self.folder / "output.txt").read_text()
        if any(word in output for word in ("is made again", "DamagedObject", "does not match")):
            outcome.complaints.append(f"{store.settings.url}: {output[-2000:]}")
        refused = process.returncode == 2 and "store.root: expected a place that can be written" in output
        if process.returncode and not (server is not None and (process.returncode == 1 or refused)):
            outcome.complaints.append(f"{store.settings.url}: ended with {process.returncode}: {output[-2000:]}")
            if process.returncode == 2:
                raise RuntimeError(output)
        return process.returncode == 0


def stage(store: ObjectStore) -> str:
    """Return the stage that a study has reached, according to the objects in its store."""
    keys = [*store.sizes("trainings"), *store.sizes("comparisons")]
    reached = (
        any("/shards/" in key for key in keys),
        sum("/shards/" in key for key in keys) == DRILLED_SHARDS,
        sum(bool(re.search(r"/margins-\w+\.json$", key)) for key in keys) == 2,
        sum(key.endswith("/record.json") for key in keys) == 2 * 3,
        any(key.endswith("/summary.json") for key in keys),
        any(key.endswith("/index.html") for key in keys),
    )
    return STAGES[next((number for number, done in enumerate(reached) if not done), len(reached))]


def table(outcomes: list[Outcome]) -> str:
    """Return a Markdown table with a line per series."""
    columns = (
        "series",
        "kills",
        *(f"at {name}" for name in STAGES),
        "studies",
        "runs resumed",
        "bit-identical",
        "shards",
        "trained twice",
        "read in part",
        "strays",
        "complaints",
        "minutes",
    )
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for series in dict.fromkeys(outcome.series for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.series == series]
        kills = [kill for outcome in mine for kill in outcome.kills]
        of = ", ".join(f"{count} {what}" for what, count in Counter(what for what, _ in kills).items())
        cells = (
            series,
            f"{len(kills)} ({of})",
            *(sum(at == name for _, at in kills) for name in STAGES),
            len(mine),
            sum(outcome.runs - 1 for outcome in mine),
            f"{sum(o.identical for o in mine)} of {len(mine)}",
            sum(o.shards for o in mine),
            sum(o.trained_twice for o in mine),
            sum(o.read_in_part for o in mine),
            sum(o.strays for o in mine),
            sum(len(o.complaints) for o in mine),
            f"{sum(o.seconds for o in mine) / 60:.0f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def start(settings: StoreSettings, environment: dict[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    """Start a comparison in its own session, with its output in the folder."""
    place = [f"store.root={settings.root}", *([f"store.endpoint={settings.endpoint}"] if settings.endpoint else [])]
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "modeldiff_platform.flows.cli", "compare", *DRILLED, *place],
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def children(pid: int) -> list[int]:
    """Return the worker processes of a command, without multiprocessing's resource tracker."""
    pids: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return [child for child in pids if b"spawn_main" in _command_line(child)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def fingerprints(store: ObjectStore) -> dict[str, str]:
    """Return digests of every matrix (margins and masks) and every block of datamodels, each checked on reading."""
    keys = store.sizes("trainings")
    digests = {}
    for key in keys:
        name = key.rsplit("/", 1)[-1]
        if name.startswith("margins-") and name.endswith(".json"):
            matrix = MarginMatrix.open(store, key.removesuffix(".json"))
            digests[key] = hashlib.sha256(matrix.margins().tobytes() + matrix.masks().tobytes()).hexdigest()
        elif "/datamodels-" in key and key.endswith(".safetensors"):
            read_tensors(store, key)
            digests[key] = hashlib.sha256(store.read(key)).hexdigest()
    return digests


@contextmanager
def private_server(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Keep one Prefect server running for all commands, by ``modeldiff ui``."""
    command = [sys.executable, "-m", "modeldiff_platform.flows.cli", "ui"]
    ui = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert ui.stdout is not None
        if not ui.stdout.readline().startswith("Prefect UI"):
            raise RuntimeError("modeldiff ui did not start")
        yield
    finally:
        ui.kill()
        ui.wait()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of the commands: without the user's settings, with a home in the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))}
    paths = os.pathsep.join([str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "MODELDIFF_HOME": str(folder / "home"), "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **more}


def undisturbed(folder: Path, surroundings: dict[str, str]) -> tuple[dict[str, str], float]:
    """Return the fingerprints of a study that is not killed, and the seconds that it takes."""
    settings = StoreSettings(str(folder / "undisturbed"))
    began = time.monotonic()
    process = start(settings, surroundings, folder)
    if process.wait(LIMIT) != 0:
        raise RuntimeError((folder / "output.txt").read_text())
    expected = fingerprints(ObjectStore(settings))
    assert len(expected) == 2 + 2 * 3, expected
    return expected, time.monotonic() - began


def logged(log: Path) -> list[Outcome]:
    """Return the studies that an earlier start has logged."""
    outcomes = [Outcome(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []
    return [replace(outcome, kills=[(what, at) for what, at in outcome.kills]) for outcome in outcomes]
