"""Shards and the objects under them: equal bytes for equal content, and any damage is named, never averaged in."""

import random
import threading
import uuid
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stored_shards import done_shards
from modeldiff_core.errors import DamagedObject
from modeldiff_core.store import (
    ObjectStore,
    Shard,
    StoreSettings,
    TensorObject,
    read_record,
    read_shard,
    read_shards,
    read_tensors,
    shard_key,
    write_record,
    write_shard,
    write_tensors,
)
from modeldiff_core.store import shards as shards_module
from modeldiff_core.store.shards import READERS
from modeldiff_core.store.tensors import decode, encode

IDENTITY = {"algorithm": {"recipe": {"learning_rate": 0.1, "epochs": 3}, "seed": 1}, "dataset": "é·digits"}
INDEX = 17


def shard(models: int = 4, train: int = 11, targets: int = 3) -> Shard:
    """Masks that do not fill their last byte, distinct margins, one diverged model."""
    rng = np.random.default_rng(0)
    masks = rng.random((models, train)) < 0.5
    margins = rng.normal(size=(models, targets)).astype(np.float32)
    diverged = np.arange(models) == 1
    margins[diverged] = 0
    return Shard(INDEX * models, masks, margins, diverged)


def memory() -> ObjectStore:
    return ObjectStore(StoreSettings(f"memory://{uuid.uuid4().hex}"))


def encoded(content: Shard) -> bytes:
    store = memory()
    write_shard(store, "t", INDEX, content, IDENTITY)
    return store.read(shard_key("t", INDEX))


def test_a_shard_is_read_as_it_was_written(store: ObjectStore) -> None:
    written = shard()
    assert 0 < written.masks.mean() < 1
    assert len(np.unique(written.margins)) > 6
    write_shard(store, "t", INDEX, written, IDENTITY)
    found = read_shard(store, "t", INDEX, IDENTITY)
    assert found.first == written.first == 68
    np.testing.assert_array_equal(found.masks, written.masks)
    np.testing.assert_array_equal(found.margins, written.margins)
    np.testing.assert_array_equal(found.diverged, written.diverged)
    dtypes = [str(array.dtype) for array in (found.masks, found.margins, found.diverged)]
    assert dtypes == ["bool", "float32", "bool"]
    assert done_shards(store, "t") == {INDEX}


def test_a_shard_that_was_never_written(store: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError):
        read_shard(store, "t", INDEX, IDENTITY)


def test_equal_content_gives_equal_bytes(store: ObjectStore) -> None:
    write_shard(store, "t", INDEX, shard(), IDENTITY)
    once = store.read(shard_key("t", INDEX))
    write_shard(store, "t", INDEX, shard(), dict(reversed(IDENTITY.items())))
    assert store.read(shard_key("t", INDEX)) == once == encoded(shard())
    other = shard()
    other.margins[0, 0] += 1e-6
    assert encoded(other) != once


@given(st.permutations(["b", "a", "zz", "ä"]), st.integers(0, 2**32))
def test_the_order_of_arrays_and_keys_does_not_matter(names: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(size=(2, 3)) for name in sorted(names)}
    facts = {name: len(name) for name in sorted(names)}
    content = TensorObject(arrays, IDENTITY, facts)
    shuffled = TensorObject({n: arrays[n].copy("F") for n in names}, IDENTITY, {n: facts[n] for n in names})
    assert encode(shuffled) == encode(content)


@given(
    st.sampled_from(["<f4", "<f8", "|u1", "<i8", "|b1", "<f2"]),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.integers(0, 2**32),
)
def test_arrays_of_any_shape_and_type_come_back(dtype: str, shape: list[int], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 2, shape).astype(dtype)
    content = TensorObject({"x": array}, IDENTITY, {"zeros": "0" * 64, "first": 3})
    found = decode(encode(content), "here", IDENTITY)
    assert found.arrays["x"].dtype == array.dtype
    np.testing.assert_array_equal(found.arrays["x"], array)
    assert (found.identity, found.facts) == (content.identity, content.facts)


