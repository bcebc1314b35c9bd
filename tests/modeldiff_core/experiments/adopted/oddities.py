"""Masks and margins of two algorithms, of which A alone has a direction, and the oddities that people bring."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

MODELS, TRAIN, TARGETS = 240, 40, 24
PLANTED = 8
"""Training examples that make A's direction."""
WILD = 117
"""The model that is made wild."""

Sides = dict[str, tuple[np.ndarray, np.ndarray]]


def direction() -> np.ndarray:
    """The planted direction."""
    return np.repeat([1 / np.sqrt(PLANTED), 0], [PLANTED, TRAIN - PLANTED])


def world(seed: int = 0, strength: float = 0.35, models: int = MODELS, repeat: int = 1) -> Sides:
    """Masks and margins by side: `repeat` models on each mask, which A and B share. strength 0: no difference."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0, 0.12, (TARGETS, TRAIN))
    own = strength * np.outer(np.arange(TARGETS) < TARGETS // 3, np.arange(TRAIN) < PLANTED)
    order = np.argsort(rng.random((models, TRAIN)), axis=1)
    masks = np.repeat(order < TRAIN // 2, repeat, axis=0)
    shared = 0.2 * np.repeat(rng.normal(size=(models, TARGETS)), repeat, axis=0)  # what no linear model explains
    made = {}
    for side, weights in (("a", theta + own), ("b", theta)):
        noise = rng.normal(0, 0.4, (models * repeat, TARGETS))
        made[side] = masks, (masks @ weights.T + shared + noise).astype(np.float32)
    return made


def changed(sides: Sides, masks: Callable[[np.ndarray], Any] | None, margins: Callable[[np.ndarray], Any]) -> Sides:
    """The same with masks and margins of both sides changed in copies."""
    return {side: (m if masks is None else _changed(m, masks), _changed(g, margins)) for side, (m, g) in sides.items()}


def _changed(array: np.ndarray, change: Callable[[np.ndarray], Any]) -> np.ndarray:
    copy = array.copy()
    found = change(copy)
    return copy if found is None else np.asarray(found)


def unwritten(array: np.ndarray) -> None:
    array[MODELS * 2 // 3 :] = 0


def same(array: np.ndarray) -> np.ndarray:
    return array


def filled(value: float) -> Callable[[np.ndarray], None]:
    def fill(array: np.ndarray) -> None:
        array[MODELS * 2 // 3 :] = value

    return fill


def times(factor: float) -> Callable[[np.ndarray], None]:
    def multiply(array: np.ndarray) -> None:
        array[WILD] = array[WILD] * np.float32(factor)

    return multiply


def save(at: Path, masks: np.ndarray, margins: np.ndarray, **flags: np.ndarray) -> dict[str, str]:
    """Write the files; gives what an adoption asks for."""
    at.mkdir(parents=True, exist_ok=True)
    np.save(at / "masks.npy", masks)
    np.save(at / "margins.npy", margins)
    for name, array in flags.items():
        np.save(at / f"{name}.npy", array)
    return {"masks": str(at / "masks.npy"), "margins": str(at / "margins.npy")}


def save_zarr(at: Path, masks: np.ndarray, margins: np.ndarray, fill: float, chunks: tuple[int, int]) -> dict[str, str]:
    """Write zarr arrays of which the last third is never written."""
    for name, array, value in (("masks", masks, False), ("margins", margins, fill)):
        cut = min(chunks[0], len(array)), min(chunks[1], array.shape[1])
        made: Any = zarr.create_array(
            at / f"{name}.zarr", shape=array.shape, chunks=cut, dtype=array.dtype, fill_value=value
        )
        written = len(array) * 2 // 3
        made[:written] = array[:written]
    return {name: str(at / f"{name}.zarr") for name in ("masks", "margins")}
