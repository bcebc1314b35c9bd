"""Several processes on one device are timed while all of them train; those that do not fit are left out."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import parent_process
from threading import BrokenBarrierError
from typing import Any

import numpy as np
import pytest

from modeldiff_core.data.digits import Digits
from modeldiff_core.training import Execution, Task, step_timer, tuning
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

MODELS = 2
MASKS = np.ones((MODELS, 40), bool)
SLEEP = 0.4


class Sleeper:
    """Trains without using a core, so that two processes take as long as one."""

    def check(self, *_: Any) -> None: ...

    def load(self, *_: Any) -> None: ...

    def train(self, *_: Any) -> None:
        time.sleep(SLEEP)


class Full(Sleeper):
    """Has no memory in a process beside others."""

    def train(self, *_: Any) -> None:
        if parent_process() is not None:
            raise MemoryError


def task(algorithm: Any) -> Task:
    data = Digits(n_train=40, n_test=20).load()
    return Task(algorithm, 0, data.train, data.test, 10)


def sleeping() -> Task:
    return task(Sleeper())


def full() -> Task:
    return task(Full())


def mlp() -> Task:
    return task(Sgd(network=Network("mlp", (8,)), epochs=30, batch_size=10))


def measured(task_of: Callable[[], Task], *processes: int) -> list[tuning.Measurement]:
    way = Execution(stack=1, processes=processes)
    return tuning.fastest(task_of(), MASKS, range(MODELS), way, task_of)


def test_processes_train_at_the_same_time() -> None:
    two, one = measured(sleeping, 1, 2)
    assert (one.processes, two.processes) == (1, 2)
    assert one.seconds_a_model == pytest.approx(SLEEP, rel=0.2)
    assert two.seconds_a_model == pytest.approx(one.seconds_a_model / 2, rel=0.3)
    assert two.peak_bytes > 1.5 * 2**26, "two processes with torch"


def test_steps_of_several_processes_are_extrapolated() -> None:
    (only,) = measured(mlp, 2)
    assert only.processes == 2
    assert 0 < only.seconds_a_model < 5


def test_processes_that_do_not_fit_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    (only,) = measured(full, 1, 2, 4)
    assert only.processes == 1
    assert "2 processes at once do not fit the memory of cpu" in caplog.text
    assert "4 processes" not in caplog.text


def test_of_several_failures_the_one_is_told_that_ended_the_others() -> None:
    futures: list[Future[Any]] = [Future() for _ in range(3)]
    for future, error in zip(futures, (BrokenBarrierError(), MemoryError("full"), BrokenBarrierError()), strict=True):
        future.set_exception(error)
    assert str(sorted(futures, key=step_timer._gave_up)[0].exception()) == "full"


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
