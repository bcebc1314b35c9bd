"""What comes in from files of other tools is what goes out again, bit for bit, and whatever does not fit is refused."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
import zarr
from safetensors.numpy import load_file, save_file

from modeldiff_core.errors import ConfigError
from modeldiff_core.stages import adopt as adopt_stage
from modeldiff_core.stages.adopt import adopt
from modeldiff_core.stages.export import export
from modeldiff_core.stages.orientation import is_transposed
from modeldiff_core.stages.references import Reference
from modeldiff_core.stages.regress import read_blocks
from modeldiff_core.stages.stored import find_stored
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings, read_record, write_record
from modeldiff_core.study.adopted import Adoption, Export
from tests.modeldiff_core.stages.studies import local

MODELS, TRAIN, TARGETS = 23, 11, 5


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((MODELS, TRAIN)) < 0.5, rng.normal(size=(MODELS, TARGETS)).astype(np.float32)


def fitted() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(TARGETS, TRAIN)).astype(np.float32)
    return {"weights": weights, "bias": rng.random(TARGETS, np.float32), "lambdas": rng.random(TARGETS, np.float32)}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return local(tmp_path / "store")


@pytest.fixture(autouse=True, params=[1, 1 << 24])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row at a time, and all at once: what is adopted must not depend on it."""
    monkeypatch.setattr(adopt_stage, "PART", request.param)


def taken(store: ObjectStore, name: str = "elsewhere", **asked: Any) -> Reference:
    return adopt(store, Adoption(name=name, **{key: str(value) for key, value in asked.items()}))


def layout(folder: Path, masks: np.ndarray, margins: np.ndarray, completed: np.ndarray) -> Path:
    folder.mkdir()
    for name, array in (("masks", masks), ("margins", margins), ("_completed", completed)):
        mapped = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=array.dtype, shape=array.shape)
        mapped[:] = array
        mapped.flush()
    return folder


def as_npy(at: Path, masks: np.ndarray, margins: np.ndarray) -> dict[str, Path]:
    np.save(at / "x.npy", masks)
    np.save(at / "y.npy", np.asfortranarray(margins))
    return {"masks": at / "x.npy", "margins": at / "y.npy"}


def as_npz(at: Path, masks: np.ndarray, margins: np.ndarray) -> dict[str, Path]:
    np.savez_compressed(at / "both.npz", masks=masks.astype(np.uint8), margins=margins.astype(np.float64), other=1)
    return {"masks": at / "both.npz", "margins": at / "both.npz"}


def as_zarr(at: Path, masks: np.ndarray, margins: np.ndarray) -> dict[str, Path]:
    group = zarr.open_group(at / "both.zarr", mode="w")
    group.create_array("masks", data=masks.astype(np.int32))
    group.create_array("margins", data=margins)
    return {"masks": at / "both.zarr", "margins": at / "both.zarr"}


def as_zarr_arrays(at: Path, masks: np.ndarray, margins: np.ndarray) -> dict[str, Path]:
    zarr.save_array(at / "x.zarr", masks)
    zarr.save_array(at / "y.zarr", margins)
    return {"masks": at / "x.zarr", "margins": at / "y.zarr"}


def as_safetensors(at: Path, masks: np.ndarray, margins: np.ndarray) -> dict[str, Path]:
    save_file({"masks": masks, "margins": margins}, at / "both.safetensors")
    return {"masks": at / "both.safetensors", "margins": at / "both.safetensors"}


def as_layout(at: Path, masks: np.ndarray, margins: np.ndarray) -> dict[str, Path]:
    """Unfinished models between the others, with the values that a memory map happens to hold."""
    completed = np.ones(2 * len(masks), dtype=bool)
    completed[::2] = False
    many, values = np.ones((len(completed), TRAIN), dtype=bool), np.full((len(completed), TARGETS), np.nan, np.float32)
    many[completed], values[completed] = masks, margins
    return {"folder": layout(at / "layout", many, values, completed)}


@pytest.mark.parametrize("write", [as_npy, as_npz, as_zarr, as_zarr_arrays, as_safetensors, as_layout])
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
    assert taken(store, name="another", **write_again(tmp_path, masks, margins)).key != reference.key


def write_again(at: Path, masks: np.ndarray, margins: np.ndarray) -> dict[str, Path]:
    return as_npy(at / "plain", masks, margins)


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


def test_half_precision_margins_are_kept_exactly(store: ObjectStore, tmp_path: Path) -> None:
    masks, margins = pair()
    half = margins.astype(np.float16)
    folder = layout(tmp_path / "layout", masks, half, np.ones(MODELS, dtype=bool))
    matrix = MarginMatrix.open(store, taken(store, folder=folder).key)
    assert matrix.margins().astype(np.float16).tobytes() == half.tobytes()


