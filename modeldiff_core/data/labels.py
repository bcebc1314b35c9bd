"""Labels as people write them, as class indices 0, 1, 2, …: what is meant is taken, what is not is named."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped

from modeldiff_core.data.notes import PARTS, Counter, Part, Tally, printable
from modeldiff_core.errors import DataError

FEW = 8
"""Most labels that a sentence lists at either end."""
IGNORED = (255, -1)
"""Labels that often say that an example is to be left out."""
RELABEL = "dataset.relabel=true"

Labels = Int[np.ndarray, " _"]
Kept = Bool[np.ndarray, " _"]
"""Labels, and which are kept: of either part, and of all its examples or of those that are kept."""


@dataclass(frozen=True)
class Relabeled:
    """Class indices of both parts, of the examples that are kept, and the name that each class had in the source."""

    labels: dict[Part, Labels]
    kept: dict[Part, Kept]
    classes: tuple[str, ...]
    written: tuple[str, ...] = ()
    left_out: tuple[Tally, ...] = ()


MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "nat", "?", "-"})
"""What missing values are written as, by pandas and by people."""


def natural(name: str) -> tuple[str, str]:
    """Return what puts names in the order that people expect: numbers in them by value, all else by character."""
    return re.sub("[0-9]+", lambda digits: digits[0].lstrip("0").zfill(40), name), name


def missing_remarks(classes: Sequence[str]) -> Iterator[str]:
    """Yield a question for each class whose name is what a missing value is written as: no text, 'nan', 'None'."""
    for name in classes:
        if name.strip().casefold() in MISSING:
            yield (
                f"a class is named {name!r}: are labels missing there? Then take those images out, or they are learned "
                "as a class of their own"
            )


def as_labels(labels: np.ndarray, count: int, n_classes: int, source: str) -> Labels:
    """Check that there is one class index for each image; raises DataError that names the first at fault."""
    found = _integers(_one_each(labels, count, source), source)
    wrong = (found < 0) | (found >= n_classes)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"{source}: label {found[at]} of image {at} is not in 0..{n_classes - 1}; the labels are {seen(found)}"
        )
    return found


def read_labels(
    given: dict[Part, Shaped[np.ndarray, "..."]],
    counts: dict[Part, int],
    classes: Sequence[str] | None,
    source: str,
    *,
    relabel: bool = False,
    ignore: int | None = None,
) -> Relabeled:
    """Return class indices of both parts.

    Text stands for classes by name, in natural order. Whole numbers are class indices; with `relabel` any are taken,
    mapped in their order to 0, 1, 2, …, and test examples of a label without training examples are left out.

    Args:
        given: Labels of each part, one an image.
        counts: Images of each part.
        classes: Names of the classes, by index; None if not given.
        source: The beginning of every message; the name of the array of a part follows.
        relabel: See above.
        ignore: A label whose examples are left out.

    Raises:
        DataError: For labels that are no classes, with those seen and the setting that takes them as they are.
    """
    for part in PARTS:
        if not counts[part]:
            raise DataError(f"{source}: x_{part} holds no image: a comparison needs images of both parts")
    arrays = {part: _one_each(_column(given[part]), counts[part], f"{source}: y_{part}") for part in PARTS}
    text = {part: array.dtype.kind in "US" for part, array in arrays.items()}
    if all(text.values()):
        return _by_name({part: _names(array) for part, array in arrays.items()}, classes, source, relabel=relabel)
    found = {part: _integers(array, f"{source}: y_{part}", relabel=relabel) for part, array in arrays.items()}
    counter = Counter()
    kept = {part: np.ones(counts[part], bool) if ignore is None else found[part] != ignore for part in PARTS}
    for part in PARTS:
        if not kept[part].all():
            counter.add(f"of the label {ignore} (dataset.ignore_label)", part, count=int((~kept[part]).sum()))
    values = {part: np.unique(found[part][kept[part]]) for part in PARTS}
    known = values["train"]
    if relabel:
        for part in PARTS:
            strange = kept[part] & ~np.isin(found[part], known)
            if strange.any():
                words = f"of labels without training images: {seen(found[part][strange])}"
                counter.add(words, part, count=int(strange.sum()))
                kept[part] = kept[part] & ~strange
        names = _names_of(known, classes, source)
        labels = {part: np.searchsorted(known, found[part][kept[part]]).astype(np.int64) for part in PARTS}
        return Relabeled(labels, kept, names, tuple(map(str, known.tolist())), counter.tallies())
    names = _expected(values, found, classes, source)
    labels = {part: found[part][kept[part]] for part in PARTS}
    return Relabeled(labels, kept, names, left_out=counter.tallies())


def seen(labels: Shaped[np.ndarray, " _"]) -> str:
    """Return the different labels in words: '1..10', '0, 1, 7', 'cat, dog'."""
    values = np.unique(labels).tolist()
    if not values:
        return "none"
    if len(values) > 2 and all(isinstance(v, int) for v in values) and values[-1] - values[0] == len(values) - 1:
        return f"{values[0]}..{values[-1]}"
    shown = [str(value) for value in values]
    if len(shown) > 2 * FEW:
        shown = [*shown[:FEW], "…", *shown[-FEW:]]
        return f"{', '.join(shown)} ({len(values):,} different)"
    return ", ".join(shown)


def _expected(
    values: dict[Part, np.ndarray], found: dict[Part, Labels], classes: Sequence[str] | None, source: str
) -> tuple[str, ...]:
    """Return the names of the classes 0, 1, …; raises DataError for labels that are others."""
    train, test = (seen(values[part]) for part in PARTS)
    both = f"the training labels are {train}" + (f", the test labels {test}" if test != train else "")
    if classes is not None:
        for part in PARTS:
            wrong = (found[part] < 0) | (found[part] >= len(classes))
            wrong &= np.isin(found[part], values[part])
            if wrong.any():
                at = int(np.argmax(wrong))
                label = found[part][at]
                raise DataError(
                    f"{source}: y_{part}: label {label} of image {at} is not in 0..{len(classes) - 1}, as the "
                    f"{len(classes)} names in `classes` say; {both}. Name all of them{_or_ignore(values)}"
                )
        return tuple(classes)
    known = values["train"]
    lowest = int(known[0]) if len(known) else 0
    if lowest < 0:
        at = int(np.argmax(found["train"] < 0))
        raise DataError(
            f"{source}: y_train: label {found['train'][at]} of image {at} is below 0; {both}. {_remedy(values)}"
        )
    if known.tolist() != list(range(len(known))):
        said = "do not begin with 0" if lowest > 0 else "have gaps"
        raise DataError(f"{source}: the labels {said}: {both}, expected 0, 1, 2, … {_remedy(values)}")
    strange = np.setdiff1d(values["test"], known)
    if len(strange):
        count = int(np.isin(found["test"], strange).sum())
        raise DataError(
            f"{source}: y_test: {count} test images are of labels without training images ({seen(strange)}); {both}. "
            f"{_remedy(values)}"
        )
    return tuple(map(str, range(len(known))))


def _remedy(values: dict[Part, np.ndarray]) -> str:
    """Return what takes such labels, with the beginning of the map."""
    known = values["train"].tolist()
    pairs = ", ".join(f"{value} → {index}" for index, value in enumerate(known[:3]))
    more = ", …" if len(known) > 3 else ""
    said = f"{RELABEL} maps them in their order ({pairs}{more})" if known else ""
    if len(np.setdiff1d(values["test"], values["train"])):
        said += " and leaves out test images of labels that training has not"
    ignored = _ignored(values)
    if ignored is not None:
        said = f"If {ignored} stands for images to leave out, dataset.ignore_label={ignored} does so; {said}"
    return said


def _or_ignore(values: dict[Part, np.ndarray]) -> str:
    ignored = _ignored(values)
    return "" if ignored is None else f", or leave out the images of {ignored} with dataset.ignore_label={ignored}"


def _ignored(values: dict[Part, np.ndarray]) -> int | None:
    """Return the label that seems to say that an example is to be left out: -1, or 255 far from all others."""
    known = {value for part in PARTS for value in values[part].tolist()}
    return next((value for value in IGNORED if value in known and value - 1 not in known), None)


def _names_of(known: np.ndarray, classes: Sequence[str] | None, source: str) -> tuple[str, ...]:
    """Return the names of mapped labels: by their old index where it has a name, or in their order."""
    if classes is None:
        return tuple(map(str, known.tolist()))
    if len(known) and known[0] >= 0 and known[-1] < len(classes):
        return tuple(classes[value] for value in known.tolist())
    if len(classes) == len(known):
        return tuple(classes)
    raise DataError(f"{source}: {len(classes)} names in `classes`, but the labels are {seen(known)} ({len(known)})")


def _by_name(names: dict[Part, np.ndarray], classes: Sequence[str] | None, source: str, *, relabel: bool) -> Relabeled:
    """Return the indices of classes that are given by name."""
    known = np.unique(names["train"])
    order = list(classes) if classes is not None else sorted(known.tolist(), key=natural)
    unnamed = sorted(set(known.tolist()) - set(order))
    if unnamed:
        raise DataError(
            f"{source}: y_train: {', '.join(unnamed[:FEW])}: not among the {len(order)} names in `classes` "
            f"({', '.join(order[:FEW])})"
        )
    counter = Counter()
    strange = ~np.isin(names["test"], order if not relabel else known)
    if strange.any():
        words = ", ".join(sorted(set(names["test"][strange].tolist()))[:FEW])
        if not relabel:
            raise DataError(
                f"{source}: y_test: {int(strange.sum())} test images are of classes without training images "
                f"({words}); the training labels are {seen(known)}. {RELABEL} leaves them out"
            )
        counter.add(f"of labels without training images: {words}", "test", count=int(strange.sum()))
    index = {name: at for at, name in enumerate(order)}
    kept: dict[Part, Kept] = {"train": np.ones(len(names["train"]), bool), "test": ~strange}
    labels = {part: np.array([index[name] for name in names[part][kept[part]].tolist()], np.int64) for part in PARTS}
    return Relabeled(labels, kept, tuple(map(printable, order)), left_out=counter.tallies())


def _column(labels: np.ndarray) -> np.ndarray:
    """Return labels of one column as a vector."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _one_each(labels: np.ndarray, count: int, source: str) -> np.ndarray:
    """Return labels, of which there has to be one for each image."""
    if labels.ndim == 2 and labels.shape[0] == count and labels.shape[1] > 1 and labels.dtype.kind in "biuf":
        one_hot = (labels.astype(float) == 1).sum(1) == 1
        if one_hot.all() and np.isin(labels, (0, 1)).all():
            raise DataError(
                f"{source}: {count} images but labels of shape {labels.shape}, one hot: give their positions, "
                "labels.argmax(1)"
            )
    if labels.shape != (count,):
        raise DataError(f"{source}: {count} images but labels of shape {labels.shape}")
    return labels


