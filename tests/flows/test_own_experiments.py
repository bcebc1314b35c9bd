"""The documented experiments of a user's own by the command line: every verb, with nothing but their entry points."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.workers.process import ProcessWorker

from harness.commands import Commands, InProcess, kill_all, run_here, wait_for
from harness.own_experiments import content, installed, opened, overrides
from harness.prefect_server import PrefectServer
from modeldiff_core.plan import survey
from modeldiff_core.store import read_record
from modeldiff_platform.flows.cli import main


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of the installed packages, which this process finds too."""
    place = installed(tmp_path_factory)
    sys.path.insert(0, str(place))
    yield place
    sys.path.remove(str(place))


@pytest.fixture(scope="module")
def with_examples(commands: Commands, place: Path) -> Commands:
    """Return commands that find the packages."""
    path = os.pathsep.join([str(place), str(Path(__file__).parents[2])])
    return Commands({**commands.environment, "PYTHONPATH": path}, commands.folder)


def test_a_failed_run_is_shown_resumed_by_retry_and_reported(
    in_process: InProcess,
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = overrides("feature_knockout", tmp_path)
    planned = run_here(capsys, "plan", *asked)
    assert planned.returncode == 0, planned.stderr
    assert "margins without pixels: 0 of 6 shards done, 600 rows" in planned.stdout
    experiment, store = opened("feature_knockout", tmp_path)
    in_the_way = tmp_path / experiment.summary.record / "folder"
    in_the_way.mkdir(parents=True)
    failed = in_process("run", *asked)
    assert failed.returncode == 1
    assert "Resume with: modeldiff run " in failed.stderr
    in_the_way.rmdir()
    in_the_way.parent.rmdir()
    half = run_here(capsys, "status", *asked).stdout
    assert "done    score\n" in half
    assert "missing summary\nmissing report\n" in half
    refused = run_here(capsys, "report", *asked)
    assert refused.returncode == 1
    assert "modeldiff: pixels lacks summary of pixels" in refused.stderr
    assert "Traceback" not in refused.stderr

    shards = {path: path.stat().st_mtime_ns for path in tmp_path.glob("responses/*/shards/*")}
    again = in_process("retry", "feature_knockout pixels")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "mean rank correlation" in again.stdout
    assert shards == {path: path.stat().st_mtime_ns for path in tmp_path.glob("responses/*/shards/*")}
    assert "missing" not in run_here(capsys, "status", *asked).stdout
    assert "Report: file://" in run_here(capsys, "report", *asked).stdout
    assert b"moves margins most" in store.read(experiment.report.record)

    module = place / "feature_knockout.py"
    text = module.read_text()
    module.write_text(f"{text}\nOTHER = 1\n")
    try:
        for verb, code in (("status", 0), ("report", 0), ("run", 2)):
            capsys.readouterr()
            assert main([verb, *asked]) == code
            said = capsys.readouterr().err
            assert "expected the code that computed" in said, verb
            assert "other code in feature_knockout" in said
    finally:
        module.write_text(text)
    capsys.readouterr()
    assert main(["status", *asked]) == 0
    assert "other code" not in capsys.readouterr().err

    damaged = next(iter(shards))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    found = run_here(capsys, "verify", "--repair", *asked)
    assert str(damaged.relative_to(tmp_path)) in found.stdout
    assert not damaged.exists()


@pytest.mark.nightly
def test_a_killed_run_goes_on_from_the_checkpoint_of_its_longest_network(
    with_examples: Commands, in_process: InProcess, tmp_path: Path
) -> None:
    asked = overrides("rank_and_mask", tmp_path)
    process = with_examples.start("run", *asked)
    wait_for(lambda: bool(list(tmp_path.glob("rank_and_mask/cell-*/checkpoint.safetensors"))), 120, "a checkpoint")
    kill_all(process)
    assert list(tmp_path.glob("rank_and_mask/cell-*/checkpoint.safetensors"))
    done = in_process("run", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "On 10% of the pixels" in done.stdout
    assert "2 ended without a result, which is recorded" in in_process("status", *asked).stdout
    assert not list(tmp_path.glob("rank_and_mask/cell-*/checkpoint.safetensors"))


@pytest.mark.nightly
@pytest.mark.usefixtures("place")
def test_a_sweep_runs_one_at_every_point(in_process: InProcess, tmp_path: Path) -> None:
    asked = [override for override in overrides("ridge_derivatives", tmp_path) if not override.startswith("hidden_b")]
    done = in_process("sweep", *asked, "+sweep.hidden_b=[0,5]")
    assert done.returncode == 0, done.stdout + done.stderr
    alike, differ = (opened("ridge_derivatives", tmp_path, hidden_b=hidden) for hidden in (0, 5))
    assert read_record(alike[1], alike[0].summary.record)["p"] > 0.05
    assert read_record(differ[1], differ[0].summary.record)["p"] < 0.02
    assert "hidden_b=0" in done.stdout
    assert "may be alike" in done.stdout


@pytest.mark.usefixtures("place")
def test_what_is_wrong_is_refused_by_its_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = run_here(capsys, "run", *overrides("feature_knockout", tmp_path), "keep=2")
    assert wrong.returncode == 2
    assert "keep: expected" in wrong.stderr
    assert content(tmp_path) == {}


@pytest.fixture(scope="module")
def server(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> PrefectServer:
    """The server that commands share, as one that stays, with a work pool."""
    port = int(commands.environment["UI"].rpartition(":")[2])
    server = PrefectServer(tmp_path_factory.mktemp("server"), port, settings={})
    template = ProcessWorker.get_default_base_job_template()
    server.ask("work_pools/", {"name": "here", "type": "process", "base_job_template": template})
    return server


@pytest.mark.nightly
def test_a_deployment_has_a_form_of_its_settings_and_runs_on_a_worker(
    server: PrefectServer, place: Path, tmp_path: Path
) -> None:
    path = os.pathsep.join([str(place), str(Path(__file__).parents[2])])
    here = Commands({**server.environment, "PYTHONPATH": path}, server.folder)
    deployed = here.run("deploy", *overrides("feature_knockout", tmp_path), "deployment.pool=here")
    assert deployed.returncode == 0, deployed.stderr
    found = server.ask("deployments/name/feature_knockout/pixels")
    assert found["entrypoint"] == "modeldiff_platform.flows.experiment.feature_knockout"
    form = found["parameter_openapi_schema"]
    assert form["properties"].keys() == {"study", "store", "runner"}
    assert {"keep", "rows", "targets"} <= form["definitions"]["KnockoutStudy"]["properties"].keys()
    run = server.ask(f"deployments/{found['id']}/create_flow_run", {})
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "here", "--type", "process", "--run-once"]
    done = subprocess.run(command, env=here.environment, cwd="/", capture_output=True, text=True, timeout=400)
    assert server.state(run["id"]) == "Completed", done.stdout[-3000:] + done.stderr[-3000:]
    experiment, store = opened("feature_knockout", tmp_path)
    assert survey(experiment, store).complete
