"""Deployments: registered on a real server behind a password, run by a real worker, cancelled and retried."""

import asyncio
import json
import re
import urllib.error
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest
from prefect._internal.observers import FlowRunCancellingObserver
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from harness.commands import Commands, wait_for
from harness.prefect_server import PASSWORD, PrefectServer
from harness.small_studies import TINY
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import experiments
from modeldiff_platform.flows.cli import main, retry
from modeldiff_platform.flows.prefect_api.deployed import check_cluster, check_modules
from modeldiff_platform.flows.request import RunnerConfig
from tests.flows.cli.deployments import completed, deployed_before, deployment, descendants_named

LONGER = (
    *TINY,
    "subsets.models=480",
    "algorithm_a.recipe.epochs=40",
    "algorithm_b.recipe.epochs=40",
    "runner.workers=1",
)
"""A study that is still being trained when its cancellation arrives."""
SHARDS = 2 * (24 + 2)
DEPLOYED = "modeldiff_platform.flows.prefect_api.deployed"
"""Parameters of the flow ``compare`` as an earlier version gave them for TINY."""


@pytest.mark.nightly
@pytest.mark.usefixtures("client_here", "worker")
def test_a_deployed_study_is_cancelled_retried_and_completed_by_a_worker(
    server: PrefectServer, here: Commands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = *LONGER, f"store.root={tmp_path}"
    assert main(["deploy", *study, "deployment.pool=here", "deployment.tags=[mine]"]) == 0
    found = deployment(server, "digits_watermark")
    assert found["entrypoint"] == "modeldiff_platform.flows.experiment.compare"
    assert {"mine", "digits_watermark"} <= set(found["tags"])
    form = found["parameter_openapi_schema"]
    assert form["properties"].keys() == {"study", "store", "runner"}
    assert {"dataset", "algorithm_a", "subsets"} <= form["definitions"]["StudyConfig"]["properties"].keys()

    run = server.ask(f"deployments/{found['id']}/create_flow_run", {})
    shards = "trainings/*/*/shards/*.safetensors"
    wait_for(lambda: bool(list(tmp_path.glob(shards))), 120, "a shard")
    server.ask(f"flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
    wait_for(lambda: server.state(run["id"]) == "Cancelled", 120, "the cancellation")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob(shards)}
    assert 1 <= len(before) < SHARDS, "cancelled too late to show anything"
    # a server that is busy lets its clients wait up to four minutes before they have sent their last lines
    wait_for(lambda: not descendants_named("prefect.engine"), 300, "the end of the flow's process")
    main(["verify", *study])
    assert "0 damaged, 0 foreign" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob(shards)}, "workers went on"

    assert main(["retry", run["id"]]) == 0
    assert "waits for a worker of here" in capsys.readouterr().out
    wait_for(lambda: server.state(run["id"]) in ("Completed", "Failed", "Crashed"), 400, "the end")
    assert server.state(run["id"]) == "Completed", (here.folder / "worker.log").read_text()[-3000:]
    assert len(list(tmp_path.glob(shards))) == SHARDS
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert list(tmp_path.glob("comparisons/*/report/index.html"))
    logged = [json.loads(line) for line in (here.folder / "worker.log").read_text().splitlines() if line[:1] == "{"]
    assert any(re.search(r": \d+ of 52 shards done before, \d+ to train$", entry["msg"]) for entry in logged)
    assert main(["retry", run["id"]]) == 2
    assert "expected a run that failed, crashed or was cancelled" in capsys.readouterr().err


