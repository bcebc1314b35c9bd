"""Any folder of images with one folder a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeldiff_core.data.images import image_files
from modeldiff_core.data.listings import ImageFiles, Listing
from modeldiff_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageFiles):
    """Images as train/CLASS/* and test/CLASS/* (or val/CLASS/*, where there is no test); classes by sorted name."""

    def listings(self, root: Path) -> tuple[tuple[str, ...], Listing, Listing]:
        train = root / "train"
        test = root / ("test" if (root / "test").is_dir() else "val")
        classes = class_folders(train)
        strange = sorted(set(class_folders(test)) - set(classes))
        if strange:
            raise DataError(f"{test / strange[0]}: a class that {train} does not have")
        folders = {name: (name,) for name in classes}
        return classes, by_folder(train, folders), by_folder(test, folders)


def class_folders(part: Path) -> tuple[str, ...]:
    """Return the names of the visible folders in a part, sorted; raises DataError if there are none."""
    if not part.is_dir():
        raise DataError(f"{part}: no such folder")
    names = tuple(sorted(p.name for p in part.iterdir() if p.is_dir() and not p.name.startswith(".")))
    if not names:
        raise DataError(f"{part}: holds no folder of a class")
    return names


def by_folder(part: Path, folders: Mapping[str, Sequence[str]]) -> Listing:
    """Return the images of each class, folder after folder; `folders` names those of each class, in their order.

    Raises DataError that names the folder which is missing or empty.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for label, names in enumerate(folders.values()):
        for name in names:
            found = image_files(part / name)
            paths += found
            labels += [label] * len(found)
    return Listing(tuple(paths), np.array(labels, np.int64))