def _integers(labels: np.ndarray, source: str, *, relabel: bool = False) -> Labels:
    """Return labels as int64, whatever type they are of."""
    kind = labels.dtype.kind
    if kind in "bi":
        return labels.astype(np.int64)
    if kind == "u":
        if labels.size and labels.max() > np.iinfo(np.int64).max:
            raise DataError(f"{source}: labels up to {labels.max()}, more than there can be classes")
        return labels.astype(np.int64)
    if kind == "f" and np.isfinite(labels).all() and (labels == np.round(labels)).all() and _small(labels):
        if relabel:
            return labels.astype(np.int64)
        raise DataError(
            f"{source}: labels must be integers, got {labels.dtype}; they are whole numbers ({seen(labels)}): "
            f"{RELABEL} takes them, or labels.astype(int)"
        )
    if kind == "f" and not np.isfinite(labels).all():
        odd = ~np.isfinite(labels)
        raise DataError(
            f"{source}: labels must be integers, got {labels.dtype}; {int(odd.sum()):,} of {len(labels):,} are NaN or "
            f"infinite, the first that of image {int(np.argmax(odd))}: take those images out, or give them a number "
            "that dataset.ignore_label names"
        )
    if kind == "f":
        at = int(np.argmax(labels != np.round(labels)))
        raise DataError(f"{source}: labels must be integers, got {labels.dtype}; that of image {at} is {labels[at]:g}")
    hint = "; names are taken where both parts have them" if kind in "US" else ""
    raise DataError(f"{source}: labels must be integers, got {labels.dtype}{hint}")


def _small(labels: np.ndarray) -> bool:
    return bool(np.abs(labels).max(initial=0) < 2**53)


def _names(labels: np.ndarray) -> np.ndarray:
    """Return text labels as text; bytes are read as UTF-8."""
    return np.char.decode(labels, "utf-8", "backslashreplace") if labels.dtype.kind == "S" else labels