def test_diverged_models_are_left_out_of_an_export(store: ObjectStore, tmp_path: Path) -> None:
    masks, margins = pair()
    reference = taken(store, **as_npy(tmp_path, masks, margins))
    write_record(store, reference.record, {**read_record(store, reference.record), "diverged": [3, 4]})
    export(store, Export(key=reference.key, to=str(tmp_path / "out")))
    export(store, Export(key=reference.key, to=str(tmp_path / "out.npz")))
    kept = np.delete(np.arange(MODELS), [3, 4])
    assert np.flatnonzero(np.load(tmp_path / "out" / "_completed.npy")).tolist() == kept.tolist()
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["margins"], margins[kept])


def test_an_adoption_that_was_cut_short_is_finished_by_another(store: ObjectStore, tmp_path: Path) -> None:
    files = as_npy(tmp_path, *pair())
    reference = taken(store, **files)
    store.delete(reference.record)
    assert taken(store, **files) == reference
    assert reference.complete(store)


def published(at: Path, turned: bool = False) -> Path:
    parts = fitted()
    weight = parts["weights"] if turned else parts["weights"].T
    content = {"weight": weight.copy(), "bias": parts["bias"], "lam": parts["lambdas"]}
    torch.save({name: torch.from_numpy(value) for name, value in content.items()}, at / "datamodels.pt")
    return at / "datamodels.pt"


def ours(at: Path) -> Path:
    save_file(fitted(), at / "datamodels.safetensors")
    return at / "datamodels.safetensors"


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


@pytest.mark.parametrize("to", ["out.npy", "out.safetensors"])
def test_attributions_go_out_as_they_came_in(store: ObjectStore, tmp_path: Path, to: str) -> None:
    reference = taken(store, scores=ours(tmp_path))
    export(store, Export(key=reference.key, to=str(tmp_path / to)))
    parts = fitted()
    found = {"weights": np.load(tmp_path / to)} if to.endswith(".npy") else load_file(tmp_path / to)
    assert found.keys() == ({"weights"} if to.endswith(".npy") else parts.keys())
    assert all(found[name].tobytes() == parts[name].tobytes() for name in found)


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


def spoiled(row: int, value: float) -> np.ndarray:
    _, margins = pair()
    margins[row, 2] = value
    return margins


MASKS, MARGINS = pair()


@pytest.mark.parametrize(
    ("masks", "margins", "words"),
    [
        (MASKS, MARGINS.T.copy(), ["margins: expected a row for each of the 23 masks", "look transposed"]),
        (MASKS[:-1], MARGINS, ["margins: expected a row for each of the 22 masks"]),
        (MASKS[0], MARGINS, ["masks: expected a matrix [models, train]", "x.npy"]),
        (MASKS, MARGINS[:, :0], ["margins: expected a matrix [models, targets]"]),
        (MASKS, spoiled(17, np.nan), ["margins: expected finite values", "model 17"]),
        (MASKS, spoiled(3, np.inf), ["margins: expected finite values", "model 3"]),
        (MASKS, spoiled(4, 1.0).astype(np.float64) * 1e300, ["margins: expected finite values within float32"]),
        (np.packbits(MASKS, axis=1), MARGINS, ["masks: expected 0 and 1 alone", "packed"]),
        (MASKS.astype(np.float32) * 0.5, MARGINS, ["masks: expected 0 and 1 alone", "0.5"]),
        (MASKS.astype("U5"), MARGINS, ["masks: expected numbers or booleans"]),
        (MASKS.astype(object), MARGINS, ["masks: expected a readable .npy file", "x.npy"]),
    ],
)
def test_pairs_that_do_not_fit_are_refused(
    store: ObjectStore, tmp_path: Path, masks: np.ndarray, margins: np.ndarray, words: list[str]
) -> None:
    files = as_npy(tmp_path, masks, margins)
    with pytest.raises(ConfigError) as caught:
        taken(store, **files)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not store.sizes("trainings"), "nothing was written"


def test_files_that_are_not_what_they_say(store: ObjectStore, tmp_path: Path) -> None:
    files = as_npy(tmp_path, *pair())
    whole = files["masks"].read_bytes()
    files["masks"].write_bytes(whole[:100])
    with pytest.raises(ConfigError, match=r"masks: expected a readable \.npy file"):
        taken(store, **files)
    with pytest.raises(ConfigError, match="masks: expected a file that is there"):
        taken(store, masks=tmp_path / "none.npy", margins=files["margins"])
    files["masks"].write_bytes(whole)
    with pytest.raises(ConfigError, match="margins: expected a file that ends in .npy"):
        taken(store, masks=files["masks"], margins=tmp_path / "y.csv")
    with pytest.raises(ConfigError, match="folder: expected models that are completed"):
        taken(store, folder=layout(tmp_path / "none", *pair(), np.zeros(MODELS, dtype=bool)))
    with pytest.raises(ConfigError, match="folder, or masks with margins, or scores"):
        taken(store, masks=files["masks"])
    np.savez(tmp_path / "named.npz", p=MASKS, q=MARGINS)
    with pytest.raises(ConfigError, match=r"an array named masks, or with one alone, got \['p', 'q'\]"):
        taken(store, masks=tmp_path / "named.npz", margins=files["margins"])


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_no_code_in_a_file_runs(store: ObjectStore, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2, 3), "extra": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    with pytest.raises(ConfigError, match="weights_only"):
        taken(store, scores=tmp_path / "trap.pt")
    np.save(tmp_path / "trap.npy", np.array([Trap(tmp_path / "sprung")], dtype=object), allow_pickle=True)
    with pytest.raises(ConfigError, match="scores"):
        taken(store, scores=tmp_path / "trap.npy")
    assert not (tmp_path / "sprung").exists()
    torch.load(tmp_path / "trap.pt", weights_only=False)
    assert (tmp_path / "sprung").exists(), "the trap is one"


