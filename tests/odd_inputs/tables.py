"""Odd tables: a data frame with one oddity each, and what is said of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

ROWS = 40


def plain(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    """Return two columns of numbers, one of truth values, one of text, and a class."""
    rng = np.random.default_rng(seed)
    height = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "height": height,
            "count": rng.integers(0, 5, rows),
            "old": rng.random(rows) < 0.5,
            "color": np.array(["red", "green", "blue"])[rng.permutation(np.arange(rows) % 3)],
            "kind": np.where(height + rng.normal(size=rows) > 0, "yes", "no"),
        }
    )


@dataclass(frozen=True)
class Case:
    """What is done to the training and to the test rows, what is asked for, and what is said.

    change: of the training rows; change_test: of the test rows. choices: of ``Reading``. refused: whether it is an
    error that holds all of `said`; else `said` stands in the inventory.
    """

    change: Callable[[pd.DataFrame], Any] = lambda frame: frame
    change_test: Callable[[pd.DataFrame], Any] = lambda frame: frame
    choices: dict[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    refused: bool = True
    rows: tuple[int, int] = (ROWS, ROWS)


def put(column: str, values: dict[int, object], dtype: str = "object") -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what puts values into rows of a column."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        own = frame[column].astype(dtype)
        for at, value in values.items():
            own.iloc[at] = value
        return frame.assign(**{column: own})

    return change


def numbers_as_text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(count=frame["count"].astype(str))


MISSING = put("height", {3: np.nan, 5: np.nan}, "float64")
CASES: dict[str, Case] = {
    "as it should be": Case(refused=False),
    "a number among text": Case(put("color", {4: 7}), said=("column 'color'", "mixed types", "1 numbers", "7")),
    "text among numbers": Case(put("count", {4: "many"}), said=("column 'count'", "mixed types", "'many'")),
    "numbers as text": Case(numbers_as_text, numbers_as_text, said=("column 'count'", "written as text")),
    "numbers as text, as categories": Case(
        numbers_as_text, numbers_as_text, {"categorical": ("count",)}, refused=False
    ),
    "missing numbers": Case(MISSING, said=("column 'height'", "2 training and 0 test values are missing")),
    "missing numbers, filled": Case(
        MISSING, choices={"missing": "fill"}, said=("with missing values, filled", " 2 "), refused=False
    ),
    "missing text": Case(put("color", {1: None}), said=("column 'color'", "1 training", "missing=fill")),
    "missing text, filled": Case(
        put("color", {1: None}), choices={"missing": "fill"}, said=("with missing values, filled",), refused=False
    ),
    "an unseen category": Case(
        change_test=put("color", {0: "mauve", 9: "mauve"}), said=("column 'color'", "2 of 40 test rows", "'mauve'")
    ),
    "an unseen category, left out": Case(
        change_test=put("color", {0: "mauve", 9: "mauve"}),
        choices={"unseen": "leave_out"},
        said=("without training rows (unseen=leave_out)", "0     2"),
        refused=False,
        rows=(ROWS, ROWS - 2),
    ),
    "an unseen class": Case(change_test=put("kind", {2: "maybe"}), said=("target 'kind'", "1 test rows", "'maybe'")),
    "a class that is missing": Case(put("kind", {2: None}), said=("target 'kind'", "1 training values are missing")),
    "infinite numbers": Case(put("height", {0: np.inf}, "float64"), said=("column 'height'", "1 training", "infinite")),
    "dates": Case(lambda frame: frame.assign(count=pd.Timestamp("2020-01-01")), said=("column 'count'", "datetime64")),
    "names of rows": Case(
        lambda frame: frame.assign(color=[f"row {at}" for at in range(len(frame))]).loc[list(range(ROWS)) * 3],
        said=("column 'color'",),
    ),
    "a column that the test rows lack": Case(
        change_test=lambda frame: frame.drop(columns="old"), said=("the test rows lack 'old'",)
    ),
    "a column that only the test rows have": Case(
        change_test=lambda frame: frame.assign(new=1), said=("only the test rows have 'new'",)
    ),
    "two columns of one name": Case(
        lambda frame: frame.rename(columns={"old": "count"}),
        lambda frame: frame.rename(columns={"old": "count"}),
        said=("two columns", "'count'"),
    ),
    "a column that never varies": Case(
        lambda frame: frame.assign(count=3), said=("'count'", "nothing can be learned"), refused=False
    ),
    "a number that is taken for a class": Case(
        lambda frame: frame.assign(kind=frame["height"]), said=("are no classes", "predict=number")
    ),
    "text that is taken for a number": Case(choices={"predict": "number"}, said=("target 'kind'", "predict=number")),
    "a number that never varies": Case(
        lambda frame: frame.assign(kind=2.0),
        lambda frame: frame.assign(kind=1.0),
        {"predict": "number"},
        said=("nothing to predict",),
    ),
    "categories that are no column": Case(choices={"categorical": ("hue",)}, said=("no column is called 'hue'",)),
}
