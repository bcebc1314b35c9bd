"""On a finished store of each other experiment: what is lost or damaged of each kind of step is made again alone."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.commands import run_here
from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.experiments.run import open_experiment
from modeldiff_core.plan import InProcess, Step, repair, run, survey, verify
from modeldiff_core.plan.failures import failure_key
from modeldiff_core.store import ObjectStore
from tests.modeldiff_core.plan.cases import Case, bits, carried_out
from tests.modeldiff_core.plan.studies_of_each import STUDIES
from tests.modeldiff_core.stages.studies import EXECUTION

QUICK = {"leakage", "halved", "components", "checkpoints"}
"""Studies of a second or two; `make nightly` has the others."""
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.nightly) for name in STUDIES]
UNREAD = {"write_training", "write_report"}
"""Kinds of steps whose results people read, and no stage."""


@dataclass(frozen=True)
class Finished:
    """A finished study in a store that a test may damage."""

    folder: Path
    experiment: Experiment
    store: ObjectStore

    def last_of_each_kind(self) -> Iterator[Case]:
        """Yield a case for the last result of each kind of step: of several blocks or sides it is not the first."""
        done = survey(self.experiment, self.store).of_state("done")
        before = bits(self.store)
        for step in {step.stage.__name__: step for step in done}.values():
            yield Case(self.store, self.experiment, step, before)


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
    """Return a step of another kind that needs the result of this one."""
    kind, reference = case.step.stage.__name__, case.step.reference
    steps = [known.step for known in case.survey().steps if known.state == "done"]
    return next((one for one in steps if reference in one.needs and one.stage.__name__ != kind), None)


def test_what_is_deleted_is_named_and_made_again_alone(finished: Finished) -> None:
    for case in finished.last_of_each_kind():
        key, allowed = case.own()[-1], case.dependents()
        case.store.delete(key)
        found = case.survey()
        if case.step.serves:
            assert found.complete, "it is only on the way to what is there"
            assert case.rerun() == []
            del case.before[key]
            continue
        missing = {step.name for step in found.missing}
        assert case.step.name in missing <= allowed
        assert (key, "missing") in [(one.key, one.kind) for one in verify(case.experiment, case.store)]
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
        if reader is None or case.step.serves or kind in UNREAD:
            assert repair(case.store, findings)
            case.rerun()
        else:
            case.store.delete(reader.reference.record)
            again = [step.name for step in case.rerun()]
            assert case.step.name in again, f"{reader.name} reads it"
            assert reader.name in again
        assert verify(case.experiment, case.store) == (), case.step.name
        if case.step.serves:
            del case.before[key]
        assert bits(case.store) == case.before, case.step.name


def test_a_recorded_failure_that_is_deleted_is_tried_and_recorded_again(finished: Finished) -> None:
    before = bits(finished.store)
    for step in survey(finished.experiment, finished.store).of_state("failed"):
        key = failure_key(step.reference)
        finished.store.delete(key)
        assert [one.name for one in survey(finished.experiment, finished.store).missing] == [step.name]
        assert [one.name for one in carried_out(finished.experiment, finished.store)] == [step.name]
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
