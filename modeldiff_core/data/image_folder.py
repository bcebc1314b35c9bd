"""Any folder of images with one folder a class."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from modeldiff_core.data.found_files import (
    HIDDEN,
    IMAGE_SUFFIXES,
    LOOSE,
    NESTED,
    SYSTEM,
    Found,
    find_images,
    is_system,
    why_none,
)
from modeldiff_core.data.labels import natural
from modeldiff_core.data.listings import ImageFiles, Listing
from modeldiff_core.data.notes import printable
from modeldiff_core.errors import DataError

TRAIN = "train", "training"
TEST = "test", "testing", "val", "valid", "validation"
"""Names of the folder of a part in any case, the first that is there being taken."""
FEW = 8
"""Most names that a sentence lists."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageFiles):
    """Images as train/CLASS/* and test/CLASS/* (or testing, val, valid, validation; training).

    A class without test images is trained on and not evaluated. nested: whether images in sub-folders of a class are
    taken. class_order: natural (1, 2, 10), or text (1, 10, 2), which was the only order of version 0.1.
    """

    nested: bool = False
    class_order: Literal["natural", "text"] = "natural"

    def listings(self, root: Path) -> tuple[tuple[str, ...], Listing, Listing]:
        train = part_folder(root, TRAIN)
        folders = class_folders(train, self.class_order)
        test = part_folder(root, TEST)
        known = {name: (name,) for name in folders}
        tested = class_folders(test, self.class_order)
        for name in tested:
            if name not in known:
                raise DataError(_strange(test / name, train, folders))
        listed = by_folder(train, known, nested=self.nested), by_folder(test, known, nested=self.nested, optional=True)
        if not listed[1].paths:
            raise DataError(f"{test}: holds no image of the classes {_names(folders)}")
        return tuple(printable(name) for name in folders), *listed

    def remarks(self, root: Path) -> tuple[str, ...]:
        train, test = part_folder(root, TRAIN), part_folder(root, TEST)
        folders = class_folders(train, self.class_order)
        said = []
        others = _visible(root) - {train.name, test.name}
        if others:
            said.append(
                f"{printable(root)}: folders beside {train.name} and {test.name} are not read: {_names(others)}"
            )
        if self.class_order == "natural" and (by_text := sorted(folders)) != list(folders):
            said.append(
                f"classes are labeled in natural order, {_names(folders)}; dataset.class_order=text labels them "
                f"{_names(by_text)}, as version 0.1 did"
            )
        return tuple(said)


def part_folder(root: Path, names: Sequence[str]) -> Path:
    """Return the folder of a part, by the first of its names that is there; raises DataError that says what is."""
    there = {path.name.lower(): path for path in sorted(root.iterdir()) if path.is_dir()}
    for name in names:
        if name in there:
            return there[name]
    seen = _visible(root)
    raise DataError(
        f"{printable(root / names[0])}: no such folder, nor one named {' or '.join(names[1:])}; "
        f"{printable(root)} holds {'the folders ' + _names(seen) if seen else 'no folder'}"
    )


def class_folders(part: Path, order: Literal["natural", "text"] = "text") -> tuple[str, ...]:
    """Return the names of the visible folders in a part, in order; raises DataError if there are none."""
    if not part.is_dir():
        raise DataError(f"{printable(part)}: no such folder")
    names = sorted(_visible(part), key=natural if order == "natural" else None)
    if not names:
        raise DataError(f"{printable(part)}: holds no folder of a class")
    return tuple(names)


def by_folder(
    part: Path, folders: Mapping[str, Sequence[str]], *, nested: bool = False, optional: bool = False
) -> Listing:
    """Return the images of each class, folder after folder; `folders` names those of each class, in their order.

    nested: whether images in sub-folders of these are taken, too. optional: whether a class may have none.
    Raises DataError that names the folder which is missing or empty.
    """
    paths: list[Path] = []
    labels: list[int] = []
    left_out: dict[str, list[Path]] = _beside(part)
    for label, names in enumerate(folders.values()):
        for name in names:
            folder = part / name
            if not folder.is_dir():
                if optional:
                    continue
                raise DataError(f"{printable(folder)}: no such folder")
            found = find_images(folder)
            taken = [*found.images, *found.nested] if nested else found.images
            if not taken and not optional:
                raise DataError(_empty(folder, found))
            paths += taken
            labels += [label] * len(taken)
            if found.nested and not nested:
                left_out.setdefault(NESTED, []).extend(found.nested)
            for reason, others in found.others.items():
                left_out.setdefault(reason, []).extend(others)
    return Listing(tuple(paths), np.array(labels, np.int64), left_out=left_out)


def _beside(part: Path) -> dict[str, list[Path]]:
    """Return what lies beside the folders of classes, by why it is not taken."""
    found: dict[str, list[Path]] = {}
    for path in sorted(part.iterdir()):
        if is_system(path.name):
            found.setdefault(SYSTEM, []).append(path)
        elif path.name.startswith("."):
            found.setdefault(HIDDEN, []).append(path)
        elif not path.is_dir():
            found.setdefault(why_none(path) or LOOSE, []).append(path)
    return found


def _visible(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and not is_system(p.name)}


def _names(names: Iterable[str]) -> str:
    several = [printable(name) for name in (sorted(names) if isinstance(names, set) else names)]
    more = f" and {len(several) - FEW} more" if len(several) > FEW else ""
    return ", ".join(several[:FEW]) + more


def _empty(folder: Path, found: Found) -> str:
    said = f"{printable(folder)}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})"
    if found.nested:
        where = _names({path.parent.relative_to(folder).as_posix() for path in found.nested})
        return f"{said}, but there are {len(found.nested)} in {where}: move them up, or take dataset.nested=true"
    others = ", ".join(f"{len(paths)} {reason}" for reason, paths in found.others.items())
    return f"{said}; left out: {others}" if others else said


def _strange(folder: Path, train: Path, classes: Sequence[str]) -> str:
    """Return what is wrong with a class that only the test part has, and which one may be meant."""
    said = f"{printable(folder)}: a class that {printable(train)} does not have"
    plain = _same(folder.name)
    meant = [name for name in classes if _same(name) == plain]
    if meant:
        return f"{said}; is it {printable(meant[0])!r}, which is spelled in another way there?"
    return f"{said} (it has {_names(classes)}): give it training images, or take its folder away"


def _same(name: str) -> str:
    """Return a name without what people do not see: case, Unicode's forms, blanks and underscores."""
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())
