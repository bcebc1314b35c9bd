"""A user's own data: arrays, tensors or torch data sets, as bytes, and the form in which they were given."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.frames import Reading, is_frame, read_frames
from modeldiff_core.data.kinds import Tokens
from modeldiff_core.data.labels import read_labels
from modeldiff_core.data.notes import PARTS, Notes, Part, Tally
from modeldiff_core.data.pixels import as_pixels, looks_channels_first
from modeldiff_core.data.soundness import check_dataset
from modeldiff_core.data.texts import as_inputs, encoded, sequences
from modeldiff_core.errors import ConfigError, DataError
from modeldiff_core.training.functions.form import Axes, Form

Range = tuple[float, float]
LEAST_SIDE = 4
"""Rows of a square number of values from this side on are shown as squares."""
WORDS, LENGTH = 1000, 32
"""Size of the vocabulary of texts, and tokens of each."""
LOOKED_AT = 3
"""Items of a data set that are asked for twice."""


@dataclass(frozen=True)
class Read:
    """Given data as a data set of bytes.

    Attributes:
        dataset: The data set.
        form: How images were given.
    """

    dataset: Dataset
    form: Form


class Data:
    """Training and test images with labels; or rows of a table, or texts.

    Data frames are taken as tables, as `Data.table` does with the usual choices: `y_train` and `y_test` are values, or
    the name of the column. `Data.tokens` takes sequences of ids, `Data.texts` texts.

    Functions get images as they are given here: arrays or tensors, of the same type, order of axes and range. They are
    kept as bytes, 256 levels, since reports show them and transformations change them; values between two levels are
    rounded, and how many is said.

    Args:
        x_train: Images [n, height, width], with channels last or first, or rows of numbers [n, features]: uint8, or
            floats in 0..1; or a ``torch.utils.data.Dataset`` of (image, label).
        y_train: Labels, 0 to the number of classes minus 1, or names; of a data set nothing, or the test data set.
        x_test: Test images, or a data set.
        y_test: Test labels.
        classes: Names of the classes, by label.
        pixel_range: What becomes the lowest and the highest level, where that is not 0..255 or 0..1.
        channels_first: Whether channels come before height and width; if not given, they may seem to.

    """

    def __init__(
        self,
        x_train: Any,
        y_train: Any = None,
        x_test: Any = None,
        y_test: Any = None,
        *,
        classes: Sequence[str] | None = None,
        pixel_range: Range | None = None,
        channels_first: bool | None = None,
    ) -> None:
        if _is_dataset(x_train) and x_test is None and _is_dataset(y_train):
            y_train, x_test = None, y_train
        self._given = {"train": (x_train, y_train), "test": (x_test, y_test)}
        self.classes, self.pixel_range, self.channels_first = classes, pixel_range, channels_first
        self._how: Callable[[], Read] = self._read_table if is_frame(x_train) else self._read
        self._reading = Reading()

    @classmethod
    def table(cls, train: Any, test: Any, target: str, **choices: Any) -> "Data":
        """Return rows of two data frames as data.

        Functions get a data frame of the other columns, numbers as float64, text as pandas' ``category``.

        Args:
            train: The training rows.
            test: The test rows, with the same columns.
            target: The column that is predicted.
            choices: Of ``Reading``: ``predict="number"`` for a number in the place of a class, ``missing="fill"``,
                ``unseen="leave_out"``, ``categorical=("zip",)``.
        """
        data = cls(train, target, test, target)
        try:
            data._reading = Reading(**choices)
        except TypeError as error:
            names = ", ".join(field.name for field in fields(Reading))
            raise ConfigError("data", f"choices of a table: {names}", sorted(choices)) from error
        return data

    @classmethod
    def tokens(cls, x_train: Any, y_train: Any, x_test: Any, y_test: Any, vocabulary: Sequence[str]) -> "Data":
        """Return sequences of ids [n, length] as data; functions get them as they are, in int64.

        vocabulary: the word of each id, which begins with ``<pad>``, ``<unknown>``, ``<mask>``: 0 fills sequences up.
        """
        data = cls(x_train, y_train, x_test, y_test)
        data._how = partial(data._read_tokens, vocabulary)
        return data

    @classmethod
    def texts(cls, train: Any, y_train: Any, test: Any, y_test: Any, **sizes: int) -> "Data":
        """Return texts as data, cut into words and marks in small letters; functions get ids [n, length] in int64.

        sizes: ``words``, of the vocabulary, which the training texts have (1,000); ``length`` of a sequence (32).
        """
        data = cls(train, y_train, test, y_test)
        data._how = partial(data._read_texts, **{"words": WORDS, "length": LENGTH, **sizes})
        return data

    @cached_property
    def read(self) -> Read:
        """Read the data; raises ConfigError that says what is wrong with which array."""
        try:
            return self._how()
        except DataError as error:
            said = str(error).replace("dataset.pixel_range=[", "pixel_range=[").replace("dataset.", "")
            raise ConfigError("data", "examples and labels", "other ones", said) from error

    def __repr__(self) -> str:
        data = self.read.dataset
        of = f"{len(data.classes)} classes" if data.target is None else f"a number, {data.target.name}"
        return (
            f"Data({len(data.train):,} training and {len(data.test):,} test {data.kind.noun}s of {of}, "
            f"given as {self.read.form})"
        )

    def _read_table(self) -> Read:
        """Return data frames as a table; a target that is a name is taken out of the columns."""
        frames: dict[Part, Any] = {}
        targets: dict[Part, Any] = {}
        name = "target"
        for part in PARTS:
            frame, y = self._given[part]
            if frame is None or not is_frame(frame):
                raise DataError(f"x_{part} is {type(frame).__name__}: give both parts as data frames")
            y = self._given["train"][1] if y is None and isinstance(self._given["train"][1], str) else y
            if y is None:
                raise DataError(f"y_{part} is missing: its values, or the name of a column")
            if isinstance(y, str):
                if y not in frame.columns:
                    raise DataError(f"x_{part}: no column {y!r}; there are {', '.join(map(repr, frame.columns))}")
                name, y, frame = y, frame[y], frame.drop(columns=[y])
            elif getattr(y, "name", None) is not None:
                name = str(y.name)
            frames[part], targets[part] = frame, y
        data = read_frames(frames, targets, name, self._reading)
        check_dataset(data)
        return Read(data, Form(dtype="float64", axes="table"))

    def _read_tokens(self, vocabulary: Sequence[str]) -> Read:
        kind = Tokens(tuple(map(str, vocabulary)))
        ids = {part: sequences(self._given[part][0], f"x_{part}") for part in PARTS}
        if ids["train"].shape[1] != ids["test"].shape[1]:
            said = " and ".join(f"x_{part} of {ids[part].shape[1]}" for part in PARTS)
            raise DataError(f"sequences of unequal length: {said}")
        return self._of_ids(ids, kind, Notes())

    def _read_texts(self, words: int, length: int) -> Read:
        given = {part: list(self._given[part][0]) for part in PARTS}
        found = encoded(given, words, length)
        return self._of_ids(found.ids, found.tokens, found.notes)

    def _of_ids(self, ids: Mapping[Part, np.ndarray], kind: Tokens, notes: Notes) -> Read:
        counts: dict[Part, int] = {part: len(ids[part]) for part in PARTS}
        labels: dict[Part, np.ndarray] = {part: _array(self._given[part][1]) for part in PARTS}
        named = read_labels(labels, counts, None if self.classes is None else list(self.classes), "data")
        parts = {part: Examples(as_inputs(ids[part]), named.labels[part], kind=kind) for part in PARTS}
        data = Dataset(parts["train"], parts["test"], named.classes, notes)
        check_dataset(data)
        library: Literal["numpy", "torch"] = "torch" if _is_tensor(self._given["train"][0]) else "numpy"
        return Read(data, Form(library=library, dtype="int64", axes="tokens"))

    def _read(self) -> Read:
        arrays: dict[Part, np.ndarray] = {}
        library: Literal["numpy", "torch"] = "numpy"
        labels: dict[Part, np.ndarray] = {}
        for part in PARTS:
            images, own = self._given[part]
            if images is None:
                raise DataError(f"x_{part} is missing: Data(x_train, y_train, x_test, y_test)")
            if _is_dataset(images):
                images, own = _items(images, f"x_{part}")
            if own is None:
                raise DataError(f"y_{part} is missing: Data(x_train, y_train, x_test, y_test)")
            library = "torch" if _is_tensor(images) else "numpy"
            arrays[part], labels[part] = _array(images), _array(own)
        if arrays["train"].shape[1:] != arrays["test"].shape[1:] or arrays["train"].dtype != arrays["test"].dtype:
            raise DataError(
                f"x_train is {arrays['train'].dtype} {list(arrays['train'].shape)}, x_test {arrays['test'].dtype} "
                f"{list(arrays['test'].shape)}: both have to be of one type and shape but for their number"
            )
        axes = self._axes(arrays["train"].shape)
        form = replace(self._range(arrays["train"]), library=library, axes=axes)
        pixels = {part: self._pixels(arrays[part], axes, f"x_{part}") for part in PARTS}
        counts: dict[Part, int] = {part: len(pixels[part]) for part in PARTS}
        found = read_labels(labels, counts, None if self.classes is None else list(self.classes), "data")
        parts = {part: Examples(pixels[part], found.labels[part]) for part in PARTS}
        data = Dataset(parts["train"], parts["test"], found.classes)
        check_dataset(data)
        return Read(replace(data, notes=_rounded(form, pixels, arrays)), form)

    def _axes(self, shape: tuple[int, ...]) -> Axes:
        if len(shape) == 2:
            return "nf"
        if len(shape) == 3:
            return "nhw"
        first = self.channels_first
        if len(shape) == 4 and first is None:
            first = looks_channels_first(*shape[1:])
        return "nchw" if first else "nhwc"

    def _range(self, images: np.ndarray) -> Form:
        dtype = str(images.dtype)
        if self.pixel_range is not None:
            low, high = map(float, self.pixel_range)
            return Form(dtype=dtype, low=low, high=high)
        return Form(dtype=dtype, low=0.0, high=1.0 if images.dtype.kind == "f" else 255.0)

    def _pixels(self, images: np.ndarray, axes: Axes, name: str) -> np.ndarray:
        if axes == "nf":
            side = round(float(images.shape[1]) ** 0.5)
            square = side * side == images.shape[1] and side >= LEAST_SIDE
            images = images.reshape(len(images), *((side, side) if square else (1, images.shape[1])), 1)
        return as_pixels(images, name, pixel_range=self.pixel_range, channels_first=axes == "nchw")


def _rounded(form: Form, pixels: dict[Part, np.ndarray], arrays: dict[Part, np.ndarray]) -> Notes:
    """Return how many images hold values between two levels, and how far they were moved."""
    counts, furthest = {}, 0.0
    for part in PARTS:
        moved = np.abs(form.values(pixels[part]).astype(np.float64) - arrays[part].astype(np.float64))
        counts[part] = int((moved.reshape(len(moved), -1) > 0).any(1).sum()) if len(moved) else 0
        furthest = max(furthest, float(moved.max(initial=0.0)))
    if not any(counts.values()):
        return Notes()
    words = f"rounded to 256 levels of {form.low:g}..{form.high:g} (by up to {furthest:.2g})"
    return Notes(changed=(Tally(words, counts["train"], counts["test"]),))


def _is_tensor(given: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.Tensor)


def _is_dataset(given: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.utils.data.Dataset)


def _array(given: Any) -> np.ndarray:
    return given.detach().cpu().numpy() if _is_tensor(given) else np.asarray(given)


def _items(dataset: Any, name: str) -> tuple[Any, np.ndarray]:
    """Return images and labels of a torch data set, each item asked for once and some a second time.

    Raises:
        DataError: For items that are no pairs, and for images that are others each time they are asked for.
    """
    if not hasattr(dataset, "__len__"):
        raise DataError(f"{name}: a data set without a length: list its items first")
    items = [dataset[index] for index in range(len(dataset))]
    if not items:
        raise DataError(f"{name}: the data set holds no item")
    if not isinstance(items[0], tuple | list) or len(items[0]) < 2:
        raise DataError(f"{name}: items have to be (image, label), got a {type(items[0]).__name__}")
    for index in sorted({0, len(items) // 2, len(items) - 1})[:LOOKED_AT]:
        if not np.array_equal(_array(items[index][0]), _array(dataset[index][0])):
            raise DataError(
                f"{name}: item {index} is another image each time it is asked for: leave augmentation to the training "
                "function"
            )
    labels = np.asarray([int(item[1]) for item in items], np.int64)
    if _is_tensor(items[0][0]):
        import torch

        return torch.stack([item[0] for item in items]), labels
    return np.stack([np.asarray(item[0]) for item in items]), labels
