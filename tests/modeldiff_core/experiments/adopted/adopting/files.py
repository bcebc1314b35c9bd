"""Small results of other tools, as files of every kind that is taken."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from safetensors.numpy import save_file

from modeldiff_core.experiments.adopted.adopt import adopt
from modeldiff_core.plan import Reference
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.adopted import Adoption

MODELS, TRAIN, TARGETS = 23, 11, 5


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((MODELS, TRAIN)) < 0.5, rng.normal(size=(MODELS, TARGETS)).astype(np.float32)


def fitted() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(TARGETS, TRAIN)).astype(np.float32)
    return {"weights": weights, "bias": rng.random(TARGETS, np.float32), "lambdas": rng.random(TARGETS, np.float32)}


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


def published(at: Path, turned: bool = False) -> Path:
    parts = fitted()
    weight = parts["weights"] if turned else parts["weights"].T
    content = {"weight": weight.copy(), "bias": parts["bias"], "lam": parts["lambdas"]}
    torch.save({name: torch.from_numpy(value) for name, value in content.items()}, at / "datamodels.pt")
    return at / "datamodels.pt"


def ours(at: Path) -> Path:
    save_file(fitted(), at / "datamodels.safetensors")
    return at / "datamodels.safetensors"


FORMATS = [as_npy, as_npz, as_zarr, as_zarr_arrays, as_safetensors, as_layout]
