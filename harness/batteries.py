"""Batteries of simulated studies that a file keeps, one JSON line each, so that a run that was stopped goes on."""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Battery:
    """Rows of studies.

    Attributes:
        title: What the command line says of it.
        rows: Names of the rows.
        studies: Studies of each row, if no other number is asked for.
        out: Where they are kept, likewise.
        study: From a row and a number to a record with ``row`` and ``study``.
        table: From the file to what is printed.
    """

    title: str
    rows: Sequence[str]
    studies: int
    out: Path
    study: Callable[[str, int], dict[str, Any]]
    table: Callable[[Path], str]

    def main(self, arguments: list[str] | None = None) -> None:
        """Run what is missing, or print the table of what was run."""
        parser = argparse.ArgumentParser(description=self.title)
        parser.add_argument("--rows", nargs="*", default=list(self.rows), choices=list(self.rows))
        parser.add_argument("--first", type=int, default=0)
        parser.add_argument("--studies", type=int, default=self.studies)
        parser.add_argument("--out", type=Path, default=self.out)
        parser.add_argument("--seconds", type=float, default=math.inf)
        parser.add_argument("--table", action="store_true")
        asked = parser.parse_args(arguments)
        if not asked.table:
            with threadpool_limits(1):
                self.run(asked.rows, range(asked.first, asked.first + asked.studies), asked.out, asked.seconds)
        print(self.table(asked.out))

    def run(self, rows: Sequence[str], numbers: range, out: Path, seconds: float = math.inf) -> None:
        """Append what is missing, all rows in turn, so that a run that ends early has as many studies of each."""
        done = {(one["row"], one["study"]) for one in records(out)}
        began = time.process_time()
        for number in numbers:
            for name in rows:
                if (name, number) in done:
                    continue
                if time.process_time() - began > seconds:
                    return
                line = json.dumps(self.study(name, number))
                with out.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


def records(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the finished studies; a last line that was cut off is left out."""
    for line in out.read_text("utf-8").splitlines() if out.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue
