"""Masks and margins in files: opened, checked against each other, and read in parts."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped

from modeldiff_core.errors import ConfigError
from modeldiff_core.store import StoreSettings
from modeldiff_core.store.files import EXISTING_FILE, FileArray, only_array, opened
from modeldiff_core.study.adopted import Adoption

ROUNDING = 1e-3
"""Distance from 0 and 1 up to which masks of floats are said to be rounded."""
FLAGS = "_completed"
"""The file beside masks and margins in which the public ``datamodels`` package says which models are finished."""


@dataclass(frozen=True)
class Part:
    """Some rows as they were read; rows: their numbers in the files."""

    rows: Int[np.ndarray, " rows"]
    masks: Shaped[np.ndarray, "rows train"]
    margins: Shaped[np.ndarray, "rows targets"]


@dataclass(frozen=True)
class Pair:
    """Masks and margins in files, and which of their rows are said to hold finished models.

    Attributes:
        masks: The masks.
        margins: The margins.
        rows: Rows that are read; the others are said to be unfinished.
        said: What was found beside them, in words; empty without it.
        numbers: Most numbers of a part.
    """

    masks: FileArray
    margins: FileArray
    rows: Int[np.ndarray, " rows"]
    said: str
    numbers: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows that are read, training examples and targets."""
        return len(self.rows), self.masks.shape[1], self.margins.shape[1]

    def parts(self) -> Iterator[Part]:
        """Yield the rows in order, at most `numbers` margins or entries of masks at a time."""
        size = max(1, self.numbers // max(self.margins.shape[1], self.masks.shape[1]))
        for start in range(0, self.masks.shape[0], size):
            rows = self.rows[(self.rows >= start) & (self.rows < start + size)]
            if len(rows):
                masks, margins = (array.rows(start, start + size)[rows - start] for array in (self.masks, self.margins))
                yield Part(rows, masks, margins)


def open_pair(asked: Adoption, settings: StoreSettings, files: ExitStack, numbers: int) -> Pair:
    """Open masks and margins, whose sizes fit, and the flags of a folder or beside them.

    Args:
        asked: Names the folder, or both files.
        settings: Of the store whose server s3:// URLs are reached at.
        files: Closes them.
        numbers: Most numbers that are read at a time.

    Raises:
        ConfigError: For files that cannot be read, matrices that do not fit, and flags of which none is set.
    """
    sources = {"masks": asked.masks, "margins": asked.margins}
    if asked.folder is not None:
        margins_name = "margins" if asked.split is None else f"{asked.split}_margins"
        named_files = {"masks": "masks", "margins": margins_name}
        sources = {key: f"{asked.folder.rstrip('/')}/{name}.npy" for key, name in named_files.items()}
    found = {}
    for key, source in sources.items():
        assert source is not None
        named = key if asked.folder is None else "folder"
        found[key] = only_array(files.enter_context(opened(source, named, settings)), (key,), key)
    masks, margins = found["masks"], found["margins"]
    for key, array, axes in (("masks", masks, "[models, train]"), ("margins", margins, "[models, targets]")):
        if len(array.shape) != 2 or 0 in array.shape:
            raise ConfigError(key, f"a matrix {axes}", f"{array.source}: shape {array.shape}")
    if masks.shape[0] != margins.shape[0]:
        looks = {"margins": masks.shape[0] == margins.shape[1], "masks": masks.shape[1] == margins.shape[0]}
        turned = [name for name, so in looks.items() if so]
        hint = f"The {turned[0]} look transposed" if turned else ""
        if masks.shape[1] == margins.shape[1]:
            hint = "Both look transposed: a model is a row of each"
        raise ConfigError("margins", f"a row for each of the {masks.shape[0]} masks", margins.shape, hint)
    rows, said = np.ones(masks.shape[0], dtype=bool), []
    for place in dict.fromkeys(str(source).rpartition("/")[0] for source in sources.values()):
        flags = _flags(f"{place}/{FLAGS}.npy" if place else f"{FLAGS}.npy", asked, settings, files)
        if flags is not None:
            chosen, words = _finished(flags, len(rows))
            rows &= chosen
            said.append(words)
    if not rows.any():
        raise ConfigError("folder", "completed models", f"{'; '.join(said)}: there are none")
    return Pair(masks, margins, np.flatnonzero(rows), "; ".join(filter(None, said)), numbers)


def _flags(source: str, asked: Adoption, settings: StoreSettings, files: ExitStack) -> FileArray | None:
    """Return the flags at a place; a folder has to have them, beside other files they may be missing."""
    try:
        return files.enter_context(opened(source, "folder", settings))[""]
    except ConfigError as error:
        if error.expected != EXISTING_FILE:
            raise
        if asked.folder is None:
            return None
        hint = "Without it, give masks=FILE margins=FILE: rows that were never written are looked for"
        raise ConfigError(error.key, error.expected, error.got, hint) from error


def _finished(flags: FileArray, models: int) -> tuple[Bool[np.ndarray, " models"], str]:
    """Return which models are finished, by flags or by the numbers of the finished ones, and how they were read."""
    values = flags.whole()
    if values.shape == (models,) and ((values == 0) | (values == 1)).all():
        chosen = values.astype(bool)
        missing = int((~chosen).sum())
        return chosen, f"{flags.source} leaves out {missing:,} of {models:,} rows" if missing else ""
    numbered = values.ndim == 1 and values.dtype.kind in "iu" and len(np.unique(values)) == len(values)
    if not (numbered and len(values) and values.min() >= 0 and values.max() < models):
        raise ConfigError("folder", f"{FLAGS} of shape {(models,)} of 0 and 1, or row numbers", values.shape)
    chosen = np.zeros(models, dtype=bool)
    chosen[values.astype(np.int64)] = True
    return chosen, f"{flags.source} is taken for the numbers of the {len(values):,} finished of {models:,} rows"


def zeros_and_ones(array: FileArray, part: Part, but: Bool[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows train"]:
    """Return masks as booleans; raises ConfigError for other values than 0 and 1 in rows that are not left out."""
    wrong = ~((part.masks == 0) | (part.masks == 1)).all(axis=1) & ~but
    if wrong.any():
        at = int(np.argmax(wrong))
        odd = float(part.masks[at][(part.masks[at] != 0) & (part.masks[at] != 1)][0])
        raise ConfigError(
            "masks",
            "0 and 1 alone",
            f"{array.source}: model {part.rows[at]} has {odd}",
            _remedy(part.masks),
        )
    return np.asarray((part.masks == 1) & ~but[:, None])


def _remedy(masks: Shaped[np.ndarray, "rows train"]) -> str:
    """Return what to do with masks of other values than 0 and 1."""
    values = set(np.unique(masks).tolist())
    if values <= {-1, 1}:
        return "Of -1 and 1, give masks > 0"
    if values <= {0, 255}:
        return "Of 0 and 255, give masks > 0"
    if (
        masks.shape[1] > 3
        and (np.diff(masks.astype(np.float64)) > 0).all()
        and all(float(value).is_integer() for value in values)
    ):
        return "They look like the numbers of the examples that are left in: give a column an example, 1 where it is in"
    if masks.dtype.kind == "f":
        rounded = np.abs(masks - np.round(masks)).max() < ROUNDING and set(np.round(masks).ravel()) <= {0, 1}
        return "They are 0 and 1 but for rounding: give masks > 0.5" if rounded else "Weights of examples are no masks"
    return "Masks that are packed eight to a byte have to be unpacked first"
