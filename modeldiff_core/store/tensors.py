"""Named arrays with a header in one checked safetensors object."""

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
"""Placeholder of the checksum while it is computed."""


@dataclass(frozen=True)
class TensorObject:
    """Named arrays with their description.

    Attributes:
        arrays: The arrays by name.
        identity: The configuration that made them.
        facts: Further facts about them, such as a shard's index.
    """

    arrays: Arrays
    identity: Mapping[str, object]
    facts: Mapping[str, object]


def encode(content: TensorObject) -> bytes:
    """Return the bytes of a safetensors file; equal content has equal bytes.

    Its header holds the SHA-256 of the whole file, computed with zeros in place of the checksum itself.
    """
    header = {"checksum": BLANK, "identity": content.identity, "facts": content.facts}
    # One metadata entry, since several would be written in an order that varies.
    arrays = {name: np.ascontiguousarray(array) for name, array in content.arrays.items()}
    draft = save(arrays, metadata={"modeldiff": canonical_json(header)})
    return draft.replace(BLANK.encode(), hashlib.sha256(draft).hexdigest().encode(), 1)


def decode(
    data: bytes, source: str, identity: Mapping[str, object] | None = None, *, keys: tuple[str, ...] = ()
) -> TensorObject:
    """Return the content of an object after checking it.

    Args:
        data: The bytes of the object.
        source: Its address, for errors.
        identity: The configuration that it must have been made by; None accepts any.
        keys: The key it was read from, for errors.

    Raises:
        DamagedObject: For bytes that are not a safetensors file of this platform, a checksum that differs, or another
            identity (explained field by field).
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
    # The last entry of a canonical header, compared as text: encoding it again would cost as much as SHA-256.
    if identity is not None and not text.endswith(f'"identity":{canonical_json(identity)}}}'):
        why = "; ".join(differences(identity, content.identity))
        raise DamagedObject(f"{source}: made by another configuration ({why})", keys=keys)
    return content


def _checksum(data: bytes, written: bytes) -> str:
    """Return the SHA-256 of a file with zeros in place of the checksum that its header holds."""
    start, view = data.index(written), memoryview(data)
    sha = hashlib.sha256(view[:start])
    sha.update(BLANK.encode())
    sha.update(view[start + len(written) :])
    return sha.hexdigest()


def write_tensors(store: ObjectStore, key: str, content: TensorObject) -> None:
    """Encode the content and write it in one step."""
    store.write(key, encode(content))


def read_tensors(store: ObjectStore, key: str, identity: Mapping[str, object] | None = None) -> TensorObject:
    """Read an object, check it as ``decode`` does and return its content.

    Raises:
        FileNotFoundError: If there is no such object.
        DamagedObject: If it is damaged or has another identity than the expected one.
    """
    return decode(store.read(key), store.url(key), identity, keys=(key,))
