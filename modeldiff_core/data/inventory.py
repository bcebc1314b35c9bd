"""What a dataset holds and what became of its source, as one value: counted once, shown the same way everywhere."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modeldiff_core.data.dull import dull_images, dull_remarks
from modeldiff_core.data.duplicates import copies_told, misleads
from modeldiff_core.data.kinds import PICTURES
from modeldiff_core.data.notes import Notes, Tally, one_line, printable, read_tallies

if TYPE_CHECKING:
    from modeldiff_core.data.examples import Dataset

NAMED = 8
"""Most classes that a sentence names."""
SHOWN = 20
"""Most classes that the table shows one by one."""


@dataclass(frozen=True)
class ClassSeen:
    """A class: its label, its name, how it is written in the source where that is another word, and its images."""

    label: int
    name: str
    written: str
    train: int
    test: int


@dataclass(frozen=True)
class Inventory:
    """Images by part and class, what was changed and left out, copies, and what a user should know.

    changed, left_out: see ``Notes``. odd: images of one color. copies: see ``Copies``. remarks: warnings, a sentence
    each. noun: what an example is called.
    """

    train: int
    test: int
    classes: tuple[ClassSeen, ...]
    changed: tuple[Tally, ...] = ()
    left_out: tuple[Tally, ...] = ()
    odd: tuple[Tally, ...] = ()
    copies: tuple[Tally, ...] = ()
    remarks: tuple[str, ...] = ()
    noun: str = PICTURES.noun

    def plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if self.noun == PICTURES.noun:  # as in records that were made when there was nothing else
            del plain["noun"]
        return plain


@dataclass(frozen=True)
class Row:
    """A line of the table: what is counted, in training and in test, and examples of it."""

    what: str
    train: str
    test: str
    names: str = ""


def notes_of(record: Mapping[str, Any]) -> Notes:
    """Return what the source said, from an inventory's JSON; nothing where there is none."""
    if not record:
        return Notes()
    return Notes(
        read_tallies(record["changed"]),
        read_tallies(record["left_out"]),
        tuple(str(one["written"]) for one in record["classes"]),
        tuple(record["remarks"]),
    )


def sections(inventory: Inventory) -> dict[str, list[Row]]:
    """Return the table by its parts; parts without rows are left out."""
    found = {
        f"{inventory.noun}s": [Row("read", f"{inventory.train:,}", f"{inventory.test:,}"), *_classes(inventory)],
        "changed": [_row(one) for one in inventory.changed],
        "left out": [_row(one) for one in inventory.left_out],
        "odd": [_row(one) for one in inventory.odd],
        f"the same {inventory.noun} several times": [_row(one) for one in inventory.copies],
    }
    return {name: rows for name, rows in found.items() if rows}


def table_lines(inventory: Inventory) -> Iterator[str]:
    """Yield the table as lines of text."""
    parts = sections(inventory)
    rows = [row for part in parts.values() for row in part]
    first = max(len(row.what) for row in rows) + 2
    sizes = [max(len(title), *(len(getattr(row, title)) for row in rows)) for title in ("train", "test")]
    for at, (name, part) in enumerate(parts.items()):
        heads = ["train", "test"] if at == 0 else ["", ""]
        yield f"{name:<{first}}  {heads[0]:>{sizes[0]}}  {heads[1]:>{sizes[1]}}".rstrip()
        for row in part:
            line = f"  {row.what:<{first - 2}}  {row.train:>{sizes[0]}}  {row.test:>{sizes[1]}}  {row.names}"
            yield line.rstrip()


def _classes(inventory: Inventory) -> Iterator[Row]:
    for one in inventory.classes[:SHOWN]:
        written = f" (written {one_line(one.written)})" if one.written and one.written != one.name else ""
        yield Row(f"label {one.label}: {one_line(one.name)}{written}", f"{one.train:,}", f"{one.test:,}")
    if len(inventory.classes) > SHOWN:
        others = inventory.classes[SHOWN:]
        train, test = (sum(getattr(one, part) for one in others) for part in ("train", "test"))
        last = others[-1]
        words = f"{len(others)} more, up to label {last.label}: {one_line(last.name)}"
        yield Row(words, f"{train:,}", f"{test:,}")


def _untested(classes: tuple[ClassSeen, ...], noun: str) -> Iterator[str]:
    names = [one_line(one.name) for one in classes if one.train and not one.test]
    if names and any(one.test for one in classes):
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield f"no test {noun} is of {', '.join(names[:NAMED])}{more}: trained on, but no target is of it"


def _row(one: Tally) -> Row:
    more = ", …" if one.count > len(one.names) > 0 else ""
    return Row(one.what, f"{one.train:,}", f"{one.test:,}", ", ".join(one_line(name) for name in one.names) + more)


def take_inventory(dataset: "Dataset") -> Inventory:
    """Return the inventory of a dataset; ``Dataset.inventory`` keeps it."""
    notes, classes = dataset.notes, dataset.classes
    noun, parts = dataset.kind.noun, (dataset.train, dataset.test)
    counts = [np.bincount(part.labels, minlength=len(classes)) if part.classed else np.zeros(0) for part in parts]
    written = notes.written or ("",) * len(classes)
    seen = tuple(
        ClassSeen(label, printable(name), written[label], int(counts[0][label]), int(counts[1][label]))
        for label, name in enumerate(classes)
    )
    pictures = dataset.kind == PICTURES
    dull, copies = dull_images(dataset) if pictures else (), dataset.copies.tallies()
    remarks = (
        *notes.remarks,
        *_untested(seen, noun),
        *(dull_remarks(dataset, dull) if pictures else ()),
        *(copies_told(one, noun) for one in copies if misleads(one)),
    )
    return Inventory(
        train=len(dataset.train),
        test=len(dataset.test),
        classes=seen,
        changed=notes.changed,
        left_out=notes.left_out,
        odd=dull,
        copies=copies,
        remarks=tuple(dict.fromkeys(remarks)),
        noun=noun,
    )
