"""A fan-out on a real server: shards that fail once recover, those that always fail are named, and all are recorded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from harness.commands import Commands
from harness.fan_out import FanOut, recorded
from modeldiff_platform.flows.prefect_api.server import prefect_api
from modeldiff_platform.flows.request import RunnerConfig
from modeldiff_platform.flows.runners import Call
from modeldiff_platform.flows.runners.backpressure import LOOK_EVERY, MOST_BEHIND, PacedRunner

ALWAYS = (3, 21, 47)
TASKS = 60


@task
def double(number: int) -> int:
    return 2 * number


@flow
def of_an_earlier_server() -> None:
    assert double(1) == 2


@pytest.fixture(scope="module")
def finished(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FanOut]:
    """60 shards of which every tenth fails once and three always; the server is still up.

    This process has run a flow on another server before, which still waits for its events.
    """
    folder = tmp_path_factory.mktemp("fanout")
    for index in ALWAYS:
        (folder / f"{index}.broken").touch()
    with temporary_settings({PREFECT_API_URL: f"{commands.environment['UI']}/api"}):
        of_an_earlier_server()
    assert any(isinstance(one, EventsWorker) for one in EventsWorker._instances.values()), "nobody would send there"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        with prefect_api(folder / "home"):
            yield FanOut(list(range(TASKS)), 0.01, str(folder), RunnerConfig(workers=2), once=10, always=ALWAYS).run()


def test_three_fail_and_are_named_and_the_others_finish(finished: FanOut) -> None:
    said = {name: f"{type(error).__name__}: {error}" for name, error in finished.failures.items()}
    assert said == {f"shard {i}": f"OSError: shard {i} is broken" for i in ALWAYS}
    assert len(finished.results) == TASKS - len(ALWAYS)


def test_shards_that_fail_once_recover_and_every_run_is_in_the_api(finished: FanOut) -> None:
    found, lag = recorded(finished.flow_run, TASKS)
    assert found == TASKS
    assert lag < 60
    with get_client(sync_client=True) as client:
        of_this = {"flow_runs": {"id": {"any_": [finished.flow_run]}}, "limit": 200}
        runs = client.request("POST", "/task_runs/filter", json=of_this).json()
    attempts = {run["name"]: run["run_count"] for run in runs}
    assert attempts == {f"shard {i}": 4 if i in ALWAYS else 2 if i % 10 == 0 else 1 for i in range(TASKS)}
    assert {run["state_type"] for run in runs if run["name"] not in finished.failures} == {"COMPLETED"}
    assert all("shard" in run["tags"] for run in runs)


def test_what_failed_runs_once_its_cause_is_gone(finished: FanOut) -> None:
    for index in ALWAYS:
        (Path(finished.folder) / f"{index}.broken").unlink()
    again = FanOut(list(ALWAYS), 0.01, finished.folder, finished.runner, always=ALWAYS).run()
    assert not again.failures
    assert again.results.keys() == {f"shard {i}" for i in ALWAYS}


@flow(name="nested")
def nested(deeper: int) -> int | None:
    return nested(deeper - 1) if deeper else PacedRunner(Sink())._flows()


def test_flows_that_share_a_server_are_counted(finished: FanOut) -> None:
    assert finished.flow_run, "another flow has run there and ended"
    assert nested(0) == 1
    assert nested(2) == 3


class Sink:
    """A runner that takes everything at once."""

    places = 1

    def __init__(self) -> None:
        self.taken = 0

    def submit(self, _call: Call) -> None:
        self.taken += 1

    def widen(self, processes: int) -> None:
        pass


class Log:
    def __init__(self, said: list[str]) -> None:
        self.said = said

    def warning(self, words: str, *values: object) -> None:
        self.said.append(words % values)


@pytest.mark.parametrize("flows", [None, 1, 4])
def test_a_server_that_is_behind_is_waited_for(monkeypatch: pytest.MonkeyPatch, flows: int | None) -> None:
    sink, behind = Sink(), []
    paced = PacedRunner(sink)

    def slow_server() -> int:
        behind.append(sink.taken - 100 * len(behind))
        return 100 * len(behind)

    monkeypatch.setattr(paced, "_recorded", slow_server)
    monkeypatch.setattr(paced, "_flows", lambda: flows)
    monkeypatch.setattr("modeldiff_platform.flows.runners.backpressure.time.sleep", lambda _seconds: None)
    for _ in range(5000):
        paced.submit(None)
    assert sink.taken == 5000
    assert len(behind) > 5000 / LOOK_EVERY, "it had to look again"
    assert max(behind) <= MOST_BEHIND // (flows or 1) + 2 * LOOK_EVERY


def test_a_server_that_records_nothing_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, said, clock = Sink(), [], iter(range(100_000))
    paced = PacedRunner(sink)
    monkeypatch.setattr(paced, "_recorded", lambda: 7)
    monkeypatch.setattr("modeldiff_platform.flows.runners.backpressure.time.sleep", lambda _seconds: None)
    monkeypatch.setattr("modeldiff_platform.flows.runners.backpressure.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("modeldiff_platform.flows.runners.backpressure.get_run_logger", lambda: Log(said))
    for _ in range(3000):
        paced.submit(None)
    assert sink.taken == 3000
    assert len(said) == 1
    assert "7 of 1400" in said[0]
