"""The script for a GPU, on the CPU: it tells right from wrong, and no check stops the others."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import agreement, memory
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.block import block
from benchmarks.gpu.checks import CHECKS
from benchmarks.gpu.results import Bench, Check, Comparison, Rate, Result, compared
from benchmarks.gpu.runner import carried_out, run

BENCH = Bench("cpu", quick=True)
MLP = Check("trainers: MLP", agreement.mlp, 60)


def test_trainers_agree_on_the_change_that_training_makes() -> None:
    outcome = carried_out(MLP, BENCH)
    assert outcome.holds, outcome
    cases = {one.case for one in outcome.comparisons}
    assert {"MLP, stack of 3, float32", "MLP, one by one, bfloat16"} <= cases
    assert max(one.difference for one in outcome.comparisons) > 1e-6, "other arithmetic rounds otherwise"


def test_a_wrong_margin_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """One margin of one model is off by a hundredth of the change by training, and only where models are stacked."""
    right = agreement.margins_after

    def wrong(task: Any, execution: Any, steps: int) -> np.ndarray:
        margins = right(task, execution, steps)
        if execution.stack > 1 and not execution.native and task.algorithm.precision == "float32":
            margins[1, 7] += 2e-4
        return margins

    monkeypatch.setattr(agreement, "margins_after", wrong)
    outcome = carried_out(MLP, BENCH)
    assert outcome.status == "done"
    assert not outcome.holds
    assert [one.case for one in outcome.comparisons if not one.holds] == ["MLP, stack of 3, float32"]
    assert f"**1 of {len(outcome.comparisons)} wrong**" in block(BENCH, [outcome], 1.0)


def test_training_that_changes_nothing_agrees_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "margins_after", lambda *_: np.ones((3, 100), np.float32))
    outcome = carried_out(MLP, BENCH)
    assert outcome.comparisons
    assert not any(one.holds for one in outcome.comparisons)


@pytest.mark.parametrize("found", [np.array([1.0, np.nan]), np.array([1.0, 2.0, 3.0])])
def test_values_that_are_missing_do_not_hold(found: np.ndarray) -> None:
    assert compared("right", np.array([1.0, 2.0]), np.array([1.0, 2.0]), 1.0, 0.1).holds
    assert not compared("wrong", found, np.array([1.0, 2.0]), 1.0, 0.1).holds


def test_a_stack_that_is_not_halved_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Check("out of memory", memory.halving, 60)
    assert carried_out(check, BENCH).holds
    monkeypatch.setattr(memory, "_at_most", lambda _: memory.train_stack)
    assert not carried_out(check, BENCH).holds


def good(_: Bench) -> Iterator[Result]:
    yield Comparison("good", 0.5, 1.0)


def wrong(_: Bench) -> Iterator[Result]:
    yield Comparison("bad", 2.0, 1.0)


def raises(_: Bench) -> Iterator[Result]:
    yield Rate("measured before", "some way", 0.5)
    raise ValueError("no such kernel")


def dies(_: Bench) -> Iterator[Result]:
    yield Comparison("before the end", 0.5, 1.0)
    os._exit(3)


def hangs(bench: Bench) -> Iterator[Result]:
    yield Comparison(f"told of its limit: {bench.left < 5.0}", 0.5, 1.0)
    time.sleep(600)


def test_no_check_stops_the_others() -> None:
    checks = [
        Check(function.__name__, function, 5.0 if function is hangs else 60)
        for function in (good, wrong, raises, dies, hangs, good)
    ]
    began = time.monotonic()
    outcomes = list(run(checks, BENCH, 400))
    assert time.monotonic() - began < 200
    assert [one.status for one in outcomes] == ["done", "done", "failed", "failed", "out of time", "done"]
    assert [one.holds for one in outcomes] == [True, False, False, False, False, True]
    assert [len(one.results) for one in outcomes] == [1] * 6, "results from before the end are kept"
    assert outcomes[2].reason == "ValueError: no such kernel"
    assert "exit code 3" in outcomes[3].reason
    assert outcomes[4].comparisons[0].case == "told of its limit: True"
    text = block(BENCH, outcomes, 1.0)
    assert "**failed: ValueError: no such kernel**" in text
    assert "| measured before | some way | 0.5 s a model | 7,200 | 13.89 |" in text


def test_the_total_is_a_limit() -> None:
    outcomes = list(run([Check("hangs", hangs, 60), Check("good", good, 60)], BENCH, 6.0))
    assert [one.status for one in outcomes] == ["out of time", "out of time"]
    assert sum(one.seconds for one in outcomes) < 30


def test_all_checks_fit_into_ten_minutes() -> None:
    assert sum(check.seconds for check in CHECKS) <= 575
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_the_command_writes_a_block_and_names_a_missing_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["benchmarks.gpu", "--quick", "--only", "ridge", "--out", str(tmp_path / "block")]
    monkeypatch.setattr(sys, "argv", [*command, "--device", "cpu"])
    assert main() == 0, capsys.readouterr().err
    text = (tmp_path / "block").read_text()
    assert "torch" in text
    assert "| ridge | 2 hold |" in text
    monkeypatch.setattr(sys, "argv", [*command, "--device", "cuda:97"])
    assert main() == 2
    assert "--device cpu --quick" in capsys.readouterr().err
