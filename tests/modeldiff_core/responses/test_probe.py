"""The record of the fastest way: measured once, read afterwards, and without effect on what is trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import plain
from modeldiff_core.plan.strays import strays
from modeldiff_core.responses import probe
from modeldiff_core.store import ObjectStore, StoreSettings, read_record, write_record
from modeldiff_core.study import Training, parse_study
from modeldiff_core.study.build import load_dataset
from modeldiff_core.study.trainings import trainings_of
from modeldiff_core.training import Execution, train_subset_models

STUDY: dict[str, Any] = {
    "name": "tiny",
    "dataset": {"kind": "digits", "n_train": 60, "n_test": 40},
    "algorithm_a": {"name": "a", "kind": "sgd", "recipe": {"epochs": 2, "network": {"kind": "mlp", "widths": [8]}}},
    "algorithm_b": {"name": "b", "kind": "sgd", "recipe": {"epochs": 3}},
    "subsets": {"models": 50, "evaluation_models": 10, "shard_size": 20},
    "ensemble": {"models": 6, "shard_size": 3},
}
EXECUTION = Execution("cpu", 8, native=False)


def training() -> Training:
    study = parse_study(STUDY)
    return trainings_of(study, load_dataset(study.dataset))[0]


def settings(folder: Path) -> StoreSettings:
    return StoreSettings(str(folder))


@pytest.mark.parametrize(("kind", "stacks"), [("subsets", {1, 4}), ("ensemble", {1})])
def test_the_fastest_way_is_measured_once_and_kept_beside_the_training(
    tmp_path: Path, kind: str, stacks: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store = training(), ObjectStore(settings(tmp_path))
    found = probe.probe_training(store, spec, kind, EXECUTION)
    assert {way["stack"] for way in found["measured"]} == stacks
    assert found["seconds_a_model"] == min(way["seconds_a_model"] for way in found["measured"]) > 0
    key = probe.probe_key(spec, kind, EXECUTION)
    assert key.startswith(f"{spec.prefix}/probes/cpu-")
    assert read_record(store, key) == found
    monkeypatch.setattr(probe, "measured_ways", lambda *args: pytest.fail("measured again"))
    assert probe.probe_training(store, spec, kind, EXECUTION) == found


def test_the_fastest_way_is_used_and_changes_no_margin(tmp_path: Path) -> None:
    spec, given = training(), replace(EXECUTION, tuned=True)
    assert probe.tuned_execution(settings(tmp_path / "empty"), spec, "subsets", given) == given
    found = probe.probe_training(ObjectStore(settings(tmp_path)), spec, "subsets", EXECUTION)
    tuned = probe.tuned_execution(settings(tmp_path), spec, "subsets", given)
    assert tuned == replace(given, stack=found["stack"], compiled=found["compiled"], stack_batch_norm=True)
    untuned = replace(given, tuned=False)
    assert probe.tuned_execution(settings(tmp_path), spec, "subsets", untuned) == untuned
    task = spec.task()
    masks = spec.sampler(len(task.train)).masks(range(5))
    ways = given, replace(given, stack=1)
    one, other = (train_subset_models(task, masks, range(5), way).margins for way in ways)
    assert one.std() > 0.01
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_other_hardware_and_other_limits_have_records_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store = training(), ObjectStore(settings(tmp_path))
    keys = {
        probe.probe_key(spec, kind, Execution("cpu", stack)) for kind in ("subsets", "ensemble") for stack in (8, 9)
    }
    keys.add(probe.probe_key(spec, "subsets", Execution("cpu", 8, native=False)))
    monkeypatch.setattr(probe, "hardware", lambda device: "another")
    keys.add(probe.probe_key(spec, "subsets", Execution("cpu", 8)))
    keys.add(probe.probe_key(spec, "subsets", Execution("cpu", 8, processes=(1, 2))))
    assert len(keys) == 7
    for key in keys:
        write_record(store, key, {"stack": 8})
    assert not list(strays(store, keys, keys)), "no strays to verify"


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    spec = training()
    key = probe.probe_key(spec, "subsets", EXECUTION)
    ObjectStore(settings(tmp_path)).write(key, b"{")
    with pytest.raises(DamagedObject, match="probes/cpu-"):
        probe.probe_training(ObjectStore(settings(tmp_path)), spec, "subsets", EXECUTION)


def test_a_worker_measures_from_plain_json(tmp_path: Path) -> None:
    spec, store = training(), ObjectStore(settings(tmp_path))
    given = {
        "store": plain(store.settings),
        "training": plain(spec),
        "execution": plain(replace(EXECUTION, tuned=True)),
    }
    found = probe.probe_here(**json.loads(json.dumps({**given, "kind": "ensemble"})))
    assert read_record(store, probe.probe_key(spec, "ensemble", EXECUTION)) == found
