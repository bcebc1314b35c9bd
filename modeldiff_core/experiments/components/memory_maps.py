"""Masks and outputs as the memory maps of COAR's public code: a folder with one .npy for each column of its store."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.lds import Scores, scores_with_intervals
from modeldiff_core.store import MarginMatrix

MASKS, COMPLETED = "masks", "_completed"


@dataclass(frozen=True)
class Maps:
    """Rows that are complete: masks, 1 for a component that is there, and outputs."""

    masks: Bool[np.ndarray, "rows components"]
    outputs: Float[np.ndarray, "rows targets"]


def write_maps(matrix: MarginMatrix, folder: Path, split: str = "test") -> list[Path]:
    """Write a stored matrix: masks.npy (bool), SPLIT_margins.npy (float16) and _completed.npy (bool); gives the files.

    Raises ConfigError for a folder that is there, and for outputs that float16 cannot hold.
    """
    if folder.exists():
        raise ConfigError("to", "a path that does not exist yet", str(folder))
    outputs = matrix.margins()
    with np.errstate(over="ignore"):
        half = outputs.astype(np.float16)
    if not np.isfinite(half).all():
        raise ConfigError(
            "key", f"outputs up to {np.finfo(np.float16).max:g}, as float16", float(np.abs(outputs).max())
        )
    folder.mkdir(parents=True)
    content = {MASKS: matrix.masks(), f"{split}_margins": half, COMPLETED: matrix.valid()}
    paths = []
    for name, array in content.items():
        path = folder / f"{name}.npy"
        written = np.lib.format.open_memmap(path, mode="w+", dtype=array.dtype, shape=array.shape)
        written[:] = array
        written.flush()
        paths.append(path)
    return paths


def read_maps(folder: Path, split: str = "test") -> Maps:
    """Return the completed rows of a folder in that layout, outputs as float32.

    Raises ConfigError for a file that is missing, for shapes that do not fit together, masks that are not of booleans,
    outputs of completed rows that are not finite, and a folder without any completed row.
    """
    arrays = {}
    for name in (MASKS, f"{split}_margins", COMPLETED):
        path = folder / f"{name}.npy"
        if not path.is_file():
            raise ConfigError("folder", f"a folder with {name}.npy", str(folder))
        arrays[name] = np.load(path, mmap_mode="r")
    masks, outputs, completed = arrays.values()
    if (
        masks.ndim != 2
        or outputs.ndim != 2
        or masks.dtype != np.bool_
        or not len(masks) == len(outputs) == len(completed)
    ):
        shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise ConfigError("folder", "bool masks [rows, components], margins [rows, targets], completed [rows]", shapes)
    rows = np.flatnonzero(completed)
    if not len(rows):
        raise ConfigError("folder", "one completed row or more", str(folder))
    found = np.asarray(outputs[rows], np.float32)
    if not np.isfinite(found).all():
        wrong = rows[~np.isfinite(found).all(1)]
        raise ConfigError("folder", "finite outputs in completed rows", f"rows {wrong[:10].tolist()}")
    return Maps(np.array(masks[rows]), found)


def score_attributions(weights: Float[np.ndarray, "targets components"], maps: Maps) -> Scores:
    """Return how well attributions from anywhere predict these outputs: their Pearson correlation is COAR's rho.

    Raises ConfigError for weights whose targets or components are not those of the maps.
    """
    expected = maps.outputs.shape[1], maps.masks.shape[1]
    if weights.shape != expected:
        raise ConfigError("weights", f"a matrix of {expected[0]} targets and {expected[1]} components", weights.shape)
    bias = np.zeros(len(weights), np.float32)
    return scores_with_intervals(weights.astype(np.float32), bias, maps.masks, maps.outputs)
