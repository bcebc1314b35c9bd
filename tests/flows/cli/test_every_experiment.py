"""Deployments and retries of every experiment on a real server: what failed goes on under its name, in workers too."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.commands import Commands, wait_for
from harness.prefect_server import PrefectServer
from modeldiff_core.experiments.run import open_experiment
from modeldiff_core.plan import survey
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.cli.deploy import Deployed, DeploymentSettings
from modeldiff_platform.flows.experiment import flow_of
from modeldiff_platform.flows.request import Request
from modeldiff_platform.flows.resolve import experiment_of
from tests.flows.cli.test_retry import runs
from tests.modeldiff_core.plan.studies_of_each import STUDIES

ALIKE = {"rows", "texts", "matrix_free", "metagradient", "league", "scaling"}
"""Studies of kinds that another study here has too, or that tests of their own deploy and retry."""
KINDS = sorted(STUDIES.keys() - ALIKE)


@pytest.fixture(params=KINDS)
def study(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], Path, Path]:
    """Return a study, its file, and the root of an empty store."""
    content = STUDIES[request.param](tmp_path)
    path = tmp_path / f"{request.param}.json"
    path.write_text(json.dumps(content))
    return content, path, tmp_path / "store"


def test_parameters_of_a_run_give_the_same_experiment_again(
    study: tuple[dict[str, Any], Path, Path],
) -> None:
    """What a retry reads from Prefect's database, and a worker from a deployment, which keep JSON in any order."""
    _, path, root = study
    asked = request([f"study={path}", f"store.root={root}"])
    flow, whole = flow_of(asked.kind), Deployed(asked, DeploymentSettings(pool="here")).parameters()
    assert path.stem.startswith(("halved", flow.name))
    kept = json.loads(json.dumps(whole, sort_keys=True))
    read = flow.validate_parameters(kept)
    again = experiment_of(Request(asked.kind, read["study"], read["store"], read["runner"]))
    first = experiment_of(asked)
    assert again.digest == first.digest
    assert again.summary == first.summary
    assert again.tags == first.tags
    assert flow.parameters.definitions is not None
    assert type(first).settings.__name__ in flow.parameters.definitions


@pytest.mark.nightly
def test_a_run_that_failed_is_retried_under_its_own_name(
    commands: Commands, study: tuple[dict[str, Any], Path, Path]
) -> None:
    content, path, root = study
    experiment, _ = open_experiment(content, root)
    in_the_way = root / experiment.summary.record / "folder"
    in_the_way.mkdir(parents=True)
    asked = f"study={path}", f"store.root={root}", "runner.workers=1"
    failed = commands.run("run", *asked)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert f"Resume with: modeldiff {experiment.command} " in failed.stderr
    name = f"{experiment.kind} {experiment.name}"
    (run,) = runs(commands, name)
    assert run["state_name"] == "Failed"
    in_the_way.rmdir()
    in_the_way.parent.rmdir()
    written = {one: one.stat().st_mtime_ns for one in root.rglob("*.safetensors")}
    assert written
    done = commands.run("retry", run["id"])
    assert done.returncode == 0, done.stdout + done.stderr
    (completed,) = runs(commands, name)
    assert (completed["id"], completed["state_name"], completed["run_count"]) == (run["id"], "Completed", 2)
    assert all(one.stat().st_mtime_ns == when for one, when in written.items())
    assert survey(*open_experiment(content, root)).complete


@pytest.mark.nightly
@pytest.mark.usefixtures("client_here", "worker")
def test_a_worker_completes_what_is_deployed(
    server: PrefectServer, here: Commands, study: tuple[dict[str, Any], Path, Path]
) -> None:
    content, path, root = study
    experiment, _ = open_experiment(content, root)
    asked = f"study={path}", f"store.root={root}", "runner.workers=1"
    assert main(["deploy", *asked, "deployment.pool=here"]) == 0
    found = server.ask(f"deployments/name/{experiment.kind}/{experiment.name}")
    assert found["entrypoint"] == f"modeldiff_platform.flows.experiment.{experiment.kind}"
    form = found["parameter_openapi_schema"]["definitions"][type(experiment).settings.__name__]["properties"]
    assert form.keys() == type(experiment).settings.model_fields.keys()
    run = server.ask(f"deployments/{found['id']}/create_flow_run", {})
    wait_for(lambda: server.state(run["id"]) in ("Completed", "Failed", "Crashed"), 300, "the end")
    assert server.state(run["id"]) == "Completed", (here.folder / "worker.log").read_text()[-3000:]
    assert survey(*open_experiment(content, root)).complete
    assert main(["verify", *asked[:2]]) == 0
