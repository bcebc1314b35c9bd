"""Canonical encoding: one configuration, one byte string, in every process."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.identity import (
    UnstableValueError,
    canonical_json,
    differences,
    digest,
    generator,
    plain,
    short_digest,
)

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@dataclass(frozen=True)
class Inner:
    rate: float
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    extra: dict[str, object] | None = None


EXAMPLE = Outer("a·b", Inner(0.1, (64, 32)), {"z": None, "y": [True, 1e-7]})
EXAMPLE_JSON = '{"extra":{"y":[true,1e-07],"z":null},"inner":{"rate":0.1,"widths":[64,32]},"name":"a\\u00b7b"}'


def reordered(value: object, shuffle: Callable[[list[str]], None]) -> object:
    """The same value with the keys of every mapping in another order, and tuples for lists."""
    if isinstance(value, dict):
        keys = list(value)
        shuffle(keys)
        return {key: reordered(value[key], shuffle) for key in keys}
    if isinstance(value, list):
        return tuple(reordered(item, shuffle) for item in value)
    return value


def test_encoding_is_the_published_one() -> None:
    assert canonical_json(EXAMPLE) == EXAMPLE_JSON
    assert digest(EXAMPLE) == hashlib.sha256(EXAMPLE_JSON.encode()).hexdigest()
    assert short_digest(EXAMPLE) == digest(EXAMPLE)[:8]


def test_a_dataclass_encodes_as_the_mapping_of_its_fields() -> None:
    as_mapping = {"inner": {"widths": [64, 32], "rate": 0.1}, "name": "a·b", "extra": {"y": [True, 1e-7], "z": None}}
    assert digest(EXAMPLE) == digest(as_mapping)


@given(VALUES, st.integers(0, 2**32))
def test_order_of_keys_and_tuples_do_not_matter(value: object, seed: int) -> None:
    other = reordered(value, random.Random(seed).shuffle)
    assert canonical_json(other) == canonical_json(value)
    assert differences(value, other) == []


@given(VALUES)
def test_round_trip_through_json_changes_nothing(value: object) -> None:
    once = json.loads(canonical_json(value))
    assert once == plain(value)
    assert canonical_json(once) == canonical_json(value)


@given(VALUES, VALUES)
def test_differences_are_empty_exactly_when_digests_agree(one: object, two: object) -> None:
    assert (differences(one, two) == []) == (digest(one) == digest(two))


@pytest.mark.parametrize(
    ("one", "two"), [({"a": [1]}, {"a": [1.0]}), ({"a": [True]}, {"a": [1]}), (0.0, -0.0), (1, True), ([{}], [[]])]
)
def test_equal_in_python_but_not_in_json_is_a_difference(one: object, two: object) -> None:
    assert digest(one) != digest(two)
    assert differences(one, two) != []


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (float("nan"), "$"),
        ({"a": [0, {"b": float("inf")}]}, "$.a[1].b"),
        ({"a": (1, {2, 3})}, "$.a[1]"),
        ({"a": frozenset()}, "$.a"),
        ({"a": b"bytes"}, "$.a"),
        ({"a": {"b": object()}}, "$.a.b"),
        ({"a": np.zeros(2)}, "$.a"),
        ({"a": np.float32(0.1)}, "$.a"),
        ({"a": {1: 2}}, "$.a"),
        ({"a": Inner}, "$.a"),
        (Outer("x", Inner(float("-inf"), ())), "$.inner.rate"),
        (Outer("x", Inner(0.1, (1, {2}))), "$.inner.widths[1]"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_stable_encoding_is_refused_with_its_path(value: object, path: str) -> None:
    with pytest.raises(UnstableValueError) as caught:
        digest(value)
    assert str(caught.value).startswith(f"{path}: ")


def test_differences_name_each_field() -> None:
    found = {"name": "a·b", "inner": {"rate": 0.2, "widths": [64]}, "other": 3}
    assert differences(EXAMPLE, found) == [
        "extra: expected {'z': None, 'y': [True, 1e-07]}, absent",
        "inner.rate: expected 0.1, found 0.2",
        "inner.widths: expected [64, 32], found [64]",
        "other: not expected, found 3",
    ]
    assert differences(1, "1") == ["$: expected 1, found '1'"]


PROGRAM = """
from modeldiff_core.identity import digest, generator
names = {"alpha", "beta", "gamma", "delta", "epsilon"}
print(digest({name: [len(name), len(name) / 7] for name in names}))
print(generator("order", 3, 14).permutation(20).tolist(), generator("x", 1).random())
print(list(names))
"""


def test_digests_and_streams_are_the_same_in_every_process() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for seed in ("0", "1", "4242")
    ]
    assert len({order for *_, order in outputs}) > 1, "the processes should hash strings differently"
    names = ("alpha", "beta", "gamma", "delta", "epsilon")
    here = digest({name: [len(name), len(name) / 7] for name in names})
    stream = f"{generator('order', 3, 14).permutation(20).tolist()} {generator('x', 1).random()}"
    assert all(found[:2] == [here, stream] for found in outputs)
