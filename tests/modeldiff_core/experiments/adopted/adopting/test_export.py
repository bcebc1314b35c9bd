"""What goes out is what came in, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.export import export
from modeldiff_core.store import ObjectStore, read_record, write_record
from modeldiff_core.study.adopted import Export
from tests.modeldiff_core.experiments.adopted.adopting.files import MODELS, as_npy, fitted, ours, pair, taken
from tests.modeldiff_core.stages.studies import local


@pytest.mark.parametrize("to", ["out", "out.npz"])
def test_margins_go_out_as_they_came_in(store: ObjectStore, tmp_path: Path, to: str) -> None:
    masks, margins = pair()
    reference = taken(store, **as_npy(tmp_path, masks, margins))
    written = export(store, Export(key=reference.key, to=str(tmp_path / to)))
    if to == "out":
        assert [path.name for path in written] == ["masks.npy", "margins.npy", "_completed.npy"]
        found = {path.stem: np.load(path, mmap_mode="r") for path in written}
        assert found["_completed"].dtype == bool
        assert found["_completed"].all()
        again = {"folder": tmp_path / to}
    else:
        found = dict(np.load(tmp_path / to))
        again = {"masks": tmp_path / to, "margins": tmp_path / to}
    assert found["masks"].dtype == bool
    assert found["masks"].tobytes() == masks.tobytes()
    assert found["margins"].dtype == np.float32
    assert found["margins"].tobytes() == margins.tobytes()
    assert taken(local(tmp_path / "other"), **again) == reference


def test_diverged_models_are_left_out_of_an_export(store: ObjectStore, tmp_path: Path) -> None:
    masks, margins = pair()
    reference = taken(store, **as_npy(tmp_path, masks, margins))
    write_record(store, reference.record, {**read_record(store, reference.record), "diverged": [3, 4]})
    export(store, Export(key=reference.key, to=str(tmp_path / "out")))
    export(store, Export(key=reference.key, to=str(tmp_path / "out.npz")))
    kept = np.delete(np.arange(MODELS), [3, 4])
    assert np.flatnonzero(np.load(tmp_path / "out" / "_completed.npy")).tolist() == kept.tolist()
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["margins"], margins[kept])


@pytest.mark.parametrize("to", ["out.npy", "out.safetensors"])
def test_attributions_go_out_as_they_came_in(store: ObjectStore, tmp_path: Path, to: str) -> None:
    reference = taken(store, scores=ours(tmp_path))
    export(store, Export(key=reference.key, to=str(tmp_path / to)))
    parts = fitted()
    found = {"weights": np.load(tmp_path / to)} if to.endswith(".npy") else load_file(tmp_path / to)
    assert found.keys() == ({"weights"} if to.endswith(".npy") else parts.keys())
    assert all(found[name].tobytes() == parts[name].tobytes() for name in found)


@pytest.mark.parametrize(
    ("margins", "asked", "words"),
    [
        (True, {"to": "out.npy"}, "no ending (a folder) or .npz for margins"),
        (True, {"to": "out", "published": True}, "published: expected false"),
        (False, {"to": "out"}, ".npy or .safetensors for datamodels"),
        (False, {"to": "out.npy", "published": True}, "to: expected .safetensors"),
        (False, {"to": "store"}, "to: expected a path that does not exist yet"),
        (False, {"to": "none/out.npy"}, "to: expected a path in a folder that exists"),
    ],
)
def test_exports_that_cannot_be_are_refused(
    store: ObjectStore, tmp_path: Path, margins: bool, asked: dict[str, Any], words: str
) -> None:
    reference = taken(store, **(as_npy(tmp_path, *pair()) if margins else {"scores": ours(tmp_path)}))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError) as caught:
        export(store, Export(key=reference.key, **{**asked, "to": str(tmp_path / asked["to"])}))
    assert words in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before
