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
from modeldiff_core.identity import canonical_json, differences, digest
from modeldiff_core.store.objects import ObjectStore

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]


@dataclass(frozen=True)
class TensorObject:
    """Arrays, the identity (a configuration) of what made them, and facts about them."""

    arrays: Arrays
    identity: Mapping[str, object]
    facts: Mapping[str, object]


def checksum(arrays: Arrays) -> str:
    """SHA-256 over names, types, shapes and values."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def encode(content: TensorObject) -> bytes:
    """One safetensors file; equal content gives equal bytes."""
    header = {
        "checksum": checksum(content.arrays),
        "digest": digest(content.identity),
        "identity": content.identity,
        "facts": content.facts,
    }
    # One metadata entry, since several would be written in an order that varies.
    arrays = {name: np.ascontiguousarray(array) for name, array in content.arrays.items()}
    return save(arrays, metadata={"modeldiff": canonical_json(header)})


def decode(data: bytes, source: str, identity: Mapping[str, object] | None = None) -> TensorObject:
    """The content of an object, checked.

    Raises DamagedObject, naming the source, for bytes that are no safetensors file, a checksum that differs, or an
    identity other than the expected one (explained field by field).
    """
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["modeldiff"])
        arrays = load(data)
        content = TensorObject(arrays, header["identity"], header["facts"])
        expected = header["checksum"]
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedObject(f"{source}: not an object of this platform ({type(error).__name__}: {error})") from error
    if checksum(arrays) != expected:
        raise DamagedObject(f"{source}: its values do not match its checksum")
    if identity is not None and digest(content.identity) != digest(identity):
        why = "; ".join(differences(identity, content.identity))
        raise DamagedObject(f"{source}: made by another configuration ({why})")
    return content


def write_tensors(store: ObjectStore, key: str, content: TensorObject) -> None:
    """Encode and put in one step."""
    store.write(key, encode(content))


def read_tensors(store: ObjectStore, key: str, identity: Mapping[str, object] | None = None) -> TensorObject:
    """Read and check; raises FileNotFoundError or DamagedObject."""
    return decode(store.read(key), store.url(key), identity)
