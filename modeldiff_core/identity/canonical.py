"""The canonical encoding of a configuration, and its digest.

Equal configurations encode to the same bytes on every machine and in every process; values whose encoding could
change between runs (a set's order, an object's address, NaN) are refused.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence

SHORT = 8
"""Characters of a digest in the names of objects."""


class UnstableValueError(TypeError):
    """A value without an encoding that is the same in every process."""


def plain(value: object, path: str = "$") -> object:
    """Reduce a configuration to JSON types; a dataclass becomes an object of its fields.

    Args:
        value: None, bool, int, finite float, str, or sequences, mappings with string keys, dataclasses and pydantic
            models of these.
        path: Where the value is in the configuration, for errors.

    Raises:
        UnstableValueError: For any other value; names the path.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnstableValueError(f"{path}: {value} is not a finite number")
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), f"{path}.{f.name}") for f in dataclasses.fields(value)}
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return plain(value.model_dump(mode="json"), path)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UnstableValueError(f"{path}: key {key!r} is not a string")
        return {key: plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    raise UnstableValueError(f"{path}: a {type(value).__name__} has no stable encoding")


def canonical_json(value: object) -> str:
    """Encode a configuration as JSON with sorted keys, no spaces and shortest-round-trip floats."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: object) -> str:
    """Return the SHA-256 of the canonical encoding, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def short_digest(value: object) -> str:
    """Return the part of the digest that names objects in a store."""
    return digest(value)[:SHORT]


def differences(expected: object, found: object, path: str = "") -> list[str]:
    """Describe field by field how two configurations differ, for messages about objects of another configuration.

    The list is empty exactly when their digests agree: 1, 1.0 and true are three values, as they are in the encoding.

    Args:
        expected: The configuration that an object should have.
        found: The configuration that it has.
        path: Where both are in a larger configuration.
    """
    expected, found = plain(expected), plain(found)
    if isinstance(expected, dict) and isinstance(found, dict):
        lines: list[str] = []
        for key in sorted(expected.keys() | found.keys()):
            where = f"{path}.{key}" if path else key
            if key not in found:
                lines.append(f"{where}: expected {expected[key]!r}, absent")
            elif key not in expected:
                lines.append(f"{where}: not expected, found {found[key]!r}")
            else:
                lines += differences(expected[key], found[key], where)
        return lines
    if canonical_json(expected) == canonical_json(found):
        return []
    return [f"{path or '$'}: expected {expected!r}, found {found!r}"]
