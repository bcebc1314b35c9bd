"""JSON records, written after the objects they describe, so that an existing record means a complete result.

A record holds the digest of the canonical encoding of everything else in it, as ``checksum``.
"""

import json
from collections.abc import Mapping
from typing import Any

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import UnstableValueError, digest, plain
from modeldiff_core.store.objects import ObjectStore

CHECKSUM = "checksum"


def write_record(store: ObjectStore, key: str, content: Mapping[str, object]) -> None:
    """Write a mapping and its checksum as indented JSON with sorted keys.

    Raises:
        ValueError: If the mapping has a key ``checksum`` itself.
        StoreError: If the store cannot be written.
    """
    if CHECKSUM in content:
        raise ValueError(f"{store.url(key)}: a record's content cannot be named {CHECKSUM}")
    store.write(key, _encode(content))


def read_record(store: ObjectStore, key: str) -> dict[str, Any]:
    """Return the content of a record without its checksum.

    Raises:
        FileNotFoundError: If there is no such object.
        DamagedObject: If it is not a record or does not match its checksum.
    """
    data = store.read(key)
    try:
        content = json.loads(data)
        if not isinstance(content, dict):
            raise DamagedObject(
                f"{store.url(key)}: a record must be an object, found a {type(content).__name__}", keys=(key,)
            )
        expected = content.pop(CHECKSUM, None)
        encoded = _encode(content)
    except (ValueError, UnstableValueError, RecursionError) as error:
        raise DamagedObject(f"{store.url(key)}: not a JSON record ({error})", keys=(key,)) from error
    if expected is None:
        raise DamagedObject(
            f"{store.url(key)}: holds no {CHECKSUM}, as records of earlier versions; `modeldiff verify --repair` "
            "removes it, and the next run makes it again",
            keys=(key,),
        )
    if encoded != data:
        raise DamagedObject(f"{store.url(key)}: does not match its {CHECKSUM}", keys=(key,))
    return content


def _encode(content: Mapping[str, object]) -> bytes:
    """Return the bytes of a record; equal content has equal bytes."""
    whole = {**content, CHECKSUM: digest(content)}
    return (json.dumps(plain(whole), indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
