"""Records: read back as they were written, and any change of them named."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import digest
from modeldiff_core.store import ObjectStore, StoreSettings, read_record, write_record

CONTENT: dict[str, Any] = {"digest": "0a1b", "lds": {"mean": 0.25, "ci": [-1e-9, 3]}, "names": ["é", None], "on": True}


def memory() -> ObjectStore:
    return ObjectStore(StoreSettings(f"memory://{uuid.uuid4().hex}"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(content=st.dictionaries(st.text().filter(lambda name: name != "checksum"), json_values, max_size=4))
def test_what_is_written_is_read(content: dict[str, Any]) -> None:
    store = memory()
    write_record(store, "record.json", content)
    assert read_record(store, "record.json") == content


def test_a_record_is_readable_json_with_its_checksum(store: ObjectStore) -> None:
    write_record(store, "a/record.json", CONTENT)
    stored = json.loads(store.read("a/record.json"))
    assert stored == {**CONTENT, "checksum": digest(CONTENT)}
    assert read_record(store, "a/record.json") == CONTENT


def test_every_flipped_bit_is_named() -> None:
    store = memory()
    write_record(store, "record.json", CONTENT)
    data = store.read("record.json")
    assert len(data) > 200
    for position in range(len(data)):
        for bit in range(8):
            spoilt = bytearray(data)
            spoilt[position] ^= 1 << bit
            store.write("record.json", bytes(spoilt))
            with pytest.raises(DamagedObject, match=rf"{store.settings.url}/record\.json: "):
                read_record(store, "record.json")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"a": 1}\n', "holds no checksum, as records of earlier versions"),
        (b'{"a": 1, "checksum": "0"}\n', "does not match its checksum"),
        (b'{"a": NaN, "checksum": "0"}\n', "not a JSON record"),
        (b"[1]\n", "a record must be an object, found a list"),
        (b'{"a": 1', "not a JSON record"),
        (b"\xff\xfe", "not a JSON record"),
        (b"", "not a JSON record"),
        (b"[" * 100_000, "not a JSON record"),
    ],
)
def test_what_is_no_record_is_named(data: bytes, words: str) -> None:
    store = memory()
    store.write("record.json", data)
    with pytest.raises(DamagedObject, match=words) as caught:
        read_record(store, "record.json")
    assert str(caught.value).startswith(f"{store.settings.url}/record.json: ")
    assert caught.value.keys == ("record.json",)


def test_content_cannot_bring_a_checksum_of_its_own() -> None:
    with pytest.raises(ValueError, match="cannot be named checksum"):
        write_record(memory(), "record.json", {"checksum": "x"})
