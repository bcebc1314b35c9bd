"""Attributions are taken with their axes known, from what is stated and from every size there is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.export import export
from modeldiff_core.experiments.adopted.orientation import is_transposed
from modeldiff_core.stages.regress import read_blocks
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study.adopted import Export
from tests.modeldiff_core.experiments.adopted.adopting.files import TARGETS, TRAIN, fitted, ours, published, taken
from tests.modeldiff_core.stages.studies import local


def test_a_published_dictionary_is_turned_and_comes_out_as_it_was(store: ObjectStore, tmp_path: Path) -> None:
    reference = taken(store, scores=published(tmp_path))
    read, parts = read_blocks(store, reference), fitted()
    for name, expected in parts.items():
        assert getattr(read, name).tobytes() == expected.tobytes()
    assert np.isnan(read.duality_gap).all()
    assert taken(store, scores=ours(tmp_path)) == reference, "the same numbers in our own layout"
    export(store, Export(key=reference.key, to=str(tmp_path / "out.safetensors"), published=True))
    found = load_file(tmp_path / "out.safetensors")
    original = {name: tensor.numpy() for name, tensor in torch.load(tmp_path / "datamodels.pt").items()}
    assert found.keys() == original.keys() == {"weight", "bias", "lam"}
    assert all(found[name].tobytes() == original[name].tobytes() for name in found)
    assert found["weight"].shape == (TRAIN, TARGETS)
    assert taken(local(tmp_path / "other"), scores=tmp_path / "out.safetensors") == reference


def test_a_plain_matrix_needs_its_orientation(store: ObjectStore, tmp_path: Path) -> None:
    weights = fitted()["weights"]
    np.save(tmp_path / "ours.npy", weights)
    np.save(tmp_path / "theirs.npy", weights.T)
    with pytest.raises(ConfigError, match="orientation: expected targets_train or train_targets"):
        taken(store, scores=tmp_path / "ours.npy")
    reference = taken(store, scores=tmp_path / "ours.npy", orientation="targets_train")
    assert taken(store, scores=tmp_path / "theirs.npy", orientation="train_targets") == reference
    read = read_blocks(store, reference)
    assert read.weights.tobytes() == weights.tobytes()
    assert not read.bias.any()
    record = read_record(store, reference.record)
    assert (record["given"], record["targets"], record["train"]) == (["weights"], TARGETS, TRAIN)


def test_a_statement_outweighs_the_format_if_the_sizes_allow_it(store: ObjectStore, tmp_path: Path) -> None:
    path = published(tmp_path, turned=True)
    with pytest.raises(ConfigError, match="orientation: expected targets_train, got 'train_targets'"):
        taken(store, scores=path)
    assert taken(store, scores=path, orientation="targets_train") == taken(store, scores=ours(tmp_path))


@pytest.mark.parametrize(
    ("shape", "stated", "columns", "dataset", "turned"),
    [
        ((5, 11), None, {"bias": (5,)}, None, False),
        ((11, 5), None, {"bias": (5,)}, None, True),
        ((5, 11), None, {}, (5, 11), False),
        ((5, 11), None, {}, (9, 11), False),
        ((11, 5), None, {}, (9, 11), True),
        ((5, 5), "train_targets", {"bias": (5,)}, None, True),
        ((5, 11), "train_targets", {}, None, True),
    ],
)
def test_sizes_tell_the_orientation(
    shape: tuple[int, int], stated: str | None, columns: dict[str, tuple[int, ...]], dataset: Any, turned: bool
) -> None:
    assert is_transposed(shape, stated, columns, dataset) is turned


@pytest.mark.parametrize(
    ("shape", "stated", "columns", "dataset", "key"),
    [
        ((5, 5), None, {"bias": (5,)}, (5, 5), "orientation"),
        ((5, 11), None, {}, None, "orientation"),
        ((5, 11), "train_targets", {"bias": (5,)}, None, "orientation"),
        ((5, 11), "targets_train", {}, (11, 5), "orientation"),
        ((5, 11), None, {"bias": (7,)}, None, "scores"),
        ((5, 11), None, {"bias": (5,), "lambdas": (11,)}, None, "scores"),
        ((5, 11), "targets_train", {}, (4, 11), "scores"),
    ],
)
def test_an_orientation_that_is_open_or_contradicted_is_refused(
    shape: tuple[int, int], stated: str | None, columns: dict[str, tuple[int, ...]], dataset: Any, key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        is_transposed(shape, stated, columns, dataset)
    assert caught.value.key == key
