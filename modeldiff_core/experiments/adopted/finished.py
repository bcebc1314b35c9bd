"""Which rows of masks and margins hold finished models, and which were never written.

Memory maps and zarr arrays are made at full size before the first model is trained, so a run that was cut short leaves
rows of zeros, or of another fill value. A row counts as unfinished where

    its mask is all zero, or all the fill value;
    its margins are all zero, all the fill value, all not finite, or all one number below 0 or above 1;
    the format shows that a part of it was never written (a chunk of a zarr array that is not there).

Margins of 0 and 1 alone may be zero throughout by chance: with few targets a model may be wrong about all of them. So
may masks whose examples are drawn independently, where they leave in few.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int, Shaped

from modeldiff_core.margins.screening import BY_CHANCE
from modeldiff_core.stages.screening import ranges
from modeldiff_core.store.files import FileArray

EMPTY = "masks of zeros alone, beside margins"
LARGE = "margins of one number alone, above 1"
EMPTY_BY_CHANCE = 1e-3
"""Chance of an empty mask, of examples drawn independently, from which on empty masks are taken for drawn ones."""
FEWEST = 3
"""Targets from which on equal margins of one model are no coincidence."""


@dataclass
class Unfinished:
    """The rows that look as if they were never written, by what shows it.

    Attributes:
        masks: Where masks are read from.
        margins: Where margins are read from.
        partly: Whether rows count of which only some margins are not finite.
        rows: Row numbers by what shows that they are not finished; a row is listed under the first that does.
    """

    masks: FileArray
    margins: FileArray
    partly: bool = False
    rows: dict[str, list[int]] = field(default_factory=dict)
    _right: list[float] = field(default_factory=list)
    _wrong: list[int] = field(default_factory=list)
    _binary: bool = True
    _sizes: list[int] = field(default_factory=list)

    def look(
        self,
        masks: Shaped[np.ndarray, "rows train"],
        margins: Shaped[np.ndarray, "rows targets"],
        rows: Int[np.ndarray, " rows"],
    ) -> Bool[np.ndarray, " rows"]:
        """Take note of the unfinished ones of some rows, as they were read, and return which they are.

        Rows of margins of 0 and 1 that are all zero are judged by ``settle`` once all are known.
        """
        with np.errstate(invalid="ignore"):
            known, first = np.isfinite(margins), margins[:, :1]
            equal = (margins == first).all(axis=1) & (margins.shape[1] >= FEWEST)
            zero = ~(margins != 0).any(axis=1)
            binary = bool(((margins == 0) | (margins == 1))[known.all(axis=1)].all())
            self._binary &= binary
            reasons = {
                "parts that were never written": self._parts_missing(rows),
                "masks of zeros alone": ~(masks != 0).any(axis=1) & zero,
                EMPTY: ~(masks != 0).any(axis=1),
                "masks of their fill value alone": _filled(masks, self.masks.fill),
                "margins of zeros alone": zero,
                "margins of their fill value alone": _filled(margins, self.margins.fill),
                "margins none of which is finite": ~known.any(axis=1),
                "margins not all of which are finite": ~known.all(axis=1) & self.partly,
                "margins of one number alone": equal & (first[:, 0] < 0),
                LARGE: equal & (first[:, 0] > 1),
            }
        found = np.zeros(len(rows), dtype=bool)
        for reason, which in reasons.items():
            self.rows.setdefault(reason, []).extend(rows[which & ~found].tolist())
            found |= which
        self._right.extend((margins[~found] > 0.5).mean(axis=1).tolist())
        self._sizes.extend((masks[~found] != 0).sum(axis=1).tolist())
        return found

    def settle(self, train: int, targets: int) -> list[int]:
        """Return rows that are finished after all, and take them off the list.

        Of masks or of 0/1 margins that are zero by chance, and all rows where the margins of each are one number.
        """
        constant = self.rows.pop(LARGE, []) if not self._right else []  # all of them: then it is what margins are
        return [*self._empty_by_chance(train), *self._wrong_by_chance(targets), *constant]

    def _empty_by_chance(self, train: int) -> list[int]:
        """Return rows of empty masks beside margins, if sizes vary and masks of the usual share may well be empty."""
        rows = self.rows.get(EMPTY, [])
        sizes = np.array(self._sizes)
        if not (rows and len(sizes) and np.ptp(sizes) > 1):
            return []
        return self.rows.pop(EMPTY) if (1 - sizes.mean() / train) ** train > EMPTY_BY_CHANCE else []

    def _wrong_by_chance(self, targets: int) -> list[int]:
        zeros = self.rows.get("margins of zeros alone", [])
        if not (self._binary and zeros and self._right):
            return []
        if (1 - float(np.median(self._right))) ** targets < BY_CHANCE:
            return []
        return self.rows.pop("margins of zeros alone")

    @property
    def all(self) -> Int[np.ndarray, " rows"]:
        """All unfinished rows, in order."""
        return np.array(sorted(row for rows in self.rows.values() for row in rows), dtype=np.int64)

    def words(self) -> str:
        """Return which rows they are and what shows it: 'rows 200 to 299 (margins of zeros alone)'."""
        return "; ".join(f"{ranges(rows)} ({reason})" for reason, rows in self.rows.items() if rows)

    def _parts_missing(self, rows: Int[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
        found = np.zeros(len(rows), dtype=bool)
        for start, stop in (*self.masks.unwritten, *self.margins.unwritten):
            found |= (rows >= start) & (rows < stop)
        return found


def _filled(values: Shaped[np.ndarray, "rows columns"], fill: float | None) -> Bool[np.ndarray, " rows"]:
    """Return the rows of nothing but the fill value; none where that is not known."""
    if fill is None:
        return np.zeros(len(values), dtype=bool)
    same = np.isnan(values) if np.isnan(fill) else values == fill
    return np.asarray(same.all(axis=1))
