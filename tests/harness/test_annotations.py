"""Annotations are checked whoever checks them: beartype alone, or jaxtyping where axes of arrays are named."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError

from harness.annotations import MARK, checked_alone
from modeldiff_core.identity import digest
from modeldiff_core.margins import correct_class_margin
from modeldiff_core.plan import Label
from modeldiff_core.store import ObjectStore


def repeated(words: str, times: int = 2) -> "list[str]":
    return [words] * times if times else words  # type: ignore[return-value]


def scaled(values: Float[np.ndarray, " n"]) -> float:
    return float(values.sum())


def counted(times: int) -> Iterator[int]:
    yield from range(times)


def later(one: "NotYet") -> int:  # type: ignore[name-defined]
    return len(one)


@dataclass
class Pair:
    """What a dataclass makes of its fields is a function like others."""

    name: str
    size: int


def test_parameters_and_what_is_returned_are_checked() -> None:
    checked: Any = checked_alone(repeated)  # type: ignore[arg-type]
    assert checked("a", times=3) == ["a"] * 3
    assert (checked.__name__, checked.__wrapped__) == ("repeated", repeated)
    for given in ({"words": 1}, {"words": "a", "times": "b"}, {"words": "a", "times": 0}):
        with pytest.raises(TypeCheckError):
            checked(**given)


def test_what_names_axes_or_yields_is_left_to_jaxtyping() -> None:
    assert checked_alone(scaled) is None  # type: ignore[arg-type]
    assert checked_alone(counted) is None  # type: ignore[arg-type]


def test_a_name_that_is_not_there_yet_is_anything() -> None:
    checked: Any = checked_alone(later)  # type: ignore[arg-type]
    assert checked([1]) == 1
    with pytest.raises(TypeCheckError):
        checked_alone(Pair.__init__)(Pair("a", 1), "b", "c")  # type: ignore[arg-type, misc]


def test_both_are_at_work_in_the_library() -> None:
    assert hasattr(digest, MARK)
    assert hasattr(ObjectStore.read, MARK)
    assert not hasattr(correct_class_margin, MARK)
    with pytest.raises(TypeCheckError):
        Label(7)  # type: ignore[arg-type]