def test_sizes_are_checked_against_the_dataset(store: ObjectStore, tmp_path: Path) -> None:
    files = {key: str(path) for key, path in as_npy(tmp_path, *pair()).items()}
    dataset: dict[str, Any] = {"kind": "digits", "n_train": 100, "n_test": 40}
    with pytest.raises(ConfigError, match="masks: expected a column for each of the dataset's 100 training examples"):
        adopt(store, Adoption.model_validate({"name": "x", "dataset": dataset, **files}))
    rng = np.random.default_rng(0)
    np.save(tmp_path / "scores.npy", rng.normal(size=(100, 30)))
    asked = {"name": "x", "dataset": dataset, "scores": str(tmp_path / "scores.npy")}
    reference = adopt(store, Adoption.model_validate(asked))
    assert reference.key.startswith("trainings/digits.adopted-")
    assert read_blocks(store, reference).weights.shape == (30, 100)
    np.save(tmp_path / "scores.npy", rng.normal(size=(41, 100)))
    with pytest.raises(ConfigError, match="40 test and 100 training"):
        adopt(store, Adoption.model_validate(asked))


@pytest.mark.parametrize("write", [as_npy, as_npz, as_zarr, as_zarr_arrays, as_safetensors, as_layout])
def test_files_come_from_any_url(store: ObjectStore, tmp_path: Path, write: Callable[..., dict[str, Path]]) -> None:
    files = write(tmp_path, *pair())
    plain = taken(local(tmp_path / "other"), **files)
    memory = fsspec.filesystem("memory")
    folder = f"/{uuid.uuid4().hex}"
    for path in set(files.values()):
        memory.put(str(path), f"{folder}/{path.name}", recursive=True)
    assert taken(store, **{key: f"memory:/{folder}/{path.name}" for key, path in files.items()}) == plain
    assert taken(local(tmp_path / "third"), **{key: f"file://{path}" for key, path in files.items()}) == plain
    missing = {key: f"memory:/{folder}/none/{path.name}" for key, path in files.items()}
    with pytest.raises(ConfigError, match="expected a file that is there, got 'memory://"):
        taken(store, **missing)


def test_what_is_wrong_with_a_file_of_a_url_is_said_with_the_url(store: ObjectStore) -> None:
    url = f"memory://{uuid.uuid4().hex}/scores.npy"
    with fsspec.open(url, "wb") as file:
        np.save(file, np.full((3, 4), np.nan))
    with pytest.raises(ConfigError, match=rf"scores: .*{url}: target 0 holds others"):
        taken(store, scores=url, orientation="targets_train")
    fsspec.filesystem("memory").pipe_file(url, b"no array")
    with pytest.raises(ConfigError, match=rf"a readable .npy file of arrays, got '{url}'"):
        taken(store, scores=url, orientation="targets_train")


def test_files_come_from_object_storage_by_the_settings_of_the_store(
    s3: Callable[..., StoreSettings], tmp_path: Path
) -> None:
    """The endpoint is the store's; the keys come from the environment."""
    store = ObjectStore(s3())
    masks, margins = pair()
    plain = taken(local(tmp_path / "other"), **as_npy(tmp_path, masks, margins))
    for name in ("x.npy", "y.npy"):
        store.write(f"incoming/{name}", (tmp_path / name).read_bytes())
    urls = {key: store.url(f"incoming/{name}") for key, name in (("masks", "x.npy"), ("margins", "y.npy"))}
    reference = taken(store, **urls)
    assert reference == plain
    np.testing.assert_array_equal(MarginMatrix.open(store, reference.key).margins(), margins)


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
            "margins", "elsewhere", MODELS, TRAIN, TARGETS,
        )  # fmt: skip
    fit = taken(store, scores=ours(tmp_path))
    assert find_stored(store, fit.key.rsplit("/", 1)[0], "a").reference == fit
    store.write(f"{folder}/margins-00000000.json", b"{}")
    for key in (folder, "trainings/none", f"{folder}/margins-11111111"):
        with pytest.raises(ConfigError, match="^a: "):
            find_stored(store, key, "a")


@pytest.mark.parametrize(
    ("margins", "asked", "words"),
    [
        (True, {"to": "out.npy"}, "no ending (a folder) or .npz for margins"),
        (True, {"to": "out", "published": True}, "published: expected false"),
        (False, {"to": "out"}, ".npy or .safetensors for datamodels"),
        (False, {"to": "out.npy", "published": True}, "to: expected .safetensors"),
        (False, {"to": "store"}, "to: expected a place that is not taken"),
        (False, {"to": "none/out.npy"}, "to: expected a place in a folder that is there"),
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
