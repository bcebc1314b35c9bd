"""A Prefect server that is away for a while ends no run: calls wait for it, and progress is told when it is back."""

from uuid import UUID, uuid4

import pytest
from httpx import ConnectError, HTTPStatusError, Request, Response

from modeldiff_core.plan import Label, Record, Step, Tally, Wave, refer
from modeldiff_platform.flows.prefect_api import patience, progress
from modeldiff_platform.flows.prefect_api.patience import EVERY, PATIENCE, patiently
from modeldiff_platform.flows.prefect_api.progress import WaveProgress


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


def test_a_server_that_is_away_is_asked_until_it_is_back(clock: Clock) -> None:
    def ask() -> int:
        if clock.now < 60:
            raise ConnectError("refused")
        return 7

    assert patiently(ask) == 7
    assert 60 <= clock.now < 60 + EVERY


def test_it_is_not_asked_for_ever(clock: Clock) -> None:
    asked = []

    def ask() -> None:
        asked.append(clock.now)
        raise ConnectError("refused")

    with pytest.raises(ConnectError):
        patiently(ask)
    assert asked[:2] == [0, EVERY]
    assert clock.now == asked[-1] == PATIENCE


def test_what_the_server_refuses_is_not_asked_again(clock: Clock) -> None:
    asked = []

    def ask() -> None:
        asked.append(clock.now)
        raise HTTPStatusError("no", request=Request("GET", "http://x"), response=Response(422))

    with pytest.raises(HTTPStatusError):
        patiently(ask)
    assert asked == [0.0]


def test_progress_is_told_when_the_server_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    away, made, told = [True], uuid4(), []

    def create(percent: float, key: str, description: str) -> UUID:
        if away[0]:
            raise ConnectError("refused")
        told.append(("created", percent, key))
        return made

    def update(artifact: UUID, percent: float, description: str) -> None:
        if away[0]:
            raise ConnectError("refused")
        told.append(("updated", percent, artifact))

    monkeypatch.setattr(progress, "create_progress_artifact", create)
    monkeypatch.setattr(progress, "update_progress_artifact", update)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    steps = [Step(f"{i}", Record(refer("folder", "one", i)), print, None, (), Label("ones")) for i in range(4)]
    tally = Tally(Wave("key", tuple(steps)), [], steps)
    shown = WaveProgress(tally)
    for step, is_away in zip(steps, (True, False, True, False), strict=True):
        away[0] = is_away
        tally.advance(step)
        shown.update()
        assert told or is_away
    shown.update(last=True)
    assert told == [("created", 50.0, "key"), ("updated", 100.0, made), ("updated", 100.0, made)]
