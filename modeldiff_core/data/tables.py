"""Tables as data sets: the files of a user's own, and those that come with scikit-learn."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modeldiff_core.data.examples import Dataset
from modeldiff_core.data.frames import Reading, pandas, read_frames
from modeldiff_core.data.leaks import Leak
from modeldiff_core.data.split import chosen, stratified
from modeldiff_core.errors import ConfigError, DataError
from modeldiff_core.identity import generator


@dataclass(frozen=True)
class Csv:
    """Rows of a file of comma-separated values, one column of which is predicted.

    test_path: the test rows; if not given, a quarter of the rows of `path` (or n_test) is drawn, by `seed`. target: the
    column that is predicted. predict, missing, unseen, categorical: see ``Reading``. ignore: columns that no algorithm
    sees. separator: what is between two values.
    """

    path: str
    target: str
    test_path: str | None = None
    predict: Literal["class", "number"] = "class"
    missing: Literal["refuse", "fill"] = "refuse"
    unseen: Literal["refuse", "leave_out"] = "refuse"
    categorical: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    separator: str = ","
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    leak: Leak | None = None

    def files(self) -> list[Path]:
        """Return the files; raises ConfigError for one that is not there."""
        found = []
        for key, given in (("path", self.path), ("test_path", self.test_path)):
            if given is None:
                continue
            path = Path(given).expanduser()
            if not path.is_file():
                raise ConfigError(f"dataset.{key}", "a file of comma-separated values", given)
            found.append(path)
        return found

    def load(self) -> Dataset:
        """Return the rows; raises DataError that names the file and the column at fault."""
        files = self.files()
        frames = [self._frame(path) for path in files]
        for path, frame in zip(files, frames, strict=True):
            missing = [name for name in (self.target, *self.ignore) if name not in frame.columns]
            if missing:
                raise DataError(f"{path}: no column {missing[0]!r}; there are {', '.join(map(repr, frame.columns))}")
        if len(frames) == 1:
            frames = self._split(frames[0])
        targets = [frame[self.target] for frame in frames]
        columns = [frame.drop(columns=[self.target, *self.ignore]) for frame in frames]
        data = read_frames(
            {"train": columns[0], "test": columns[1]},
            {"train": targets[0], "test": targets[1]},
            self.target,
            Reading(self.predict, self.missing, self.unseen, self.categorical),
            str(files[0]),
        )
        if len(files) == 2:
            train = chosen(data.train, self.n_train, self.seed, "dataset.n_train") if self.n_train else data.train
            test = chosen(data.test, self.n_test, self.seed, "dataset.n_test") if self.n_test else data.test
            data = replace(data, train=train, test=test)
        return data if self.leak is None else self.leak.plant(data)

    def _frame(self, path: Path) -> Any:
        try:
            return pandas().read_csv(path, sep=self.separator, low_memory=False)
        except Exception as error:  # a parser's own errors, wrong encodings, empty files
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: no table that can be read ({type(error).__name__}: {error})") from error

    def _split(self, frame: Any) -> list[Any]:
        count = len(frame)
        n_test = self.n_test if self.n_test is not None else count // 4
        n_train = self.n_train if self.n_train is not None else count - n_test
        if n_train < 1 or n_test < 1 or n_train + n_test > count:
            raise ConfigError("dataset.n_train", f"rows of both parts among the {count:,} there are", n_train)
        order = generator("split", self.seed).permutation(count)
        return [frame.iloc[np.sort(part)] for part in (order[:n_train], order[n_train : n_train + n_test])]


NUMBERS = ("diabetes",)


@dataclass(frozen=True)
class SklearnTable:
    """A table that comes with scikit-learn: classes of breast_cancer, iris or wine, the number of diabetes.

    n_train, n_test: rows, drawn by `seed`. leak: a column planted beside the table's own.
    """

    table: Literal["breast_cancer", "iris", "wine", "diabetes"] = "breast_cancer"
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    leak: Leak | None = None

    def load(self) -> Dataset:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{self.table}")(as_frame=True)
        number = self.table in NUMBERS
        count = len(bunch.data)
        n_test = count // 4 if self.n_test is None else self.n_test
        n_train = count - n_test if self.n_train is None else self.n_train
        strata = np.zeros(count, np.int64) if number else bunch.target.to_numpy()
        parts = stratified(strata, (n_train, n_test), self.seed, ("dataset.n_train", "dataset.n_test"))
        train, test = (bunch.data.iloc[part] for part in parts)
        y = bunch.target if number else np.asarray(bunch.target_names, dtype=str)[strata]
        targets = [np.asarray(y)[part] for part in parts]
        reading = Reading("number" if number else "class")
        data = read_frames(
            {"train": train, "test": test},
            {"train": targets[0], "test": targets[1]},
            "disease progression" if number else "class",
            reading,
            self.table,
        )
        if self.leak is None:
            return data
        if number:
            raise ConfigError("dataset.leak", "a table of classes", self.table)
        return self.leak.plant(data)