def test_a_changed_byte_anywhere_is_found() -> None:
    """Every position of a whole object, header, names, identity, facts and values, changed in two ways."""
    data, rng = encoded(shard()), random.Random(0)
    store, key = memory(), shard_key("t", INDEX)
    assert 400 < len(data) < 2000
    store.write(key, data)
    read_shard(store, "t", INDEX, IDENTITY)
    for position in range(len(data)):
        for change in (1, rng.randrange(2, 256)):
            damaged = bytearray(data)
            damaged[position] ^= change
            store.write(key, bytes(damaged))
            with pytest.raises(DamagedObject) as caught:
                read_shard(store, "t", INDEX, IDENTITY)
            assert str(caught.value).startswith(store.url(key) + ": ")
            assert caught.value.keys == (key,)


def test_a_changed_byte_is_found_in_every_store(store: ObjectStore) -> None:
    data, key = encoded(shard()), shard_key("t", INDEX)
    for position in [0, 8, *random.Random(1).sample(range(9, len(data) - 1), 10), len(data) - 1]:
        damaged = bytearray(data)
        damaged[position] ^= 0x40
        store.write(key, bytes(damaged))
        with pytest.raises(DamagedObject) as caught:
            read_shard(store, "t", INDEX, IDENTITY)
        assert str(caught.value).startswith(store.url(key) + ": ")


def test_an_object_cut_short_or_grown_is_found() -> None:
    data = encoded(shard())
    for changed in [*(data[:length] for length in range(len(data))), data + b"\0", data * 2]:
        with pytest.raises(DamagedObject, match="^here: "):
            decode(changed, "here", IDENTITY)


@given(st.binary(max_size=300))
def test_bytes_of_something_else_are_no_object(data: bytes) -> None:
    with pytest.raises(DamagedObject, match="^here: not an object of this platform"):
        decode(data, "here")


@pytest.mark.parametrize("header", [b"{}", b"[]", b'{"__metadata__":{"modeldiff":"{}"}}', b'{"__metadata__":{}}', b"1"])
def test_a_file_with_another_header_is_no_object(header: bytes) -> None:
    with pytest.raises(DamagedObject, match="not an object of this platform"):
        decode(len(header).to_bytes(8, "little") + header, "here")


def test_an_object_of_another_configuration_says_what_differs(store: ObjectStore) -> None:
    write_shard(store, "t", INDEX, shard(), IDENTITY)
    asked = {"algorithm": {"recipe": {"learning_rate": 0.2, "epochs": 3}, "seed": 1}, "dataset": "é·digits"}
    with pytest.raises(DamagedObject) as caught:
        read_shard(store, "t", INDEX, asked)
    address = store.url(shard_key("t", INDEX))
    assert str(caught.value) == (
        f"{address}: made by another configuration (algorithm.recipe.learning_rate: expected 0.2, found 0.1)"
    )
    assert caught.value.keys == (shard_key("t", INDEX),)


def test_a_shard_under_another_number(store: ObjectStore) -> None:
    write_shard(store, "t", INDEX, shard(), IDENTITY)
    store.write(shard_key("t", 4), store.read(shard_key("t", INDEX)))
    with pytest.raises(DamagedObject, match=r"000004\.safetensors: holds shard 17") as caught:
        read_shard(store, "t", 4, IDENTITY)
    assert caught.value.keys == (shard_key("t", 4),)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_margins_that_are_not_finite(value: float) -> None:
    store, bad = memory(), shard()
    bad.margins[2, 1] = value
    write_shard(store, "t", INDEX, bad, IDENTITY)
    with pytest.raises(DamagedObject, match=r"000017\.safetensors: holds margins that are not finite") as caught:
        read_shard(store, "t", INDEX, IDENTITY)
    assert caught.value.keys == (shard_key("t", INDEX),)