@pytest.mark.nightly
@pytest.mark.usefixtures("client_here", "worker")
def test_a_deployed_sweep_is_run_by_a_worker(server: PrefectServer, here: Commands, tmp_path: Path) -> None:
    study = *TINY, f"store.root={tmp_path}", "deployment.name=grid"
    assert main(["deploy", *study, "deployment.pool=here", "+sweep.comparison.components=[2,1]"]) == 0
    found = server.ask("deployments/name/sweep/grid")
    assert found["entrypoint"] == "modeldiff_platform.flows.experiment.sweep"
    study = found["parameters"]["study"]
    first, second = study["points"]
    assert [point["words"] for point in (first, second)] == ["comparison.components=2", "comparison.components=1"]
    wrong = [first, {"words": "another", "study": {**second["study"], "code": "os.system"}}]
    asked = {"parameters": {"study": {**study, "points": wrong}}}
    with pytest.raises(urllib.error.HTTPError, match="409"):
        server.ask(f"deployments/{found['id']}/create_flow_run", asked)

    completed(server, here, found["id"])
    assert len(list(tmp_path.glob("trainings/*/subsets/shards/*.safetensors"))) == 2 * 4, "shared by the points"
    assert len(list(tmp_path.glob("comparisons/*/report/index.html"))) == 2


@pytest.mark.usefixtures("client_here")
def test_parameters_that_do_not_fit_the_form_are_refused_by_the_server(server: PrefectServer, tmp_path: Path) -> None:
    assert main(["deploy", f"store.root={tmp_path}", "deployment.pool=here", "deployment.name=checked"]) == 0
    found = deployment(server, "checked")
    wrong = [
        ("study", {"subsets": {"models": "many"}}),
        ("study", {"code": "os.system"}),
        ("store", {"key": "a secret"}),
        ("runner", {"kind": "os"}),
    ]
    for name, changes in wrong:
        changed = {**found["parameters"][name], **changes}
        with pytest.raises(urllib.error.HTTPError, match="409"):
            server.ask(f"deployments/{found['id']}/create_flow_run", {"parameters": {name: changed}})
    run = server.ask(f"deployments/{found['id']}/create_flow_run", {})
    server.ask(f"flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLED"}})


