"""Worker slots of a runner: one a CPU worker, one or more a GPU."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from pydantic import ValidationError

from harness.commands import wait_for
from harness.naps import hanging, marked_and_hanging, napping
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.plan import Label
from modeldiff_core.responses import SubsetModels
from modeldiff_core.stages.shards import shard_steps
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.cli.verbs import _size_of_shards
from modeldiff_platform.flows.request import RunnerConfig
from modeldiff_platform.tasks.worker_pool import OutOfTime, Slots, WorkerDied, run_stage


@pytest.mark.parametrize(
    ("settings", "processes", "slots"),
    [
        ({"workers": 3}, (1,), ("cpu",) * 3),
        ({"workers": 3, "tune": True}, (1,), ("cpu",) * 3),
        ({"workers": 3, "processes_a_device": 2}, (1,), ("cpu",) * 3),
        ({"devices": ("cuda:0", "cuda:1")}, (1,), ("cuda:0", "cuda:1")),
        ({"devices": ("cuda:0", "cuda:1"), "tune": True}, (1, 2, 4), ("cuda:0", "cuda:1")),
        ({"devices": ("cuda:0",), "processes_a_device": 3}, (3,), ("cuda:0",) * 3),
        ({"devices": ("cuda:0",), "processes_a_device": 3, "tune": True}, (3,), ("cuda:0",) * 3),
    ],
)
def test_slots_before_anything_is_measured(
    settings: dict[str, Any], processes: tuple[int, ...], slots: tuple[str, ...]
) -> None:
    runner = RunnerConfig(**settings)
    assert runner.processes == runner.execution()["processes"] == processes
    assert runner.slots() == slots


def test_what_was_measured_adds_slots_to_every_device() -> None:
    runner = RunnerConfig(devices=("cuda:0", "cuda:1"), tune=True)
    before, after = runner.slots(), runner.slots(2)
    assert sorted(after) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
    assert after[: len(before)] == before
    assert runner.places == ("cuda:0", "cuda:1")


def test_a_device_is_named_once() -> None:
    with pytest.raises(ValidationError, match="distinct devices"):
        RunnerConfig(devices=("cuda:0", "cuda:0"))


def test_a_stage_that_takes_too_long_is_ended_and_its_slot_goes_on() -> None:
    slots = Slots(["cpu"])
    try:
        before = psutil.Process(slots.run(hanging, 0.0)["process"])
        began = time.monotonic()
        with pytest.raises(OutOfTime, match=r"runner\.shard_timeout_s = 0\.5 s"):
            slots.run(hanging, 100.0, limit=0.5)
        assert time.monotonic() - began < 20
        assert psutil.wait_procs([before], 60)[1] == [], "the stage's process is gone"
        assert slots.run(hanging, 0.0, limit=300)["process"] != before.pid
    finally:
        slots.close()


def test_what_waits_for_a_slot_that_is_closed_never_begins(tmp_path: Path) -> None:
    """Otherwise a cancelled run would wait for shards that it had not even begun."""
    slots = Slots(["cpu"])
    with ThreadPoolExecutor(3) as threads:
        stages = [threads.submit(slots.run, marked_and_hanging, str(tmp_path / f"{index}")) for index in range(3)]
        wait_for(lambda: any(tmp_path.iterdir()), 300, "the first stage")
        slots.close()
        assert [type(stage.exception(60)) for stage in stages] == [WorkerDied] * 3
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(WorkerDied, match="was ended"):
        slots.run(hanging, 0.0)


def test_what_libraries_keep_open_in_a_worker_is_closed_without_a_word(tmp_path: Path) -> None:
    """tqdm is one of them: in a spawned process its lock is a named semaphore."""
    script = tmp_path / "stages.py"
    script.write_text(
        "import multiprocessing\n"
        "from modeldiff_platform.tasks.worker_pool import Slots\n\n"
        "kept = []\n\n"
        "def locking():\n"
        "    kept.append(multiprocessing.RLock())\n"
        "    return {'lock': kept[0]._semlock.name}\n\n"
        "if __name__ == '__main__':\n"
        "    slots = Slots(['cpu'])\n"
        "    print(slots.run(locking)['lock'])\n"
        "    slots.close()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    ended = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=300)
    assert ended.stdout.startswith("/mp-"), ended.stderr
    assert (ended.returncode, ended.stderr) == (0, "")


def test_without_slots_a_stage_runs_here_with_one_thread_and_the_same_limit() -> None:
    torch.set_num_threads(2)
    assert run_stage(hanging, 0.0)["process"] == os.getpid()
    assert torch.get_num_threads() == 1
    assert run_stage(napping, execution={"device": "cuda:0"})["device"] == "cuda:0"
    with pytest.raises(OutOfTime, match=r"runner\.shard_timeout_s = 0\.5 s"):
        run_stage(hanging, 100.0, limit=0.5)


def test_added_slots_work_at_the_same_time() -> None:
    slots = Slots(["cpu"])
    try:
        slots.add(["cpu:0"])
        with ThreadPoolExecutor(2) as threads:
            for _ in range(2):  # the first round starts the processes
                one, other = threads.map(lambda _: slots.run(napping, execution={}), range(2))
        assert {one["device"], other["device"]} == {"cpu", "cpu:0"}
        assert one["process"] != other["process"]
        assert max(one["began"], other["began"]) < min(one["ended"], other["ended"])
    finally:
        slots.close()


def test_plan_keeps_what_it_measures_and_reads_it_afterwards(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["plan", f"store.root={tmp_path}", "dataset.n_train=300", "targets=20", "subsets.models=140"]
    asked += [f"algorithm_{which}.recipe.epochs=1" for which in "ab"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert said.count("ms a model (measured)") == 4
    assert len(list(tmp_path.glob("trainings/*/probes/cpu-*.json"))) == 4
    monkeypatch.setattr("modeldiff_core.responses.probe.measured_ways", lambda *args: pytest.fail("measured again"))
    assert main(asked) == 0
    assert capsys.readouterr().out == said
    assert main(["verify", *asked[1:]]) != 2
    assert "probes" not in capsys.readouterr().out, "a record of a measurement is no stray"


def test_many_short_shards_are_told_a_size_that_takes_minutes() -> None:
    training = Comparison.of(request(["subsets.shard_size=10"]).study).trainings[0]
    many = shard_steps(SubsetModels(training), 30_000, "a", Label("a: subsets"))[500:]
    assert _size_of_shards(many, 0.05) == ", 0.5 s a shard: subsets.shard_size=2400 would make it minutes"
    assert _size_of_shards(many, 12.0) == ""
    assert _size_of_shards(many[:100], 0.05) == ""


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"kind": "local", "shard_gpus": 1}, "shard_gpus"),
        ({"kind": "dask", "devices": ("cuda:0",)}, "devices"),
        ({"kind": "ray", "processes_a_device": 2}, "processes_a_device"),
        ({"kind": "ray", "address": "auto", "workers": 2}, "workers"),
    ],
)
def test_settings_of_another_kind_are_refused(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        RunnerConfig(**settings)
    assert [problem["loc"] for problem in raised.value.errors()] == [(key,)]


def test_on_a_cluster_a_shard_computes_on_the_device_that_it_sees() -> None:
    assert "device" not in RunnerConfig().execution()
    assert RunnerConfig(kind="dask").execution()["device"] == "cpu"
    assert RunnerConfig(kind="ray", shard_gpus=0.5).execution()["device"] == "cuda:0"
