"""JSON records: written last, so that what they describe is complete when they are there.

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
    """Put a mapping, with its checksum, as indented JSON with sorted keys; it must not have a ``checksum`` itself."""
    if CHECKSUM in content:
        raise ValueError(f"{store.url(key)}: a record's content cannot be named {CHECKSUM}")
    store.write(key, _encode(content))


def read_record(store: ObjectStore, key: str) -> dict[str, Any]:
    """A record's content, checked, without its checksum; raises FileNotFoundError or DamagedObject."""
    data = store.read(key)
    try:
        content = json.loads(data)
        if not isinstance(content, dict):
            raise DamagedObject(
                f"{store.url(key)}: a record must be an object, found a {type(content).__name__}", keys=(key,)
            )
        expected = content.pop(CHECKSUM, None)
        again = _encode(content)
    except (ValueError, UnstableValueError, RecursionError) as error:
        raise DamagedObject(f"{store.url(key)}: not a JSON record ({error})", keys=(key,)) from error
    if expected is None:
        raise DamagedObject(
            f"{store.url(key)}: holds no {CHECKSUM}, as records of earlier versions; `modeldiff verify --repair` "
            "removes it, and the next run makes it anew",
            keys=(key,),
        )
    if again != data:
        raise DamagedObject(f"{store.url(key)}: does not match its {CHECKSUM}", keys=(key,))
    return content


def _encode(content: Mapping[str, object]) -> bytes:
    """Equal content gives equal bytes."""
    whole = {**content, CHECKSUM: digest(content)}
    return (json.dumps(plain(whole), indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
