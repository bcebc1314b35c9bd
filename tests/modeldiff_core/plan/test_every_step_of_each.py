"""On a finished store of each other experiment: what is lost or damaged of each kind of step is made again alone."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.commands import run_here
from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.experiments.moe_grid import corpus
from modeldiff_core.experiments.run import open_experiment
from modeldiff_core.plan import InProcess, Step, repair, run, survey, verify
from modeldiff_core.plan.failures import failure_key
from modeldiff_core.store import ObjectStore
from tests.modeldiff_core.plan.cases import Case, bits, carried_out
from tests.modeldiff_core.plan.studies_of_each import STUDIES
from tests.modeldiff_core.stages.studies import EXECUTION

QUICK = {"leakage"}
"""Studies of a second; `make nightly` has the others."""
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.nightly) for name in STUDIES]
UNREAD = {"write_training", "write_report", "count_masks", "write_edited"}
"""Kinds of steps whose results people read, or nobody once what follows is there."""

READER = {"find_images": "write_report"}
"""Kinds of steps whose results a later one reads than the first that needs them."""
NO_READERS = "count_masks", "finish_regression"
"""Kinds of steps that need a result and read none of it, or are not needed themselves."""


@dataclass(frozen=True)
class Finished:
    """A finished study in a store that a test may damage."""

    folder: Path
    experiment: Experiment
    store: ObjectStore

    def last_of_each_kind(self) -> Iterator[Case]:
        """Yield a case for the last result of each kind of step: of several blocks or sides it is not the first.

        Times, which reports show, are put back after each.
        """
        done = survey(self.experiment, self.store).of_state("done")
        before = bits(self.store)
        times = {key: self.store.read(key) for key in self.store.sizes("") if key.endswith(".time.json")}
        for step in {step.stage.__name__: step for step in done}.values():
            yield Case(self.store, self.experiment, step, before)
            for key, took in times.items():
                self.store.write(key, took)


@pytest.fixture(scope="module", params=NAMES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp(request.param)
    study = STUDIES[request.param](folder)
    (folder / "study.json").write_text(json.dumps(study))
    experiment, store = open_experiment(study, folder / "store")
    run(experiment, store, InProcess(store, EXECUTION))
    return Finished(folder, experiment.now(store), store)


@pytest.fixture
def finished(made: Finished, tmp_path: Path) -> Finished:
    shutil.copytree(made.folder / "store", tmp_path / "store")
    return Finished(made.folder, *open_experiment(made.folder / "study.json", tmp_path / "store"))


def reader_of(case: Case) -> Step | None:
    """Return a step of another kind that reads the result of this one, or what this one is a part of."""
    results = {case.step.reference, *(product.reference for product in case.step.serves)}
    steps = [known.step for known in case.survey().steps if known.state == "done"]
    kind = case.step.stage.__name__
    if kind in READER:
        return next(one for one in steps if one.stage.__name__ == READER[kind])
    others = [one for one in steps if one.stage.__name__ not in (kind, *NO_READERS)]
    return next((one for one in others if not results.isdisjoint(one.needs)), None)


def test_what_is_deleted_is_named_and_made_again_alone(finished: Finished) -> None:
    for case in finished.last_of_each_kind():
        key, allowed = case.own()[-1], case.dependents()
        whole = case.store.read(key)
        case.store.delete(key)
        found = case.survey()
        if found.complete:
            assert case.step.serves, "it is only on the way to what is there"
            assert case.rerun() == []
            case.store.write(key, whole)
            continue
        missing = {step.name for step in found.missing}
        assert case.step.name in missing
        assert missing <= allowed
        named = {one.key for one in verify(case.experiment, case.store) if one.kind == "missing"}
        assert key in named or (case.step.stage.__name__ == "gather" and case.step.reference.record in named)
        again = {step.name for step in case.rerun()}
        assert case.step.name in again <= allowed
        assert bits(case.store) == case.before, case.step.name
        assert case.survey().complete


def test_a_flipped_byte_is_named_and_mended_whoever_reads_it(finished: Finished) -> None:
    for case in finished.last_of_each_kind():
        kind, own = case.step.stage.__name__, case.own()
        key = next((name for name in own if "/margins/c/" in name), own[-1])
        key = own[0] if kind == "write_summary" else key
        path = Path(case.store.path(key))
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        findings = verify(case.experiment, case.store)
        named = [one.key for one in findings if one.kind == "damaged"]
        assert (case.step.reference.record if kind == "gather" else key) in named, case.step.name
        reader = reader_of(case)
        corpus._read.cache_clear()  # a process reads a text once
        if reader is None or kind in UNREAD:
            assert repair(case.store, findings)
            case.rerun()
        else:
            for one in replace(case, step=reader).own():
                case.store.delete(one)
            again = [step.name for step in case.rerun()]
            assert case.step.name in again, f"{reader.name} reads it"
            assert reader.name in again
        assert verify(case.experiment, case.store) == (), case.step.name
        if kind == "count_masks":
            assert not case.store.exists(key), "it is only on the way to what is there"
            case.store.write(key, whole)
        assert bits(case.store) == case.before, case.step.name


def test_a_recorded_failure_that_is_deleted_is_tried_and_recorded_again(finished: Finished) -> None:
    before = bits(finished.store)
    for step in survey(finished.experiment, finished.store).of_state("failed"):
        key = failure_key(step.reference)
        finished.store.delete(key)
        assert step.name in [one.name for one in survey(finished.experiment, finished.store).missing]
        assert step.name in [one.name for one in carried_out(finished.experiment, finished.store)]
        assert bits(finished.store) == before


def test_report_says_what_is_missing_and_which_command_makes_it(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = f"study={finished.folder / 'study.json'}", f"store.root={finished.store.settings.root}"
    done = survey(finished.experiment, finished.store).of_state("done")
    step = [one for one in done if not one.serves][-3]
    finished.store.delete(step.reference.record)
    told = run_here(capsys, "report", *asked)
    assert told.returncode == 1
    assert step.name in told.stderr
    assert f"Run: modeldiff {finished.experiment.command} study=" in told.stderr
    assert "Traceback" not in told.stderr
    counted = run_here(capsys, "status", *asked)
    assert counted.returncode == 0
    assert f"missing {step.label.group}" in counted.stdout
    planned = run_here(capsys, "plan", *asked)
    assert planned.returncode == 0
    assert step.name in planned.stdout or "to make" in planned.stdout
    assert run_here(capsys, "verify", *asked).returncode == 1
