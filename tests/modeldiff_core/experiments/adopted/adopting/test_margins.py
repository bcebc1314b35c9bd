"""Margins and masks that come in from files of other tools are kept bit for bit, under one name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.stored import find_stored
from modeldiff_core.stages.regress import read_blocks
from modeldiff_core.store import MarginMatrix, ObjectStore
from tests.modeldiff_core.experiments.adopted.adopting.files import (
    FORMATS,
    MODELS,
    TARGETS,
    TRAIN,
    as_npy,
    fitted,
    layout,
    ours,
    pair,
    taken,
)
from tests.modeldiff_core.stages.studies import local


@pytest.mark.parametrize("write", FORMATS)
def test_the_same_numbers_make_the_same_training_from_any_file(
    store: ObjectStore, tmp_path: Path, write: Callable[..., dict[str, Path]]
) -> None:
    masks, margins = pair()
    (tmp_path / "plain").mkdir()
    plain = taken(local(tmp_path / "other"), **as_npy(tmp_path / "plain", masks, margins))
    reference = taken(store, **write(tmp_path, masks, margins))
    assert reference == plain
    matrix = MarginMatrix.open(store, reference.key)
    assert matrix.masks().tobytes() == masks.tobytes()
    assert matrix.margins().tobytes() == margins.tobytes()
    assert matrix.valid().all()
    assert reference.key.startswith("trainings/unnamed.adopted-")
    other, _ = pair(seed=2)
    assert taken(store, **as_npy(tmp_path / "plain", other, margins)).key != reference.key
    assert taken(store, name="another", **as_npy(tmp_path / "plain", masks, margins)).key != reference.key


def test_half_precision_margins_are_kept_exactly(store: ObjectStore, tmp_path: Path) -> None:
    masks, margins = pair()
    half = margins.astype(np.float16)
    folder = layout(tmp_path / "layout", masks, half, np.ones(MODELS, dtype=bool))
    matrix = MarginMatrix.open(store, taken(store, folder=folder).key)
    assert matrix.margins().astype(np.float16).tobytes() == half.tobytes()


def test_an_adoption_that_was_cut_short_is_finished_by_another(store: ObjectStore, tmp_path: Path) -> None:
    files = as_npy(tmp_path, *pair())
    reference = taken(store, **files)
    store.delete(reference.record)
    assert taken(store, **files) == reference
    assert store.exists(reference.record)


@pytest.mark.parametrize("margins", [True, False])
def test_what_was_adopted_and_is_damaged_is_adopted_again(store: ObjectStore, tmp_path: Path, margins: bool) -> None:
    asked = as_npy(tmp_path, *pair()) if margins else {"scores": ours(tmp_path)}
    reference = taken(store, **asked)
    before = store.sizes("")
    assert taken(store, **asked) == reference
    assert store.sizes("") == before, "what is whole is not written again"
    part = next(key for key in before if key.endswith(("margins/c/0/0", ".safetensors")))
    for damaged in (part, reference.record, f"{reference.key.rsplit('/', 1)[0]}/training.json"):
        store.write(damaged, store.read(damaged)[:-2] + b"!!")
        assert taken(store, **asked) == reference
        if margins:
            np.testing.assert_array_equal(MarginMatrix.open(store, reference.key).margins(), pair()[1])
        else:
            np.testing.assert_array_equal(read_blocks(store, reference).weights, fitted()["weights"])
        assert find_stored(store, reference.key, "a").reference == reference


def test_a_training_is_named_by_its_folder_if_it_holds_one_thing(store: ObjectStore, tmp_path: Path) -> None:
    matrix = taken(store, **as_npy(tmp_path, *pair()))
    folder = matrix.key.rsplit("/", 1)[0]
    group = MarginMatrix.open(store, matrix.key).group
    assert group.startswith(f"{matrix.key}.")
    for key in (matrix.key, matrix.record, f"{group}/", folder, f"/{folder}/"):
        found = find_stored(store, key, "a")
        assert found.reference == matrix
        assert (found.kind, found.name, found.models, found.n_train, found.n_targets) == (
            "margins",
            "elsewhere",
            MODELS,
            TRAIN,
            TARGETS,
        )
    fit = taken(store, scores=ours(tmp_path))
    assert find_stored(store, fit.key.rsplit("/", 1)[0], "a").reference == fit
    store.write(f"{folder}/margins-00000000.json", b"{}")
    for key in (folder, "trainings/none", f"{folder}/margins-11111111"):
        with pytest.raises(ConfigError, match="^a: "):
            find_stored(store, key, "a")
