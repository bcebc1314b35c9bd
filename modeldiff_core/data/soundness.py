"""What no comparison can be made of, whatever source it came from: named before anything is trained."""

import numpy as np

from modeldiff_core.data.columns import check_columns
from modeldiff_core.data.examples import Dataset
from modeldiff_core.data.notes import printable
from modeldiff_core.errors import DataError

FEW = 8
"""Most classes that a sentence lists."""


def check_dataset(data: Dataset) -> None:
    """Raise DataError for empty parts, values that no example of the kind has, classes that have no training images or
    one name, and odd metadata.
    """
    noun = data.kind.noun
    for part, examples in (("training", data.train), ("test", data.test)):
        if not len(examples):
            raise DataError(f"there is no {part} {noun}: a comparison needs {noun}s of both parts")
        if examples.kind != data.kind:
            raise DataError(f"the {part} examples are of another kind than the training examples")
        examples.kind.check(examples.images)
    twice = sorted({name for name in data.classes if data.classes.count(name) > 1})
    if twice:
        raise DataError(f"classes {_names(data.classes)}: two have one name ({_names(twice)})")
    check_columns(data.train.metadata, data.test.metadata)
    if data.target is not None:
        return
    train, test = (np.bincount(part.labels, minlength=len(data.classes)) for part in (data.train, data.test))
    if (train > 0).sum() < 2:
        only = data.classes[int(train.argmax())]
        raise DataError(
            f"all {len(data.train):,} training {noun}s are of one class, {printable(only)}: a margin is between two"
        )
    empty = [name for name, count in zip(data.classes, train, strict=True) if not count]
    if empty:
        of = f", though {int(test[train == 0].sum()):,} test {noun}s are" if test[train == 0].any() else ""
        raise DataError(
            f"no training {noun} is of the class {_names(empty)}{of}; those of the training {noun}s are "
            f"{_names([name for name, count in zip(data.classes, train, strict=True) if count])}. Take the class out "
            f"of the names, or bring {noun}s of it (a small dataset.n_train may have left it out); "
            "dataset.relabel=true "
            "of dataset=npz takes out what does not occur"
        )


def _names(names: "tuple[str, ...] | list[str]") -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(printable(name) for name in names[:FEW]) + more
