"""What no comparison can be made of, whatever source it came from: named before anything is trained."""

import numpy as np

from modeldiff_core.data.columns import check_columns
from modeldiff_core.data.examples import Dataset
from modeldiff_core.data.notes import printable
from modeldiff_core.errors import DataError

FEW = 8
"""Most classes that a sentence lists."""


def check_dataset(data: Dataset) -> None:
    """Raise DataError for empty parts, classes that have no training images or one name, and odd metadata."""
    for part, examples in (("training", data.train), ("test", data.test)):
        if not len(examples):
            raise DataError(f"there is no {part} image: a comparison needs images of both parts")
    twice = sorted({name for name in data.classes if data.classes.count(name) > 1})
    if twice:
        raise DataError(f"classes {_names(data.classes)}: two have one name ({_names(twice)})")
    check_columns(data.train.metadata, data.test.metadata)
    train, test = (np.bincount(part.labels, minlength=len(data.classes)) for part in (data.train, data.test))
    if (train > 0).sum() < 2:
        only = data.classes[int(train.argmax())]
        raise DataError(
            f"all {len(data.train):,} training images are of one class, {printable(only)}: a margin is between two"
        )
    empty = [name for name, count in zip(data.classes, train, strict=True) if not count]
    if empty:
        of = f", though {int(test[train == 0].sum()):,} test images are" if test[train == 0].any() else ""
        raise DataError(
            f"no training image is of the class {_names(empty)}{of}; those of the training images are "
            f"{_names([name for name, count in zip(data.classes, train, strict=True) if count])}. Take the class out "
            "of the names, or bring images of it (a small dataset.n_train may have left it out); dataset.relabel=true "
            "of dataset=npz takes out what does not occur"
        )


def _names(names: "tuple[str, ...] | list[str]") -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(printable(name) for name in names[:FEW]) + more
