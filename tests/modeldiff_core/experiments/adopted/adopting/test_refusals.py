"""Files that do not fit, or are not what they say, are refused before anything is written."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.adopt import adopt
from modeldiff_core.stages.regress import read_blocks
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.adopted import Adoption
from tests.modeldiff_core.experiments.adopted.adopting.files import MODELS, as_npy, layout, pair, taken

MASKS, MARGINS = pair()


def spoiled(row: int, value: float) -> np.ndarray:
    _, margins = pair()
    margins[row, 2] = value
    return margins


@pytest.mark.parametrize(
    ("masks", "margins", "words"),
    [
        (MASKS, MARGINS.T.copy(), ["margins: expected a row for each of the 23 masks", "look transposed"]),
        (MASKS.T.copy(), MARGINS.T.copy(), ["Both look transposed: a model is a row of each"]),
        (MASKS[:-1], MARGINS, ["margins: expected a row for each of the 22 masks"]),
        (MASKS[0], MARGINS, ["masks: expected a matrix [models, train]", "x.npy"]),
        (MASKS, MARGINS[:, :0], ["margins: expected a matrix [models, targets]"]),
        (MASKS, spoiled(17, np.nan), ["margins: expected finite values", "model 17 holds others (nan", "=leave_out"]),
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
    with pytest.raises(ConfigError, match="masks: expected an existing file"):
        taken(store, masks=tmp_path / "none.npy", margins=files["margins"])
    files["masks"].write_bytes(whole)
    with pytest.raises(ConfigError, match="margins: expected a file that ends in .npy"):
        taken(store, masks=files["masks"], margins=tmp_path / "y.csv")
    with pytest.raises(ConfigError, match="folder: expected completed models"):
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
