"""Values come back from plain JSON with their types and their digest; errors name the path."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from modeldiff_core.identity import Tagged, UnstableValueError, digest, plain, restore


class Shape(Tagged):
    """A family of two."""

    kind: str

    @classmethod
    def member(cls, kind: str) -> "type[Shape]":
        return {"circle": Circle, "square": Square}[kind]


@dataclass(frozen=True)
class Circle(Shape):
    radius: float
    kind: Literal["circle"] = "circle"


@dataclass(frozen=True)
class Square(Shape):
    side: int
    holes: tuple[Shape, ...] = ()
    kind: Literal["square"] = "square"


class Settings(BaseModel):
    """A model of pydantic's, as studies are made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    size: int = 3


@dataclass(frozen=True)
class Inner:
    number: int | float
    words: str | None
    flag: bool


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: tuple[Inner, ...]
    pair: tuple[int, str]
    named: Mapping[str, Inner]
    listed: Sequence[float]
    either: Inner | Settings | int | None
    shape: Shape
    noted: Annotated[int, "a note"]
    free: Any
    which: Literal["a", "b"]


FINITE = st.floats(allow_nan=False, allow_infinity=False)
INNER = st.builds(Inner, st.integers() | FINITE, st.none() | st.text(max_size=5), st.booleans())
SHAPES: Any = st.deferred(
    lambda: st.builds(Circle, FINITE) | st.builds(Square, st.integers(), st.lists(SHAPES, max_size=2).map(tuple))
)
SETTINGS = st.builds(Settings, name=st.text(max_size=5), size=st.integers())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OUTER = st.builds(
    Outer,
    inner=INNER,
    many=st.lists(INNER, max_size=3).map(tuple),
    pair=st.tuples(st.integers(), st.text(max_size=3)),
    named=st.dictionaries(st.text(max_size=3), INNER, max_size=3),
    listed=st.lists(FINITE, max_size=3),
    either=INNER | SETTINGS | st.integers() | st.none(),
    shape=SHAPES,
    noted=st.integers(),
    free=JSON,
    which=st.sampled_from(["a", "b"]),
)


def round_trip(value: Any, cls: Any = None) -> Any:
    return restore(cls or type(value), json.loads(json.dumps(plain(value))))


@given(OUTER)
def test_what_is_restored_is_equal_and_has_the_same_digest(value: Outer) -> None:
    back = round_trip(value)
    assert back == value
    assert digest(back) == digest(value)
    assert type(back.either) is type(value.either)
    assert type(back.shape) is type(value.shape)
    assert type(back.inner.number) is type(value.inner.number)


@given(SHAPES)
def test_a_family_is_restored_to_the_member_that_its_kind_names(value: Shape) -> None:
    assert round_trip(value, Shape) == value


def test_numbers_keep_their_type_in_json() -> None:
    for number in (1, 1.0, -0.0, 3, 3.5):
        back = round_trip(Inner(number, None, True)).number
        assert type(back) is type(number)
        assert math.copysign(1, back) == math.copysign(1, number)
    whole = restore(Circle, {"radius": 1, "kind": "circle"})
    assert type(whole.radius) is int, "an integer where a number is wanted stays what it was"
    assert digest(whole) == digest({"radius": 1, "kind": "circle"}) != digest(Circle(1.0))


GOOD: dict[str, Any] = {
    "inner": {"number": 1, "words": None, "flag": True},
    "many": [{"number": 1, "words": "x", "flag": False}],
    "pair": [1, "x"],
    "named": {"first": {"number": 1.5, "words": "x", "flag": False}},
    "listed": [1.5],
    "either": {"name": "x", "size": 2},
    "shape": {"kind": "square", "side": 1, "holes": [{"kind": "circle", "radius": 2.0}]},
    "noted": 4,
    "free": {"x": [1, None]},
    "which": "a",
}


def test_the_value_that_the_errors_below_are_made_from_is_restored() -> None:
    back = restore(Outer, GOOD)
    assert plain(back) == GOOD
    assert back.either == Settings(name="x", size=2)
    assert back.shape == Square(1, (Circle(2.0),))
    assert isinstance(back.many, tuple)


@pytest.mark.parametrize(
    ("path", "wrong", "named"),
    [
        (("inner",), 3, "$.inner"),
        (("inner", "flag"), "yes", "$.inner.flag"),
        (("inner", "flag"), 1, "$.inner.flag"),
        (("inner", "words"), 7, "$.inner.words"),
        (("inner", "color"), 7, "$.inner: a Inner has no field color"),
        (("many",), "text", "$.many"),
        (("many", 0, "number"), "1", "$.many[0].number"),
        (("pair",), [1], "$.pair"),
        (("pair", 1), 5, "$.pair[1]"),
        (("named", "first", "flag"), None, "$.named.first.flag"),
        (("listed", 0), "1", "$.listed[0]"),
        (("either",), [], "$.either"),
        (("shape",), {"side": 1}, "$.shape"),
        (("shape", "side"), 1.5, "$.shape.side"),
        (("shape", "holes", 0, "radius"), None, "$.shape.holes[0].radius"),
        (("noted",), True, "$.noted"),
        (("which",), "c", "$.which"),
    ],
)
def test_an_error_names_the_path(path: tuple[str | int, ...], wrong: Any, named: str) -> None:
    value = json.loads(json.dumps(GOOD))
    at = value
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = wrong
    with pytest.raises(UnstableValueError) as caught:
        restore(Outer, value)
    assert named in str(caught.value)


def test_a_field_that_is_missing_is_an_error() -> None:
    with pytest.raises((TypeError, UnstableValueError), match="flag"):
        restore(Inner, {"number": 1, "words": None})
