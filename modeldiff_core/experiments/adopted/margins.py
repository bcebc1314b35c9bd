"""Adopt masks and margins: which rows are finished models, without repeated ones and rows that cannot be models."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.data import Dataset
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.finished import FEWEST, Unfinished
from modeldiff_core.experiments.adopted.pairs import Pair, Part, zeros_and_ones
from modeldiff_core.experiments.adopted.training import Adopted, check_sizes, finite, is_sound
from modeldiff_core.experiments.adopted.varying import Varying
from modeldiff_core.margins.screening import Measures, Screened, Screening, Usual, sample_of, screened
from modeldiff_core.plan import Reference
from modeldiff_core.stages.matrix import matrix_reference
from modeldiff_core.stages.screening import ranges, screening_facts
from modeldiff_core.store import MarginMatrix, ObjectStore, Shard, write_arrays, write_record
from modeldiff_core.store.verify import check_matrix
from modeldiff_core.study.adopted import Adoption

UNFINISHED, COPIES = "unfinished", "copies"
"""Reasons to leave a row out, beside those of a screening."""


def adopt_margins(
    store: ObjectStore, asked: Adoption, dataset: Mapping[str, object], pair: Pair, data: Dataset | None
) -> Reference:
    """Adopt masks and margins; gives the place of the matrix.

    Raises ConfigError for rows that were never written (unless they are to be left out or kept), masks that do not vary
    and margins that do not vary.
    """
    models, n_train, n_targets = pair.sizes
    check_sizes(data, n_train, n_targets, "masks", "margins")
    rows = _Rows(asked, pair)
    rows.read()
    rows.judge(None if data is None else len(data.classes))
    varying = rows.varying()
    varying.check(pair.masks.source, pair.margins.source)
    content: dict[str, object] = {
        "models": models,
        "train": n_train,
        "targets": n_targets,
        "masks_sha256": rows.masks.hexdigest(),
        "margins_sha256": rows.margins.hexdigest(),
    }
    if rows.left_out.any():
        content["left_out_sha256"] = hashlib.sha256(np.flatnonzero(rows.left_out).tobytes()).hexdigest()
    training = Adopted(asked.name, dataset, content)
    reference = matrix_reference(training.prefix, training.identity, models)

    def check() -> None:
        matrix = MarginMatrix.open(store, reference.key)
        check_matrix(matrix)
        if "screening" not in matrix.record:
            raise FileNotFoundError(f"{matrix.key}: adopted before models were screened")

    if not is_sound(store, reference, check):
        training.write(store)
        identity = {"training": training.identity}
        record = write_arrays(store, reference.key, rows.shards(), models, n_train, n_targets, identity)
        write_record(store, reference.record, {**record, **rows.facts(varying)})
    return reference


@dataclass
class _Rows:
    """What is known of the rows of a pair after they were read; `number`: the place among the rows that are read.

    copies: rows by the earlier one that they repeat. alike: rows by an earlier one of equal margins on another mask.
    """

    asked: Adoption
    pair: Pair
    unfinished: Bool[np.ndarray, " models"] = field(init=False)
    copies: dict[int, int] = field(default_factory=dict)
    alike: dict[int, int] = field(default_factory=dict)
    repeated: int = 0
    screened: Screened = field(init=False)
    sample: Float[np.ndarray, "models targets"] = field(init=False)

    def __post_init__(self) -> None:
        self.masks, self.margins = hashlib.sha256(), hashlib.sha256()
        self.unfinished = np.zeros(len(self.pair.rows), dtype=bool)

    def read(self) -> None:
        """Find rows that were never written; raises ConfigError."""
        keep = self.asked.unfinished == "keep"
        look = Unfinished(self.pair.masks, self.pair.margins, partly=self.asked.unfinished == "leave_out")
        done = 0
        for part in self.pair.parts():
            there = slice(done, done + len(part.rows))
            done = there.stop
            self.unfinished[there] = look.look(part.masks, part.margins, part.rows) & (not keep)
            self._checked(part, there)
        self._settle(look)

    def _settle(self, look: Unfinished) -> None:
        """Leave out the unfinished rows if that is asked for, refuse them otherwise."""
        by_chance = look.settle(*self.pair.sizes[1:])
        self.unfinished &= ~np.isin(self.pair.rows, by_chance)
        self.words = look.words()
        if not self.unfinished.any():
            return
        left, models = int((~self.unfinished).sum()), len(self.unfinished)
        said = f"{models - left:,} of {models:,} rows look as if they were never written: {self.words}"
        if not left:
            raise ConfigError("margins", "a finished model in some row", said)
        if self.asked.unfinished == "refuse":
            raise ConfigError(
                "margins",
                "a finished model in every row",
                f"{self.pair.margins.source}: {said}",
                f"Wait until they are there, or give unfinished=leave_out to take the other {left:,} "
                "(unfinished=keep takes all)",
            )

    def judge(self, classes: int | None) -> None:
        """Find exact copies among the finished rows, and screen the others against each other."""
        kept = np.flatnonzero(~self.unfinished)
        self.sample = self._read_rows(sample_of(kept))
        usual, parts = Usual.of(self.sample), []
        seen: dict[bytes, int] = {}
        values: dict[bytes, int] = {}
        drawn: set[bytes] = set()
        for shard in self.shards():
            masks = np.packbits(shard.masks, axis=1)
            self.masks.update(masks.tobytes())
            self.margins.update(shard.margins.tobytes())
            parts.append(Measures.of(shard.margins, usual))
            for at in np.flatnonzero(~self.unfinished[shard.first : shard.first + len(masks)]):
                row = shard.first + int(at)
                drawn.add(masks[at].tobytes())
                digest = hashlib.sha256(masks[at].tobytes() + shard.margins[at].tobytes()).digest()
                if (first := seen.setdefault(digest, row)) != row:
                    self.copies[row] = first
                elif np.ptp(shard.margins[at]) > 0:
                    told = hashlib.sha256(shard.margins[at].tobytes()).digest()
                    if (first := values.setdefault(told, row)) != row:
                        self.alike[row] = first
        self.repeated = len(kept) - len(drawn)
        if usual.binary or self.sample.shape[1] < FEWEST:  # may be equal by chance
            self.alike.clear()
        self.screened = screened(Measures.joined(parts), usual, ~self.unfinished & ~self._copied, classes)

    def _read_rows(self, chosen: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen targets"]:
        """Return the margins of some rows."""
        found = []
        for shard in self.shards():
            inside = chosen[(chosen >= shard.first) & (chosen < shard.first + len(shard.margins))]
            found.append(shard.margins[inside - shard.first])
        return np.concatenate(found)

    @cached_property
    def left_out(self) -> Bool[np.ndarray, " models"]:
        """The rows that are left out, for any reason."""
        return np.asarray(np.array(list(self.reasons.values())).any(axis=0))

    @cached_property
    def reasons(self) -> dict[str, Bool[np.ndarray, " models"]]:
        """The rows that are left out by reason; a row is listed under the first."""
        copied = self._copied
        chosen = Screening(self.asked.wild, self.asked.strange)
        out = self.screened.left_out(chosen) & ~copied & ~self.unfinished
        wild = out & self.screened.wild
        return {UNFINISHED: self.unfinished, COPIES: copied, "wild": wild, "strange": out & ~wild}

    def varying(self) -> Varying:
        """Return which training examples and which targets vary among the rows that are kept."""
        found = Varying.of(self.pair.sizes[1], self.pair.sizes[2])
        for shard in self.shards():
            keep = ~self.left_out[shard.first : shard.first + len(shard.masks)]
            found.add(shard.masks[keep], shard.margins[keep])
        return found

    def shards(self) -> Iterator[Shard]:
        """Yield all rows; margins of unfinished ones are zero."""
        done = 0
        for part in self.pair.parts():
            there = slice(done, done + len(part.rows))
            yield Shard(done, *self._checked(part, there), np.zeros(len(part.rows), dtype=bool))
            done = there.stop

    def facts(self, varying: Varying) -> dict[str, Any]:
        """Return the fields of the matrix's record that say what was left out, named and noticed."""
        notes = [self.pair.said] if self.pair.said else []
        if self.unfinished.any():
            notes.append(f"never written: {self.words}")
        if self.copies:
            (row, first), rows = next(iter(self.copies.items())), self.pair.rows
            repeat = "repeats" if len(self.copies) == 1 else "repeat"
            notes.append(
                f"{ranges(rows[list(self.copies)].tolist())} {repeat} an earlier row exactly (row {rows[row]:,} is row "
                f"{rows[first]:,})"
            )
        if self.alike:
            (row, first), rows = next(iter(self.alike.items())), self.pair.rows
            have = "has" if len(self.alike) == 1 else "have"
            notes.append(
                f"{ranges(rows[list(self.alike)].tolist())} {have} exactly the margins of an earlier row, on another "
                f"mask (row {rows[row]:,} those of row {rows[first]:,}): were those of each model written?"
            )
        found = screening_facts(self.reasons, self.screened)
        repeated = {"repeated": self.repeated} if self.repeated else {}
        found["screening"] |= {"notes": notes, **repeated, **varying.facts(self.sample)}
        return found

    @property
    def _copied(self) -> Bool[np.ndarray, " models"]:
        copied = np.zeros(len(self.unfinished), dtype=bool)
        if self.asked.copies == "leave_out":
            copied[np.array(sorted(self.copies), dtype=np.int64)] = True
        return copied

    def _checked(
        self, part: Part, there: slice
    ) -> tuple[Bool[np.ndarray, "rows train"], Float[np.ndarray, "rows targets"]]:
        """Return masks and margins of some rows in our types; margins of unfinished ones are zero."""
        but: Bool[np.ndarray, " rows"] = self.unfinished[there]
        rows: Int[np.ndarray, " rows"] = part.rows
        masks = zeros_and_ones(self.pair.masks, part, but)
        values = np.where(but[:, None], np.zeros((), part.margins.dtype), part.margins) if but.any() else part.margins
        return masks, finite(self.pair.margins, values, rows, "margins", "model")
