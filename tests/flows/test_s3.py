"""The whole path on object storage: as on a folder, through faults, and with -9 at random moments."""

import json
import os
import random
import re
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

import numpy as np
import pytest

from harness import drills
from harness.commands import Commands, InProcess
from harness.s3_proxy import Fault, Proxy, Request, proxy
from harness.s3_server import S3Server, s3_server
from harness.small_studies import DRILLED, DRILLED_SHARDS, SMALL
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings
from modeldiff_platform.flows.cli import main
from tests.flows.conftest import FinishedRun

NO_BUCKET = "modeldiff: store.root: expected a bucket that is there, got 's3://{bucket}'. No bucket {bucket}\n"
TINY = (*DRILLED, "subsets.models=160")
SHARDS = 2 * (8 + 2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def on_s3(commands: Commands, server: S3Server) -> Commands:
    return Commands({**commands.environment, **server.environment}, commands.folder)


@pytest.mark.parametrize("verb", ["status", "report", "verify", "plan"])
def test_a_bucket_that_is_not_there_is_named_by_every_verb(
    verb: str, server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = StoreSettings(f"s3://{server.bucket}s", server.endpoint)
    assert main([verb, *place(wrong)]) == 2
    assert capsys.readouterr().err == NO_BUCKET.format(bucket=f"{server.bucket}s")
    if verb == "status":
        assert main([verb, *place(StoreSettings(f"s3://{server.bucket}", server.endpoint))]) == 0


def place(settings: StoreSettings) -> list[str]:
    return ["store=s3", f"store.root={settings.root}", f"store.endpoint={settings.endpoint}"]


def results(store: ObjectStore) -> dict[str, bytes]:
    """Every object of results but times; matrices by their arrays, since the group that holds them has its own name."""
    found = {}
    for key in [key for folder in ("trainings", "comparisons") for key in store.sizes(folder)]:
        if ".zarr/" in key or key.endswith(".time.json"):
            continue
        found[key] = store.read(key)
        if re.fullmatch(r".*/margins-\w{8}\.json", key):
            matrix = MarginMatrix.open(store, key.removesuffix(".json"))
            arrays = matrix.margins().tobytes() + np.packbits(matrix.masks()).tobytes()
            found[key] = json.dumps({**matrix.record, "group": ""}).encode() + arrays
    return found


def written(store: ObjectStore) -> dict[str, object]:
    """When each object of results was written last."""
    found = store.fs.find(store.path(""), detail=True)
    return {key: info["LastModified"] for key, info in found.items() if "/.prefect/" not in key}


@pytest.mark.nightly
def test_a_comparison_on_s3_is_that_of_a_folder(
    on_s3: Commands, in_process: InProcess, server: S3Server, finished_run: FinishedRun
) -> None:
    settings = StoreSettings(f"s3://{server.bucket}/whole", server.endpoint)
    local, remote = ObjectStore(StoreSettings(str(finished_run.root))), ObjectStore(settings)
    done = on_s3.run("compare", *SMALL, *place(settings))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Report: {settings.root}/comparisons/digits_watermark-" in done.stdout
    ours, theirs = results(remote), results(local)
    assert len([key for key in ours if "/shards/" in key]) == 16
    assert ours.keys() == theirs.keys()
    differ = {key for key in ours if ours[key] != theirs[key]}
    assert {key for key in differ if not key.endswith((".html", ".svg", ".png"))} == set()

    before = written(remote)
    again = in_process("compare", *SMALL, *place(settings))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "16 of 16 shards done before, 0 to train" in again.stdout
    assert written(remote) == before
    status = in_process("status", *SMALL, *place(settings))
    assert "subsets: 6 of 6 shards" in status.stdout
    assert "missing" not in status.stdout
    drawn = in_process("report", *SMALL, *place(settings))
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr


@pytest.mark.nightly
def test_faults_that_pass_are_ridden_out_and_one_that_lasts_fails_its_shard_alone(
    on_s3: Commands, server: S3Server, tmp_path: Path
) -> None:
    """One request in nine is cut, refused or late; the third shard of either algorithm can never be written."""
    kinds: tuple[Fault, ...] = ("cut", "500", "503", "cut answer", "delay")
    turns, requests = cycle(kinds), count(1)

    def spoil(request: Request) -> Fault | None:
        if request.path.endswith("/subsets/shards/000002.safetensors"):
            return "503" if request.method == "PUT" else None
        return next(turns) if next(requests) % 9 == 0 else None

    with proxy(server.endpoint) as between:
        settings = StoreSettings(f"s3://{server.bucket}/spoiled", between.endpoint)
        arguments = ["compare", *TINY, *place(settings), "store.retry_seconds=2"]
        between.schedule = spoil
        first = on_s3.run(*arguments)
        assert first.returncode == 1, first.stdout + first.stderr
        assert "2 tasks failed" in first.stderr
        for name in ("trained as is", "corner erased"):
            assert re.search(
                rf"digits_watermark {name} subsets shard 2: StoreError: {settings.root}/trainings/\S+/subsets/shards/"
                r"000002\.safetensors could not be written: OSError: .*Please reduce your request rate",
                first.stderr,
            ), first.stderr
        assert f"Resume with: modeldiff compare {TINY[0]}" in first.stderr
        assert "Traceback" not in first.stderr, "the sentence alone"
        (log,) = re.findall(r"^The rest is in (\S+)\.$", first.stderr, re.MULTILINE)
        assert "StoreError" in Path(log).read_text()
        met = {fault for request, fault in between.faults if "000002.safetensors" not in request.path}
        assert met == set(kinds)
        trained = stored_shards(between, settings)
        assert len(trained) == SHARDS - 2

        between.schedule = lambda request: None if "000002" in request.path else spoil(request)
        second = on_s3.run(*arguments)
        assert second.returncode == 0, second.stdout + second.stderr
        assert f"{SHARDS - 2} of {SHARDS} shards done before, 2 to train" in second.stdout
        assert trained.items() < stored_shards(between, settings).items(), "a finished shard was trained again"
    local = StoreSettings(str(tmp_path))
    assert on_s3.run("compare", *TINY, f"store.root={local.root}").returncode == 0
    ours = drills.fingerprints(ObjectStore(StoreSettings(settings.root, server.endpoint)))
    assert len(ours) == 8
    assert ours == drills.fingerprints(ObjectStore(local))


def stored_shards(between: Proxy, settings: StoreSettings) -> dict[str, object]:
    """When each shard was written."""
    schedule, between.schedule = between.schedule, lambda _: None
    found = ObjectStore(settings).fs.find(settings.root.removeprefix("s3://"), detail=True)
    between.schedule = schedule
    return {key: info["LastModified"] for key, info in found.items() if "/shards/" in key}


@pytest.fixture(scope="module")
def expected(on_s3: Commands) -> tuple[dict[str, str], float]:
    """What drills compare with, and how long a study takes."""
    return drills.undisturbed(on_s3.folder, on_s3.environment)


@pytest.mark.nightly
@pytest.mark.parametrize(("what", "kills"), [("files", 2), ("objects", 2), ("server", 1)])
def test_killed_at_random_moments(
    on_s3: Commands, server: S3Server, expected: tuple[dict[str, str], float], what: str, kills: int
) -> None:
    """A slice of the drills."""
    numbers = count()

    def settings() -> StoreSettings:
        if what == "files":
            return StoreSettings(str(on_s3.folder / f"drill-{next(numbers)}"))
        return StoreSettings(f"s3://{server.bucket}/{what}-{next(numbers)}", server.endpoint)

    log = on_s3.folder / f"{what}.jsonl"
    drill = drills.Drill(what, settings, on_s3.environment, on_s3.folder, random.Random(7), log=log)
    drill.run(kills, *expected, server if what == "server" else None)
    assert drill.complaints == []
    assert drill.kills.total() == kills
    assert all(outcome.identical and outcome.shards == DRILLED_SHARDS for outcome in drill.outcomes)
    assert {at for outcome in drill.outcomes for _, at in outcome.kills} <= set(drills.STAGES)
    assert drills.logged(log) == drill.outcomes
    assert drills.table(drill.outcomes).splitlines()[2].startswith(f"| {what} | {kills} (")
