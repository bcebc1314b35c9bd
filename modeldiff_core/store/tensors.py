"""Named arrays with a header in one checked object (safetensors)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.numpy import load, save

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import canonical_json, differences
from modeldiff_core.store.objects import ObjectStore

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]

BLANK = "0" * 64
"""Stands for the checksum while it is computed."""


@dataclass(frozen=True)
class TensorObject:
    """Arrays, the identity (a configuration) of what made them, and facts about them."""

    arrays: Arrays
    identity: Mapping[str, object]
    facts: Mapping[str, object]


def encode(content: TensorObject) -> bytes:
    """One safetensors file; equal content gives equal bytes.

    Its header holds the SHA-256 of the whole file with that checksum's own place left blank.
    """
    header = {"checksum": BLANK, "identity": content.identity, "facts": content.facts}
    # One metadata entry, since several would be written in an order that varies.
    arrays = {name: np.ascontiguousarray(array) for name, array in content.arrays.items()}
    draft = save(arrays, metadata={"modeldiff": canonical_json(header)})
    return draft.replace(BLANK.encode(), hashlib.sha256(draft).hexdigest().encode(), 1)


def decode(
    data: bytes, source: str, identity: Mapping[str, object] | None = None, *, keys: tuple[str, ...] = ()
) -> TensorObject:
    """The content of an object, checked.

    Raises DamagedObject, naming the source, for bytes that are no safetensors file, a checksum that differs, or an
    identity other than the expected one (explained field by field). keys: where the bytes were read, for that error.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        text = json.loads(data[8 : 8 + length])["__metadata__"]["modeldiff"]
        header = json.loads(text)
        expected = str(header["checksum"])
        if _checksum(data, expected.encode()) != expected:
            raise DamagedObject(f"{source}: its bytes do not match its checksum", keys=keys)
        content = TensorObject(load(data), header["identity"], header["facts"])
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedObject(
            f"{source}: not an object of this platform ({type(error).__name__}: {error})", keys=keys
        ) from error
    # The last entry of a canonical header, compared as it stands: to encode it anew would cost as much as SHA-256.
    if identity is not None and not text.endswith(f'"identity":{canonical_json(identity)}}}'):
        why = "; ".join(differences(identity, content.identity))
        raise DamagedObject(f"{source}: made by another configuration ({why})", keys=keys)
    return content


def _checksum(data: bytes, written: bytes) -> str:
    """SHA-256 of a file with the checksum that is written in its header left blank."""
    at, whole = data.index(written), memoryview(data)
    sha = hashlib.sha256(whole[:at])
    sha.update(BLANK.encode())
    sha.update(whole[at + len(written) :])
    return sha.hexdigest()


def write_tensors(store: ObjectStore, key: str, content: TensorObject) -> None:
    """Encode and put in one step."""
    store.write(key, encode(content))


def read_tensors(store: ObjectStore, key: str, identity: Mapping[str, object] | None = None) -> TensorObject:
    """Read and check; raises FileNotFoundError or DamagedObject."""
    return decode(store.read(key), store.url(key), identity, keys=(key,))