@pytest.mark.usefixtures("client_here")
def test_deployments_of_an_earlier_version_are_to_be_made_again(
    server: PrefectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = f"store.root={tmp_path}", "deployment.pool=here"
    assert main(["deploy", *pool, "deployment.name=new"]) == 0
    assert "earlier version" not in capsys.readouterr().out
    before = deployed_before(server, "flows.experiment.compare", {})
    run = server.ask(f"deployments/{before}/create_flow_run", {})
    for state in ("RUNNING", "FAILED"):
        server.ask(f"flow_runs/{run['id']}/set_state", {"state": {"type": state}, "force": True})
    assert main(["retry", run["id"]]) == 2
    said = capsys.readouterr().err
    assert "expected a run of a deployment of this version" in said
    assert "modeldiff deploy study=... deployment.name=before flows.experiment.compare" in said
    assert main(["deploy", *pool, "deployment.name=new"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "earlier version" in line]
    assert line.endswith("deployed again: compare/before flows.experiment.compare")
    server.ask(f"deployments/{before}", method="DELETE")


@pytest.mark.usefixtures("client_here")
def test_every_experiment_is_deployed_as_its_own_flow(
    server: PrefectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, pool = f"store.root={tmp_path / 'store'}", ("deployment.pool=here", "deployment.name=other")
    keys = []
    for seed in (1, 2):
        np.save(tmp_path / "scores.npy", np.random.default_rng(seed).normal(size=(30, 100)))
        scores = (f"scores={tmp_path}/scores.npy", "orientation=targets_train")
        assert main(["adopt", f"name=n{seed}", *scores, place]) == 0
        keys.append(capsys.readouterr().out.split()[-1])
    sides = [f"a={keys[0]}", f"b={keys[1]}", "comparison.components=2"]
    for kind, asked, own in (
        ("counterfactual", (), {"counterfactual", "algorithm_a"}),
        ("compare_adopted", sides, {"a", "b", "evaluation_models"}),
        ("sweep", ("+sweep.comparison.components=[2,1]",), {"points"}),
    ):
        chosen = [] if kind == "sweep" else [f"experiment={kind}"]
        assert main(["deploy", *chosen, *asked, place, *pool]) == 0
        found = server.ask(f"deployments/name/{kind}/other")
        assert found["entrypoint"] == f"modeldiff_platform.flows.experiment.{kind}"
        form = found["parameter_openapi_schema"]
        study = form["definitions"][form["properties"]["study"]["$ref"].rpartition("/")[2]]
        assert own <= study["properties"].keys()
        assert ("algorithm_a" in study["properties"]) == (kind == "counterfactual")


@pytest.mark.usefixtures("client_here")
def test_the_study_of_a_file_is_deployed_as_it_is_compared(server: PrefectServer, tmp_path: Path) -> None:
    asked = ["deploy", f"store.root={tmp_path}", "deployment.pool=here"]
    assert main([*asked, "deployment.name=composed", "subsets.models=400"]) == 0
    parameters = deployment(server, "composed")["parameters"]
    assert parameters["study"]["subsets"]["models"] == 400
    (tmp_path / "study.json").write_text(json.dumps(parameters["study"]))
    assert main([*asked, "deployment.name=read", f"study={tmp_path / 'study.json'}"]) == 0
    assert deployment(server, "read")["parameters"] == parameters


@pytest.mark.parametrize(
    ("allowed", "path", "holds"),
    [
        ("", "own.training:train", False),
        ("own", "own.training:train", True),
        ("other, own.training", "own.training:train", True),
        ("own", "owner:train", False),
        ("", "mlp", True),
    ],
)
def test_the_parameters_of_a_deployed_run_name_only_modules_that_its_worker_allows(
    allowed: str, path: str, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SimpleNamespace(deployment_id=UUID(int=1))
    inside = SimpleNamespace(flow_run=run)
    monkeypatch.setattr(f"{DEPLOYED}.FlowRunContext", SimpleNamespace(get=lambda: inside))
    monkeypatch.setenv("MODELDIFF_MODULES", allowed)
    content = {"algorithm_a": {"recipe": {"train_function": path}}, "tests": [{"network": path}]}
    study = SimpleNamespace(model_dump=lambda mode: content)
    if holds:
        check_modules(study)
    else:
        with pytest.raises(ConfigError, match=r"recipe: expected modules that the worker allows .*MODELDIFF_MODULES"):
            check_modules(study)
    run.deployment_id = None
    check_modules(study)


@pytest.mark.usefixtures("client_here")
def test_the_parameters_of_a_run_cannot_name_another_cluster_than_its_deployment(
    server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["deploy", f"store.root={tmp_path}", "deployment.pool=here", "deployment.name=far", "runner=dask"]
    assert main([*asked, "runner.address=tcp://ours:8786"]) == 0
    run = SimpleNamespace(deployment_id=UUID(deployment(server, "far")["id"]))
    inside = SimpleNamespace(flow_run=run)
    monkeypatch.setattr(f"{DEPLOYED}.FlowRunContext", SimpleNamespace(get=lambda: inside))
    ours, theirs = (RunnerConfig(kind="dask", address=f"tcp://{who}:8786") for who in ("ours", "theirs"))
    check_cluster(ours)
    check_cluster(RunnerConfig())
    with pytest.raises(
        ConfigError, match=r"the cluster of the deployment \(tcp://ours:8786\), got 'tcp://theirs:8786'"
    ):
        check_cluster(theirs)
    run.deployment_id = None
    check_cluster(theirs)


@pytest.mark.usefixtures("client_here")
def test_schedules_and_limits_are_renewed_with_the_deployment(server: PrefectServer, tmp_path: Path) -> None:
    asked = ["deploy", f"store.root={tmp_path}", "deployment.pool=here", "deployment.name=nightly"]
    gpus = ["runner.devices=[cuda:0,cuda:1]", "deployment.runs_a_gpu=2", "deployment.runs=3"]
    at_three = ["deployment.cron='0 3 * * *'", "deployment.timezone=Europe/Berlin"]
    assert main([*asked, *gpus, *at_three]) == 0
    found = deployment(server, "nightly")
    (schedule,) = found["schedules"]
    assert schedule["schedule"]["cron"] == "0 3 * * *"
    assert schedule["schedule"]["timezone"] == "Europe/Berlin"
    assert found["global_concurrency_limit"]["limit"] == 3
    limits = {limit["name"]: limit["limit"] for limit in server.ask("v2/concurrency_limits/filter", {})}
    assert limits.items() >= {"modeldiff.here.cuda:0": 2, "modeldiff.here.cuda:1": 2}.items()
    assert main([*asked, "deployment.interval=3600"]) == 0
    (schedule,) = deployment(server, "nightly")["schedules"]
    assert schedule["schedule"]["interval"] == 3600
    assert main(asked) == 0
    assert deployment(server, "nightly")["schedules"] == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("deployment.pool=nowhere", ["deployment.pool", "(here)", "nowhere", "prefect work-pool create"]),
        ("deployment.queue=nowhere", ["deployment.queue", "a queue of here", "nowhere"]),
        ("deployment.queue=''", ["deployment.queue", "at least 1 character"]),
        ("deployment.cron=daily", ["deployment.cron: expected a cron expression", "0 3 * * *", "daily"]),
        ("deployment.interval=5", ["deployment.interval", "60", "5"]),
        ("deployment.interval=1e18", ["deployment.interval", "less than or equal to", "1e+18"]),
        ("deployment={interval:60,cron:'0 3 * * *'}", ["deployment.interval: expected no interval beside a cron"]),
        ("deployment.runs=3000000000", ["deployment.runs", "2147483647", "3000000000"]),
        ("dataset=npz & dataset.path=data.npz", ["dataset.path", "an absolute path", "data.npz"]),
        ("dataset=cifar10 & dataset.folder=data", ["dataset.folder", "an absolute path", "data"]),
        ("study=scaling_adopted & table=runs.csv", ["table: expected an absolute path", "runs.csv"]),
        ("study=moe_small & corpus.folder=gcide", ["corpus.folder: expected an absolute path", "gcide"]),
        (
            "study=leakage_smoke & datasets.random.signal.path=data",
            ["datasets.random.signal.path: expected an absolute path", "data"],
        ),
        ("deployment.timezone=Mars", ["deployment.timezone", "Mars"]),
        ("deployment.nonsense=1", ["deployment.nonsense"]),
        ("store.root=memory://x", ["store.root", "memory://x"]),
    ],
)
@pytest.mark.usefixtures("client_here")
def test_what_cannot_be_deployed_is_said_at_once(
    capsys: pytest.CaptureFixture[str], override: str, words: list[str]
) -> None:
    assert main(["deploy", "deployment.pool=here", *override.split(" & ")]) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message
    assert message.count("\n") == 1


def test_a_wrong_password_and_no_server(
    server: PrefectServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["deploy", "deployment.pool=here"]
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert main(asked) == 2
    assert "PREFECT_API_URL: expected the API of a Prefect server that keeps running" in capsys.readouterr().err
    monkeypatch.setenv("PREFECT_API_URL", server.api)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "operator:guessed")
    assert main(asked) == 2
    assert "the credentials in PREFECT_API_AUTH_STRING are wrong" in capsys.readouterr().err
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert main(asked) == 2
    assert "No connection" in capsys.readouterr().err


@pytest.mark.usefixtures("client_here")
def test_a_password_in_the_address_is_not_shown(
    server: PrefectServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.api.replace("//", f"//{PASSWORD}@"))
    monkeypatch.delenv("PREFECT_API_AUTH_STRING")
    refresh_global_settings_context()
    asked = ["deploy", f"store.root={tmp_path}", "deployment.name=quiet"]
    assert main([*asked, "deployment.pool=here"]) == 0
    assert main([*asked, "deployment.pool=nowhere"]) == 2
    said = capsys.readouterr()
    assert server.api.removesuffix("/api") in said.out
    assert server.api in said.err
    assert PASSWORD not in said.out + said.err


@pytest.mark.usefixtures("client_here")
def test_a_run_that_is_unknown_or_of_another_flow_is_no_run_to_retry(
    server: PrefectServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = {}
    for flow in ("strangers", "compare"):
        flow_id = server.ask("flows/", {"name": flow})["id"]
        state = {"type": "FAILED", "name": "Failed"}
        ids[flow] = server.ask("flow_runs/", {"flow_id": flow_id, "name": f"a run of {flow}", "state": state})["id"]
    assert main(["retry", "compare nothing"]) == 2
    said = capsys.readouterr().err
    assert "RUN: expected the name or id of a flow run, got 'compare nothing'" in said
    assert f"a run of compare ({ids['compare']})" in said
    assert ids["strangers"] not in said, "it could not be retried"
    assert main(["retry", ids["strangers"]]) == 2
    *first, last = experiments().names()
    assert {"compare", "preview"} < {*first, last}
    assert f"RUN: expected a run of {', '.join(first)} or {last}, got 'a run of strangers" in capsys.readouterr().err


@pytest.mark.usefixtures("client_here")
def test_a_run_that_was_cancelled_just_now_begins_when_prefect_has_forgotten_it(
    server: PrefectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old cancellation stops a run that begins too early: what starts it is told of the last minute's."""
    assert timedelta(seconds=60 + get_current_settings().worker.prefetch_seconds) <= retry.CANCELLED_AGAIN
    monkeypatch.setattr(retry, "CANCELLED_AGAIN", timedelta(hours=1))  # however slow this machine is
    assert main(["deploy", f"store.root={tmp_path}", "deployment.pool=here", "deployment.name=forgotten"]) == 0
    run = server.ask(f"deployments/{deployment(server, 'forgotten')['id']}/create_flow_run", {})
    for state in ("RUNNING", "CANCELLING", "CANCELLED"):
        server.ask(f"flow_runs/{run['id']}/set_state", {"state": {"type": state}, "force": True})
    wait_for(lambda: cancellations(server, run["id"]) > 0, 50, "the event of the cancellation")
    assert asyncio.run(told_to_cancel(UUID(run["id"]))), "if Prefect forgets it at once, nothing need wait any more"

    assert main(["retry", run["id"]]) == 0
    assert re.search(r"waits for a worker of here and begins in 3\d\d\d s, since it was", capsys.readouterr().out)
    waiting = server.ask(f"flow_runs/{run['id']}")
    assert waiting["state_name"] == "AwaitingRetry"
    (cancelled,) = [
        datetime.fromisoformat(state["timestamp"])
        for state in server.ask(f"flow_run_states/?flow_run_id={run['id']}")
        if state["type"] == "CANCELLING"
    ]
    assert datetime.fromisoformat(waiting["next_scheduled_start_time"]) == cancelled + timedelta(hours=1)
    server.ask(f"flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLED"}, "force": True})


def cancellations(server: PrefectServer, run: str) -> int:
    """How many the server has recorded of a run, and tells of."""
    names, of = {"name": ["prefect.flow-run.Cancelling"]}, {"id": [f"prefect.flow-run.{run}"]}
    return int(server.ask("events/filter", {"filter": {"event": names, "resource": of}})["total"])


async def told_to_cancel(run: UUID) -> bool:
    """Return whether what starts a run is told to cancel it, whatever its state is."""
    told = asyncio.Event()
    observer = FlowRunCancellingObserver(on_cancelling=lambda _: told.set())
    observer.add_in_flight_flow_run_id(run)
    async with observer:
        with suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), 60)
    return told.is_set()
