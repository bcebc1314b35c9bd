"""Code of a user's own that has changed: named before anything is computed, with both ways out; never mixed."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress
from modeldiff_core.plan.run import InProcess
from modeldiff_core.stages import own_code
from modeldiff_core.stages.own_code import check_code
from modeldiff_core.store import read_record
from modeldiff_core.study.code import code_of
from modeldiff_core.training import ALGORITHMS, Execution
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.transformations import TRANSFORMATIONS
from tests.modeldiff_core.stages.studies import TINY
from tests.modeldiff_core.undrawn import undrawn

HELPER = "FACTOR = 1.0\n"
OWN = """
# A comment that is no code.
from dataclasses import dataclass

import numpy as np
import sklearn

import own_helper
from modeldiff_core.training.sgd import Sgd


@dataclass(frozen=True)
class Own(Sgd):
    batch_size: int = 64


@dataclass(frozen=True)
class Darker:
    version: int = 1

    def check(self, image_shape):
        pass

    def __call__(self, images, intensity):
        return (images * (1 - 0.5 * intensity * own_helper.FACTOR)).astype(np.uint8)
"""
STUDY: dict[str, Any] = {
    **TINY,
    "dataset": {**TINY["dataset"], "n_train": 200},
    "algorithm_a": {**TINY["algorithm_a"], "kind": "own"},
    "transformations": [{"name": "darker", "kind": "darker", "intensities": [1.0]}],
    "comparison": {**TINY["comparison"], "permutations": 0},
    "search": {"directions": 0},
}
EXECUTION = Execution(stack=20)


class Package:
    """Two modules of a user's own, of which one refers to the other, and what they register."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.write()

    def write(self, own: str = OWN, helper: str = HELPER) -> None:
        for name, text in ("own_helper", helper), ("own_parts", own):
            (self.folder / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        import linecache

        linecache.clearcache()
        sys.dont_write_bytecode = True
        module = importlib.import_module("own_parts")
        self.monkeypatch.setitem(ALGORITHMS._builtin, "own", module.Own)
        self.monkeypatch.setitem(TRANSFORMATIONS._builtin, "darker", module.Darker)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Package(tmp_path, monkeypatch)
    for name in "own_helper", "own_parts":
        sys.modules.pop(name, None)


def ran(root: Path, study: dict[str, Any] = STUDY, **given: Any) -> Any:
    with undrawn():
        return run_study(study, root, execution=EXECUTION, progress=NoProgress(), **given)


def test_a_digest_of_what_is_read_and_run_and_nothing_of_what_ships(package: Package) -> None:
    assert code_of(Sgd()) == {}
    known = code_of(sys.modules["own_parts"].Own())
    assert known["modules"] == ["own_helper", "own_parts"], "no distribution has the helper, so it is the user's own"
    assert known["libraries"].keys() == {"numpy", "scikit-learn"}
    package.write(OWN.replace("# A comment that is no code.", "# Another one.\n\n"))
    assert code_of(sys.modules["own_parts"].Own()) == known
    package.write(OWN.replace("batch_size: int = 64", "batch_size: int = 32"))
    assert code_of(sys.modules["own_parts"].Own())["source"] != known["source"]
    package.write(helper=HELPER.replace("1.0", "0.5"))
    assert code_of(sys.modules["own_parts"].Own())["source"] != known["source"], "what it calls is its code, too"


def test_changed_code_is_refused_and_both_ways_out_work(package: Package, tmp_path: Path) -> None:
    root = tmp_path / "store"
    ran(root)
    experiment, store = open_experiment(STUDY, root)
    record = experiment.comparison.trainings[0].prefix + "/training.json"  # type: ignore[attr-defined]
    assert read_record(store, record)["code"]["modules"] == ["own_helper", "own_parts"]
    assert check_code(experiment, store) == []
    before = {key: store.listing("trainings")[key].written for key in store.sizes("trainings")}

    package.write(OWN.replace("1 - 0.5", "1 - 0.25"))
    for call in (lambda: check_code(*open_experiment(STUDY, root)), lambda: ran(root)):
        with pytest.raises(
            ConfigError, match=r"algorithm_a\.kind: expected the code that computed .*training\.json"
        ) as raised:
            call()
        assert "raise a field `version`" in str(raised.value)
        assert "runner.accept_code=true" in str(raised.value)
    assert {key: store.listing("trainings")[key].written for key in store.sizes("trainings")} == before

    anew = open_experiment({**STUDY, "algorithm_a": {**STUDY["algorithm_a"], "seed": 7}}, root)[0]
    with pytest.raises(ConfigError, match=r"transformations\.darker: expected the code that computed"):
        check_code(anew, store), "the effect on B, which is that of before"
    ran(root, accept_code=True)
    after = {key: store.listing("trainings")[key].written for key in store.sizes("trainings")}
    changed = {key.rpartition("/")[2].partition("-")[0] for key in after if after[key] != before[key]}
    assert changed == {"training.json", "effects"}, "their notes; no model and no datamodel"
    assert check_code(*open_experiment(STUDY, root)) == []

    package.write(OWN.replace("version: int = 1", "version: int = 2"))
    renewed = open_experiment(STUDY, root)[0]
    assert renewed.digest != experiment.digest, "a version is part of the key"


def test_a_half_finished_store_is_never_finished_by_other_code(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, call = tmp_path / "store", InProcess.__call__

    def interrupted(self: InProcess, wave: Any, steps: list[Any], advance: Any, complete: Any = ()) -> Any:
        raise (
            KeyboardInterrupt
            if wave.title != "training"
            else call(self, wave, steps[:1], advance) and KeyboardInterrupt
        )

    monkeypatch.setattr(InProcess, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ran(root)
    monkeypatch.setattr(InProcess, "__call__", call)
    assert len(list(root.glob("trainings/*/*/shards/*"))) == 1
    package.write(OWN.replace("64", "16"))
    with pytest.raises(ConfigError, match=r"algorithm_a\.kind: expected the code that computed"):
        ran(root)
    assert len(list(root.glob("trainings/*/*/shards/*"))) == 1


def test_other_libraries_and_a_store_of_before_are_named(package: Package, tmp_path: Path) -> None:
    experiment, store = open_experiment(STUDY, tmp_path / "store")
    training = experiment.comparison.trainings[0]  # type: ignore[attr-defined]
    key = f"{training.prefix}/training.json"
    whole = training.record()
    own_code.write_record(store, key, {name: value for name, value in whole.items() if name != "code"})
    (warning,) = check_code(experiment, store)
    assert warning.endswith("training.json does not say which code it was computed by")
    libraries = {**whole["code"]["libraries"], "scikit-learn": "0.1"}
    own_code.write_record(store, key, {**whole, "code": {**whole["code"], "libraries": libraries}})
    (warning,) = check_code(experiment, store)
    assert "was computed with scikit-learn 0.1 (now " in warning
