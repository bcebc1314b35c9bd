"""Kill a comparison, its workers and its S3 server with -9 at random moments, and look at what the store then holds.

Kills follow each other within one growing study until it is done, then on a fresh store: the command or one of its
workers, in turn; in a third series the S3 server, which comes back after a while. After each study its margins and
datamodels must be those of an undisturbed run, bit for bit. Meanwhile a watcher reads every shard as soon as it is
listed: none may be in part, and none that was once listed may be written again. At the end `modeldiff verify` must find
nothing but strays.

    python -m benchmarks.drills [kills on file://, on s3://, of the server; 50 50 20 by default]
"""

import hashlib
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from flows.compose import request
from modeldiff_core.errors import DamagedObject
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.verify import verify
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings, read_tensors
from tests.servers import S3Server, s3_server

STUDY = (
    "study=digits_watermark", "dataset.n_train=200", "targets=60", "subsets.models=400", "subsets.evaluation_models=40",
    "subsets.shard_size=20", "ensemble.models=4", "ensemble.shard_size=2", "regression.n_lambdas=4",
    "comparison.components=2", "comparison.permutations=0", "transformations=null",
)  # fmt: skip
LIMIT = 600
"""Seconds after which a command counts as hanging."""


@dataclass
class Watcher:
    """Looks at a store while others write to it: when each shard was written, and what was wrong with any of them."""

    store: ObjectStore
    written: dict[str, str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
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
            self.look()

    def look(self) -> None:
        """List the shards once; read the new ones."""
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
                    self.complaints.append(f"read in part: {error}")
            elif self.written[key] != when:
                self.complaints.append(f"written again: {key}, {self.written[key]} and {when}")
                self.written[key] = when

    def _watch(self) -> None:
        while not self._over.wait(0.3):
            try:
                self.look()
            except Exception:  # the server may just have been killed
                continue


@dataclass
class Drill:
    """Runs commands on one kind of store and kills them. settings: of a fresh store each time it is called."""

    name: str
    settings: Callable[[], StoreSettings]
    environment: dict[str, str]
    folder: Path
    chance: random.Random
    kills: dict[str, int] = field(default_factory=dict)
    studies: int = 0
    shards: int = 0
    strays: int = 0
    complaints: list[str] = field(default_factory=list)

    def run(self, wanted: int, expected: dict[str, str], duration: float, server: S3Server | None = None) -> None:
        """Kill so many times: the server if there is one, else the command and one of its workers in turn."""
        while sum(self.kills.values()) < wanted:
            settings = self.settings()
            watcher = Watcher(ObjectStore(settings))
            with watcher.watching():
                while not self._once(settings, wanted, duration, server):
                    pass
            self.complaints += watcher.complaints
            self.studies += 1
            self.shards += len(watcher.written)
            found = fingerprints(watcher.store)
            if found != expected:
                wrong = [name for name in expected if found.get(name) != expected[name]]
                self.complaints.append(f"{settings.url}: differs from the undisturbed run in {wrong}")
            findings = verify(watcher.store, Comparison.of(request(STUDY).study))
            self.strays += sum(finding.kind == "stray" for finding in findings)
            self.complaints += [f"{f.kind}: {f.key}: {f.why}" for f in findings if f.kind != "stray"]
            print(self.report(), file=sys.stderr, flush=True)

    def _once(self, settings: StoreSettings, wanted: int, duration: float, server: S3Server | None) -> bool:
        """Start the command and kill at random moments until it ends or is killed; gives whether the study is done."""
        process = start(settings, self.environment, self.folder)
        began = time.monotonic()
        while True:
            try:
                process.wait(self.chance.uniform(0, 0.7 * duration))
            except subprocess.TimeoutExpired:
                if time.monotonic() - began > LIMIT:
                    self.complaints.append(f"{settings.url}: hangs")
                    os.killpg(process.pid, signal.SIGKILL)
                    return False
            else:
                break
            total = sum(self.kills.values())
            if total >= wanted:
                continue
            if server is not None:
                self._count("server")
                server.kill()
                time.sleep(self.chance.uniform(0, 6))
                server.start()
            elif total % 2 == 0:
                self._count("command")
                process.kill()
                process.wait()
                return False
            elif workers := children(process.pid):
                self._count("worker")
                os.kill(self.chance.choice(workers), signal.SIGKILL)
        said = (self.folder / "said.txt").read_text()
        if any(word in said for word in ("trained again", "DamagedObject", "does not match")):
            self.complaints.append(f"{settings.url}: {said[-2000:]}")
        if process.returncode not in (0, 1) or (process.returncode == 1 and server is None):
            self.complaints.append(f"{settings.url}: ended with {process.returncode}: {said[-2000:]}")
            if process.returncode == 2:
                raise RuntimeError(said)
        return process.returncode == 0

    def _count(self, what: str) -> None:
        self.kills[what] = self.kills.get(what, 0) + 1

    def report(self) -> str:
        """One line, and a line for each complaint."""
        killed = ", ".join(f"{count} of the {what}" for what, count in self.kills.items())
        lines = [
            f"{self.name}: kills: {killed}; {self.studies} studies and {self.shards} shards; {self.strays} strays; "
            f"{len(self.complaints)} complaints"
        ]
        return "\n".join(lines + [f"  {complaint}" for complaint in self.complaints])


def start(settings: StoreSettings, environment: dict[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    """A comparison in a session of its own."""
    place = [f"store.root={settings.root}", *([f"store.endpoint={settings.endpoint}"] if settings.endpoint else [])]
    with (folder / "said.txt").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "compare", *STUDY, *place], env=environment, cwd=folder,
            stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip


def children(pid: int) -> list[int]:
    """Worker processes of a command (not multiprocessing's resource tracker)."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return [child for child in found if b"spawn_main" in _command_line(child)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def fingerprints(store: ObjectStore) -> dict[str, str]:
    """Digests of the margins and masks of every matrix, and of every block of datamodels, each read with its checks."""
    keys = store.sizes("trainings")
    found = {}
    for key in keys:
        name = key.rsplit("/", 1)[-1]
        if name.startswith("margins-") and name.endswith(".json"):
            matrix = MarginMatrix.open(store, key.removesuffix(".json"))
            found[key] = hashlib.sha256(matrix.margins().tobytes() + matrix.masks().tobytes()).hexdigest()
        elif "/datamodels-" in key and key.endswith(".safetensors"):
            read_tensors(store, key)
            found[key] = hashlib.sha256(store.read(key)).hexdigest()
    return found


@contextmanager
def private_server(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """One Prefect server for all commands, kept up by ``modeldiff ui``."""
    command = [sys.executable, "-m", "flows.cli", "ui"]
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
    """Of the commands: no settings of the user's, and a home of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))}
    paths = os.pathsep.join([str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "MODELDIFF_HOME": str(folder / "home"), "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **more}


def undisturbed(folder: Path, surroundings: dict[str, str]) -> tuple[dict[str, str], float]:
    """Fingerprints of a study that nobody kills, and the seconds that it takes."""
    settings = StoreSettings(str(folder / "undisturbed"))
    began = time.monotonic()
    process = start(settings, surroundings, folder)
    if process.wait(LIMIT) != 0:
        raise RuntimeError((folder / "said.txt").read_text())
    found = fingerprints(ObjectStore(settings))
    assert len(found) == 2 + 2 * 3, found
    return found, time.monotonic() - began


def main() -> None:
    """Run the three series and print what they showed."""
    wanted = [int(word) for word in sys.argv[1:]] or [50, 50, 20]
    chance = random.Random(datetime.now(UTC).timestamp())
    with tempfile.TemporaryDirectory(prefix="drills-") as name:
        folder = Path(name)
        (folder / "s3").mkdir()
        with s3_server(folder / "s3") as server:
            os.environ.update(server.environment)
            surroundings = environment(folder, **server.environment)
            with private_server(folder, surroundings):
                expected, duration = undisturbed(folder, surroundings)
                print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores")
                print(f"undisturbed: {duration:.0f} s", flush=True)
                count = iter(range(1_000_000))

                def files() -> StoreSettings:
                    return StoreSettings(str(folder / f"files-{next(count)}"))

                def objects() -> StoreSettings:
                    return StoreSettings(f"s3://{server.bucket}/{next(count)}", server.endpoint)

                series = [("file://", files, None), ("s3://", objects, None), ("s3:// server", objects, server)]
                failed = False
                for (label, settings, victim), kills in zip(series, wanted, strict=False):
                    began = time.monotonic()
                    drill = Drill(label, settings, surroundings, folder, chance)
                    drill.run(kills, expected, duration, victim)
                    print(f"{drill.report()} ({time.monotonic() - began:.0f} s)", flush=True)
                    failed |= bool(drill.complaints)
    sys.exit(failed)


if __name__ == "__main__":
    main()
