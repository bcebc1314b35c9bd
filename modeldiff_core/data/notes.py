"""What a source says of its own reading: what it changed, what it left out, and why."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")

NAMED = 3
"""Examples that a tally names."""


@dataclass(frozen=True)
class Tally:
    """How many images or files of each part something holds of; `names` are the first few of them."""

    what: str
    train: int = 0
    test: int = 0
    names: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Images or files in both parts."""
        return self.train + self.test


@dataclass(frozen=True)
class Notes:
    """What a source did besides reading.

    changed: images that are not as their files hold them. left_out: files and examples that were not taken. written:
    the name that each class had in the source, where that is not the class's name. remarks: warnings, a sentence each.
    """

    changed: tuple[Tally, ...] = ()
    left_out: tuple[Tally, ...] = ()
    written: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Counter:
    """Counts by words and part, in the order in which the words first came."""

    def __init__(self) -> None:
        self._found: dict[str, dict[Part, int]] = {}
        self._names: dict[str, list[str]] = {}

    def add(self, what: str, part: Part, name: str = "", count: int = 1) -> None:
        """Count one image or file, or `count` of them."""
        of = self._found.setdefault(what, {"train": 0, "test": 0})
        of[part] += count
        names = self._names.setdefault(what, [])
        if name and len(names) < NAMED:
            names.append(name)

    def tallies(self) -> tuple[Tally, ...]:
        """Return what was counted."""
        return tuple(Tally(what, of["train"], of["test"], tuple(self._names[what])) for what, of in self._found.items())


def read_tallies(content: Iterable[Mapping[str, Any]]) -> tuple[Tally, ...]:
    """Return tallies from their JSON."""
    return tuple(Tally(one["what"], one["train"], one["test"], tuple(one["names"])) for one in content)


def printable(name: str | os.PathLike[str]) -> str:
    """Return a path or a name as text that any file can hold: bytes that are no UTF-8 are written in hexadecimal."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def one_line(text: str) -> str:
    """Return text in which nothing ends a line or moves the cursor: line breaks and the like are written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def below(path: Path, root: Path) -> str:
    """Return a path as it is named in tallies: below the source's folder, as text that any file can hold."""
    return printable(path.relative_to(root).as_posix() if path.is_relative_to(root) else path)