@pytest.mark.parametrize("name", ["margins", "masks", "diverged"])
def test_arrays_that_are_missing_or_do_not_fit(name: str) -> None:
    store, key = memory(), shard_key("t", INDEX)
    write_shard(store, "t", INDEX, shard(), IDENTITY)
    whole = read_tensors(store, key)
    write_tensors(store, key, replace(whole, arrays={n: a for n, a in whole.arrays.items() if n != name}))
    with pytest.raises(DamagedObject, match=f"lacks {name}") as caught:
        read_shard(store, "t", INDEX, IDENTITY)
    assert caught.value.keys == (key,)
    write_tensors(store, key, replace(whole, arrays={n: a[:-1] if n == name else a for n, a in whole.arrays.items()}))
    with pytest.raises(DamagedObject, match="do not fit together") as caught:
        read_shard(store, "t", INDEX, IDENTITY)
    assert caught.value.keys == (key,)
    write_tensors(store, key, replace(whole, facts={**whole.facts, "n_train": 17}))
    with pytest.raises(DamagedObject, match="do not fit together") as caught:
        read_shard(store, "t", INDEX, IDENTITY)
    assert caught.value.keys == (key,)


def test_a_record_is_read_as_it_was_written(store: ObjectStore) -> None:
    content = {"b": [1, 2.5, None, True], "a": {"text": "é·", "tuple": (1, 2)}}
    write_record(store, "r.json", content)
    assert read_record(store, "r.json") == {"b": [1, 2.5, None, True], "a": {"text": "é·", "tuple": [1, 2]}}
    once = store.read("r.json")
    write_record(store, "r.json", dict(reversed(content.items())))
    assert store.read("r.json") == once
    with pytest.raises(FileNotFoundError):
        read_record(store, "absent.json")


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1', b"[1]", b"3", b"\xff\xfe"])
def test_a_damaged_record_is_named(store: ObjectStore, data: bytes) -> None:
    store.write("r.json", data)
    with pytest.raises(DamagedObject) as caught:
        read_record(store, "r.json")
    assert str(caught.value).startswith(store.url("r.json") + ": ")
    assert caught.value.keys == ("r.json",)


def test_shards_come_in_order_with_what_is_wrong_and_are_fetched_a_little_ahead(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {index: replace(shard(), first=4 * index) for index in range(3 * READERS)}
    for index, content in written.items():
        write_shard(store, "t", index, content, IDENTITY)
    store.delete(shard_key("t", 3))
    store.write(shard_key("t", 5), store.read(shard_key("t", 6)))
    fetched: set[str] = set()
    read = store.read

    def noted(key: str) -> bytes:
        fetched.add(key)
        return read(key)

    monkeypatch.setattr(store, "read", noted)
    found = read_shards(store, "t", written, IDENTITY)
    index, first = next(found)
    assert 0 < len(fetched) <= 2 * READERS < len(written)
    pairs = [(index, first), *found]
    assert [index for index, _ in pairs] == list(written)
    assert isinstance(pairs[3][1], FileNotFoundError)
    assert isinstance(pairs[5][1], DamagedObject)
    assert pairs[5][1].keys == (shard_key("t", 5),)
    whole = {index: content for index, content in pairs if isinstance(content, Shard)}
    assert written.keys() - whole.keys() == {3, 5}
    for index, content in whole.items():
        assert content.first == written[index].first
        np.testing.assert_array_equal(content.margins, written[index].margins)


def test_shards_are_checked_by_the_thread_that_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    store, by, fetching = memory(), set[int](), set[int]()
    for index in range(3):
        write_shard(store, "t", index, shard(), IDENTITY)
    read = store.read

    def fetched(key: str) -> bytes:
        fetching.add(threading.get_ident())
        return read(key)

    def checked(data: bytes, source: str, identity: object, *, keys: tuple[str, ...]) -> TensorObject:
        by.add(threading.get_ident())
        return decode(data, source, IDENTITY, keys=keys)

    monkeypatch.setattr(store, "read", fetched)
    monkeypatch.setattr(shards_module, "decode", checked)
    assert len(list(read_shards(store, "t", range(3), IDENTITY))) == 3
    assert by == {threading.get_ident()}
    assert fetching
    assert not fetching & by
