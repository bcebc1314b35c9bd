"""Waterbirds: water birds and land birds on backgrounds that mostly, but not always, go with them."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from modeldiff_core.data.expected import Expected
from modeldiff_core.data.listings import ImageFiles, Listing
from modeldiff_core.errors import DataError

METADATA = "metadata.csv"
SPLITS = {"train": 0, "val": 1, "test": 2}
RANGES = {"y": 2, "split": 3, "place": 2}
"""The coded columns, and how many values each has."""


@dataclass(frozen=True, kw_only=True)
class Waterbirds(ImageFiles):
    """The published folder (Sagawa et al., 2020) with metadata.csv: img_filename, y, split, place.

    y: 0 land bird, 1 water bird. split: 0 train, 1 val, 2 test; test_split says which one is the test set.
    Metadata: background (place: 0 land, 1 water) and group, 2 · y + place.
    """

    resize_ratio: float = 256 / 224
    test_split: Literal["val", "test"] = "test"

    def expected(self) -> Expected:
        return self._size(4_795, 2)

    def records(self, root: Path) -> list[Path]:
        return [root / METADATA]

    def listings(self, root: Path) -> tuple[tuple[str, ...], Listing, Listing]:
        rows = read_metadata(root / METADATA)
        train, test = (_listing(root, rows, split) for split in ("train", self.test_split))
        return ("landbird", "waterbird"), train, test


def read_metadata(path: Path) -> list[tuple[str, Mapping[str, int]]]:
    """Each line's image file and its coded columns.

    Raises DataError that names the line at fault, or the columns that are missing.
    """
    rows: list[tuple[str, Mapping[str, int]]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = {"img_filename", *RANGES} - set(reader.fieldnames or ())
            if missing:
                raise DataError(f"{path}: lacks the columns {', '.join(sorted(missing))}")
            for row in reader:
                codes = {}
                for column, values in RANGES.items():
                    if row[column] not in {str(value) for value in range(values)}:
                        raise DataError(
                            f"{path}: line {reader.line_num}: {column} {row[column]!r} is not in 0..{values - 1}"
                        )
                    codes[column] = int(row[column])
                rows.append((row["img_filename"], codes))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return rows


def _listing(root: Path, rows: list[tuple[str, Mapping[str, int]]], split: str) -> Listing:
    ours = [(name, codes) for name, codes in rows if codes["split"] == SPLITS[split]]
    if not ours:
        raise DataError(f"{root / METADATA}: no image of split {SPLITS[split]} ({split})")
    labels, places = (np.array([codes[column] for _, codes in ours], np.int64) for column in ("y", "place"))
    paths = tuple(root / name for name, _ in ours)
    return Listing(paths, labels, {"background": places, "group": 2 * labels + places})
