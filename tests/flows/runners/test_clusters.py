"""Every runner gives the numbers of the local one, and says at once what a cluster lacks."""

import hashlib
import os
import re
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings

from harness.commands import Commands
from harness.small_studies import TINY
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.store import StoreSettings, shard_key
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.experiment import flow_of
from modeldiff_platform.flows.request import RunnerConfig
from modeldiff_platform.flows.runners import Call, open_runner
from modeldiff_platform.flows.runners.cluster import check_workers, installed
from modeldiff_platform.flows.runners.dask import OURS, _started_here, share_of_gpu
from modeldiff_platform.flows.runners.ray import NICENESS
from modeldiff_platform.flows.runners.window import AGAIN, run_window
from modeldiff_platform.flows.runners.worker_check import check_worker
from modeldiff_platform.flows.runners.workers import ClusterRunner

SHARDS = 12
RESULTS = (
    "trainings/**/*.safetensors",
    "trainings/**/*.zarr/**/*",
    "comparisons/*.safetensors",
    "comparisons/*/summary.json",
)


def fingerprints(root: Path) -> dict[str, str]:
    """Digests of every shard, matrix, datamodel, direction and effect, and of the summary."""
    found = {
        re.sub(r"\.[0-9a-f]{8}\.zarr/", "/", str(path.relative_to(root))): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in RESULTS
        for path in root.glob(pattern)
        if path.is_file()
    }
    assert len(found) > 2 * SHARDS
    assert any(name.endswith("summary.json") for name in found)
    return found


@pytest.fixture(scope="module")
def local(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The fingerprints of a study of which three shards could not be written until the second run."""
    root = tmp_path_factory.mktemp("local")
    a, b = Comparison.of(request(TINY).study).trainings
    # A folder stands where a shard should be written.
    broken = [root / shard_key(*where) for where in ((a.subsets, 0), (a.subsets, 3), (b.ensemble, 1))]
    for path in broken:
        (path / "in the way").mkdir(parents=True)
    failed = commands.run("compare", *TINY, f"store.root={root}")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    names = {"trained as is subsets shard 0", "trained as is subsets shard 3", "corner erased ensemble shard 1"}
    assert {*re.findall(r"^  digits_watermark (.*?): ", failed.stderr, re.MULTILINE)} == names, failed.stderr
    assert "3 tasks failed" in failed.stderr
    for path in broken:
        (path / "in the way").rmdir()
        path.rmdir()
    done = commands.run("compare", *TINY, f"store.root={root}")
    assert done.returncode == 0, done.stderr
    assert f"{SHARDS - 3} of {SHARDS} shards done before, 3 to train" in done.stdout
    return fingerprints(root)


@pytest.mark.cluster
@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_cluster_gives_the_same_bits(commands: Commands, local: dict[str, str], tmp_path: Path, kind: str) -> None:
    pytest.importorskip(f"prefect_{kind}")
    done = commands.run("compare", *TINY, f"store.root={tmp_path}", f"runner={kind}")
    assert done.returncode == 0, done.stderr
    assert f"0 of {SHARDS} shards done before" in done.stdout
    assert fingerprints(tmp_path) == local


@task
def place(index: int, execution: dict[str, Any] | None = None) -> dict[str, Any]:
    from distributed import get_worker

    time.sleep(0.2)
    return {"worker": get_worker().name}


@flow
def places(address: str, calls: list[Call]) -> set[str]:
    from prefect_dask import DaskTaskRunner

    used = set()
    with DaskTaskRunner(address=address) as tasks:
        runner = ClusterRunner(tasks, 2, 1, share_of_gpu)
        assert run_window(calls, runner, lambda call, result: used.add(result["worker"])) == {}
    return used


def test_what_computes_on_a_gpu_goes_to_the_workers_that_have_one(commands: Commands) -> None:
    pytest.importorskip("prefect_dask")
    from distributed import Scheduler, SpecCluster, Worker

    here = {"host": "127.0.0.1", "dashboard": False}
    workers = {
        "with a GPU": {"cls": Worker, "options": {**here, "nthreads": 1, "resources": {"GPU": 1}}},
        "without": {"cls": Worker, "options": {**here, "nthreads": 1}},
    }
    with (
        SpecCluster(scheduler={"cls": Scheduler, "options": {**here, "port": 0}}, workers=workers) as cluster,
        temporary_settings({PREFECT_API_URL: f"{commands.environment['UI']}/api"}),
    ):
        on_device = [Call(f"{i}", place, {"index": i, "execution": {}}) for i in range(6)]
        assert places(cluster.scheduler_address, on_device) == {"with a GPU"}
        elsewhere = [Call(f"{i}", place, {"index": i}) for i in range(6)]
        assert places(cluster.scheduler_address, elsewhere) == {"with a GPU", "without"}


@dataclass
class Counting:
    """Counts what a runner is sent."""

    runner: ClusterRunner
    sent: list[str] = field(default_factory=list)

    @property
    def places(self) -> int:
        return self.runner.places

    def submit(self, call: Call) -> PrefectFuture[Any]:
        self.sent.append(call.name)
        return self.runner.submit(call)

    def widen(self, processes: int) -> None:
        """Nothing to widen."""


@flow
def cut_off(address: str, calls: list[Call], times: int) -> tuple[dict[str, BaseException], list[str], list[str]]:
    """Lose the scheduler whenever one of the first calls has ended; returns failures, what has ended, what was sent."""
    from prefect_dask import DaskTaskRunner

    with DaskTaskRunner(address=address) as tasks:
        ended: list[str] = []

        def cut(call: Call, result: dict[str, Any]) -> None:
            ended.append(call.name)
            if len(ended) <= times:
                tasks.client.loop.add_callback(tasks.client.scheduler_comm.comm.abort)

        runner = Counting(ClusterRunner(tasks, 2, 0, share_of_gpu))
        return run_window(calls, runner, cut), ended, runner.sent


def test_tasks_whose_client_lost_its_scheduler_are_sent_again(commands: Commands) -> None:
    pytest.importorskip("prefect_dask")
    from distributed import Scheduler, SpecCluster, Worker

    here = {"host": "127.0.0.1", "dashboard": False}
    with (
        SpecCluster(
            scheduler={"cls": Scheduler, "options": {**here, "port": 0}},
            workers={"one": {"cls": Worker, "options": {**here, "nthreads": 1}}},
        ) as cluster,
        temporary_settings({PREFECT_API_URL: f"{commands.environment['UI']}/api"}),
    ):
        calls = [Call(f"{i}", place, {"index": i}) for i in range(8)]
        failures, ended, sent = cut_off(cluster.scheduler_address, calls, 1)
    assert len(sent) > len(calls), "some were given up"
    assert failures == {}
    assert set(ended) == {call.name for call in calls}


class GivesUp:
    """A runner whose cluster gives up what is called 'lost' every time."""

    places = 2

    def __init__(self) -> None:
        self.sent: list[str] = []

    def submit(self, call: Call) -> Any:
        self.sent.append(call.name)
        future: Future[dict[str, Any]] = Future()
        if call.name == "lost":
            future.cancel()
        else:
            future.set_result({})
        return future

    def widen(self, processes: int) -> None:
        """Nothing to widen."""


def test_what_is_given_up_again_and_again_is_named_and_stops_nobody() -> None:
    runner, ended = GivesUp(), list[str]()
    calls = [Call(name, place, {}) for name in ("first", "lost", "last")]
    failures = run_window(calls, runner, lambda call, result: ended.append(call.name))
    assert runner.sent.count("lost") == AGAIN + 1
    assert list(failures) == ["lost"]
    assert "3 times" in str(failures["lost"])
    assert sorted(ended) == ["first", "last"]


@pytest.mark.parametrize(("settings", "places"), [({}, 3), ({"shard_gpus": 0.5}, 6)])
def test_a_cluster_that_grows_gets_work_for_workers_to_come(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], places: int
) -> None:
    pytest.importorskip("prefect_dask")
    from distributed import Scheduler, SpecCluster, Worker

    monkeypatch.setattr("modeldiff_platform.flows.runners.worker_check._sees_gpu", lambda: True)
    here = {"host": "127.0.0.1", "dashboard": False}
    workers = {"the first": {"cls": Worker, "options": {**here, "nthreads": 1, "resources": {"GPU": 1}}}}
    with (
        SpecCluster(scheduler={"cls": Scheduler, "options": {**here, "port": 0}}, workers=workers) as cluster,
        temporary_settings({PREFECT_API_URL: f"{commands.environment['UI']}/api"}),
    ):
        there = {"kind": "dask", "address": cluster.scheduler_address, **settings}
        with open_runner(RunnerConfig(**there), StoreSettings(str(tmp_path))) as runner:
            assert runner.places == places // 3
        with open_runner(RunnerConfig(**there, workers=3), StoreSettings(str(tmp_path))) as runner:
            assert runner.places == places
    with pytest.raises(ValueError, match="that cluster has its own"):
        RunnerConfig(kind="ray", address="auto", workers=3)


def test_a_worker_that_reported_to_another_api_is_named(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = f"{commands.environment['UI']}/api"
    monkeypatch.setattr("modeldiff_platform.flows.runners.worker_check._reported_to", [])
    assert [check_worker({"root": str(tmp_path)}, api, gpu=False)["problems"] for _ in range(2)] == [[], []]
    monkeypatch.setattr("modeldiff_platform.flows.runners.worker_check._reported_to", ["http://127.0.0.1:9/api"])
    facts = check_worker({"root": str(tmp_path)}, api, gpu=False)
    with pytest.raises(
        ConfigError, match=r"PREFECT_API_URL: .* reports to, http://127\.0\.0\.1:9/api.*restart the work"
    ):
        check_workers({"tcp://w:1": facts})


def test_the_flow_that_goes_along_with_its_tasks_can_be_read_by_a_worker() -> None:
    """A worker that cannot read a message closes for good, and so does the next one."""
    cloudpickle = pytest.importorskip("cloudpickle")
    assert State[Any].__name__ == "State[Any]", "the class that a worker would not find"
    read = "import pickle, sys; print(pickle.load(sys.stdin.buffer).name)"
    sent = cloudpickle.dumps(flow_of("compare"))
    done = subprocess.run([sys.executable, "-c", read], input=sent, capture_output=True, timeout=300)
    assert done.stdout.decode().strip() == "compare", done.stderr.decode()


def test_tasks_of_a_cluster_whose_workers_are_gone_fail_and_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prefect_dask")
    from dask import config
    from distributed import Client
    from distributed.scheduler import NoValidWorkerError, NoWorkerError

    monkeypatch.setitem(OURS, "distributed.scheduler.no-workers-timeout", "1s")
    settings = RunnerConfig(kind="dask", workers=1)
    with config.set(OURS), _started_here(settings) as cluster, Client(cluster, set_as_default=False) as client:
        assert client.submit(max, 1, 2).result(timeout=60) == 2
        cluster.scale(0)
        with pytest.raises((NoWorkerError, NoValidWorkerError)):  # whichever the scheduler notices first
            client.submit(max, 3, 4).result(timeout=60)


@pytest.mark.cluster
def test_workers_of_a_running_ray_cluster_get_their_share_of_a_busy_machine(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default Ray makes them 15 nicer than whoever started its nodes."""
    ray, nodes = pytest.importorskip("ray"), pytest.importorskip("ray.cluster_utils")
    monkeypatch.delenv(NICENESS, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = nodes.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    runner, store = RunnerConfig(kind="ray", address=cluster.address), StoreSettings(str(tmp_path))
    try:
        with (
            temporary_settings({PREFECT_API_URL: f"{commands.environment['UI']}/api"}),
            open_runner(runner, store) as places,
        ):
            assert places.places == 1
            assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)
    finally:
        cluster.shutdown()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "dask", "address": "tcp://127.0.0.1:9"}, r"runner\.address: .*127\.0\.0\.1:9.*ConnectionRefused"),
        ({"kind": "dask", "address": "nowhere"}, r"runner\.address: .*nowhere.*it names no host and port"),
        ({"kind": "ray", "address": "ray://127.0.0.1:9"}, r"runner\.address: .*127\.0\.0\.1:9.*ConnectionRefused"),
        ({"kind": "ray", "shard_gpus": 1, "workers": 1}, r"runner\.shard_gpus: expected at most the 0 GPUs"),
        ({"kind": "dask", "shard_gpus": 1, "workers": 999}, r"runner\.shard_gpus: expected shares of the \d+ GPUs"),
    ],
)
def test_a_cluster_that_cannot_be_had_is_refused_at_once(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    pytest.importorskip(f"prefect_{settings['kind']}")
    runner, store = RunnerConfig(**settings), StoreSettings(str(tmp_path))
    with pytest.raises(ConfigError, match=words), open_runner(runner, store):
        pass


def test_a_worker_that_reaches_neither_store_nor_api_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    facts = check_worker({"root": str(tmp_path / "file" / "store")}, "http://127.0.0.1:9/api", gpu=False)
    assert [problem[0] for problem in facts["problems"]] == ["store.root", "PREFECT_API_URL"]
    with pytest.raises(ConfigError, match=r"store\.root: .*On worker tcp://w:1: "):
        check_workers({"tcp://w:1": facts})
    facts["problems"].pop(0)
    with pytest.raises(ConfigError, match=r"PREFECT_API_URL: .*On worker tcp://w:1: .*refused"):
        check_workers({"tcp://w:1": facts})
    with pytest.raises(ConfigError, match=r"workers with Python 3\.\d+, got 'tcp://w:1 with 2\.7'"):
        check_workers({"tcp://w:1": {"python": ("2", "7"), "problems": []}})


def test_a_kind_that_is_not_installed_names_its_extra() -> None:
    with pytest.raises(ConfigError, match=r"runner\.kind: .*pip install 'modeldiff-platform\[dask\]'"):
        installed("prefect_dask_that_is_nowhere", "dask")
