"""A study from Python: planned, run, interrupted and read in one process without Prefect or Hydra."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.run import open_experiment, run_study, status_of
from modeldiff_core.plan import NoProgress, RunFailed, Step, verify
from modeldiff_core.plan.run import InProcess
from modeldiff_core.study import parse_study
from modeldiff_core.training import Execution
from tests.modeldiff_core.stages.studies import TINY
from tests.modeldiff_core.undrawn import undrawn

EXECUTION = Execution(stack=20)
SMALL: dict[str, Any] = {**TINY, "dataset": {**TINY["dataset"], "n_train": 200}}
"""Large enough for the checks of a study."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    shown = run_study(SMALL, root, execution=EXECUTION, progress=NoProgress())
    assert shown.title == "short against long"
    assert any("Datamodels predict" in line for line in shown.findings)
    assert {table.name for table in shown.tables} >= {"directions", "effects"}
    assert shown.links["Report"].endswith("/report/index.html")
    return root


def test_a_second_call_computes_nothing(finished: Path) -> None:
    experiment, store = open_experiment(SMALL, finished)
    before = {key: store.listing("comparisons")[key].written for key in store.sizes("comparisons")}
    assert len(before) > 10
    run_study(SMALL, finished, execution=EXECUTION, progress=NoProgress())
    assert {key: store.listing("comparisons")[key].written for key in store.sizes("comparisons")} == before
    assert status_of(SMALL, finished).complete
    assert verify(experiment, store) == ()


def test_the_data_and_warnings_are_logged_before_anything_is_computed(
    finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="modeldiff_core.experiments.run"):
        run_study(SMALL, finished, execution=EXECUTION, progress=NoProgress())
    table, *warnings = [record.getMessage() for record in caplog.records if record.name.endswith("experiments.run")]
    assert table.startswith("Data\nimages ")
    assert "label 9: 9" in table
    assert any("no direction can be significant" in words for words in warnings)


def test_a_study_may_be_settings_or_a_file(finished: Path, tmp_path: Path) -> None:
    study = parse_study(SMALL)
    (tmp_path / "study.json").write_text(json.dumps(study.model_dump(mode="json")))
    stored = next(finished.glob("comparisons/tiny-*/study.json"))
    digests = {open_experiment(given, finished)[0].digest for given in (SMALL, study, tmp_path / "study.json", stored)}
    assert len(digests) == 1


def test_an_interrupted_run_goes_on_with_equal_bits(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    call = InProcess.__call__

    def interrupted(self: InProcess, wave: Any, steps: list[Step], advance: Any, complete: Any = ()) -> Any:
        def count(step: Step) -> None:
            done.append(step.name)
            if len(done) == 7:
                raise KeyboardInterrupt
            advance(step)

        return call(self, wave, steps, count, complete)

    monkeypatch.setattr(InProcess, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_study(SMALL, tmp_path, execution=EXECUTION, progress=NoProgress())
    monkeypatch.undo()
    assert len(status_of(SMALL, tmp_path).missing) > 0
    with undrawn():
        run_study(SMALL, tmp_path, execution=EXECUTION, progress=NoProgress())
    for ours in finished.rglob("*.safetensors"):
        assert (tmp_path / ours.relative_to(finished)).read_bytes() == ours.read_bytes()


def test_a_study_that_cannot_give_a_result_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="comparison.components"):
        run_study({**SMALL, "comparison": {"components": 60}}, tmp_path, progress=NoProgress())
    with pytest.raises(ConfigError, match="experiment: expected one of checkpoints, compare, compare_adopted"):
        run_study({**SMALL, "experiment": "nothing"}, tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_diverging_recipe_fails_by_the_name_of_its_steps(tmp_path: Path) -> None:
    wild = {**TINY["algorithm_a"], "recipe": {**TINY["algorithm_a"]["recipe"], "learning_rate": 1e12}}
    with pytest.raises(RunFailed, match="were not tried") as failed:
        run_study({**SMALL, "algorithm_a": wild}, tmp_path, execution=EXECUTION, progress=NoProgress())
    assert "tiny short subsets shard 0: Diverged: " in str(failed.value)
    assert list(tmp_path.glob("trainings/*/subsets/shards/*")), "the other algorithm's shards are made all the same"


def test_neither_prefect_nor_hydra_is_imported() -> None:
    code = (
        "import sys, modeldiff_core.experiments.run as run\n"
        "run.experiments().names()\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'prefect', 'hydra', 'omegaconf'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_only_shown_is_drawn_again_and_nothing_is_computed(finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(finished, root)
    renamed = {
        **SMALL,
        "algorithm_a": {**SMALL["algorithm_a"], "name": "brief & new"},
        "subsets": {**SMALL["subsets"], "rounds": {"wished_score": 0.75}},
    }
    experiment, store = open_experiment(renamed, root)
    assert status_of(renamed, root).complete, "neither is part of any key"
    page = f"{experiment.folder}/report/index.html"
    assert b"brief &amp; new" not in store.read(page)
    before = {key: listed.written for key, listed in store.listing("trainings").items()}
    shown = run_study(renamed, root, execution=EXECUTION, progress=NoProgress())
    assert {key: listed.written for key, listed in store.listing("trainings").items()} == before
    assert shown.title == "brief & new against long"
    assert b"brief &amp; new" in store.read(page)
    assert b"0.75" in store.read(f"{experiment.folder}/report/study.json")
    assert verify(experiment, store) == ()
    assert not experiment.refresh(store), "once"
