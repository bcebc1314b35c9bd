"""JSON records: written last, so that what they describe is complete when they are there."""

import json
from collections.abc import Mapping
from typing import Any

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import plain
from modeldiff_core.store.objects import ObjectStore


def write_record(store: ObjectStore, key: str, content: Mapping[str, object]) -> None:
    """Put a mapping as indented JSON with sorted keys."""
    text = json.dumps(plain(content), indent=2, sort_keys=True, allow_nan=False)
    store.write(key, (text + "\n").encode())


def read_record(store: ObjectStore, key: str) -> dict[str, Any]:
    """A record's content; raises FileNotFoundError or DamagedObject."""
    data = store.read(key)
    try:
        content = json.loads(data)
    except ValueError as error:
        raise DamagedObject(f"{store.url(key)}: not a JSON record ({error})") from error
    if not isinstance(content, dict):
        raise DamagedObject(f"{store.url(key)}: a record must be an object, found a {type(content).__name__}")
    return content
