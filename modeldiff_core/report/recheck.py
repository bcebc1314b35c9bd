"""Holding what was written for people against what the stored results give now."""

import io
import math
from collections.abc import Iterator

from modeldiff_core.errors import DamagedObject, Outdated
from modeldiff_core.identity import plain
from modeldiff_core.store import ObjectStore

CLOSE = 1e-6
"""Relative difference of a summary's numbers from those of the results, which another machine's rounding may give."""


def check_numbers(store: ObjectStore, key: str, expected: object, found: object) -> None:
    """Hold a record that is whole against what the stored results give.

    Raises DamagedObject, naming the first place, if they differ by more than rounding, and Outdated if nothing but the
    wording of sentences differs.
    """
    places = dict(departures(plain(expected), found))
    other = [path for path, is_wording in places.items() if not is_wording]
    if other:
        raise DamagedObject(f"{store.url(key)}: {other[0]} is not what the stored results give", keys=(key,))
    if places:
        count = f"{next(iter(places))}" + (f" and {len(places) - 1} more read" if len(places) > 1 else " reads")
        raise Outdated(f"{store.url(key)}: written by another version, in which {count} otherwise", keys=(key,))


def departures(expected: object, found: object, path: str = "") -> Iterator[tuple[str, bool]]:
    """Yield where two JSON values differ by more than rounding, and whether that is the wording of a sentence alone."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for name in expected:
            yield from departures(expected[name], found[name], f"{path}.{name}" if path else name)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for i, (e, f) in enumerate(zip(expected, found, strict=True)):
            yield from departures(e, f, f"{path}[{i}]")
    elif isinstance(expected, float) and isinstance(found, float):
        if not math.isclose(expected, found, rel_tol=CLOSE, abs_tol=CLOSE):
            yield path, False
    elif expected != found:
        yield path or "it", _is_wording(expected) and _is_wording(found)


def _is_wording(value: object) -> bool:
    """Return whether a value is a sentence, or sentences; one word alone is an answer or a name."""
    sentences = value if isinstance(value, list) and value else [value]
    return all(isinstance(one, str) and " " in one for one in sentences)


def check_table(store: ObjectStore, key: str, expected: bytes) -> None:
    """Raise DamagedObject if a Parquet table differs from the expected one by more than rounding."""
    import pandas as pd

    try:
        found = pd.read_parquet(io.BytesIO(store.read(key)))
    except (ValueError, OSError) as error:
        raise DamagedObject(f"{store.url(key)}: not a table ({type(error).__name__}: {error})", keys=(key,)) from error
    try:
        pd.testing.assert_frame_equal(found, pd.read_parquet(io.BytesIO(expected)), rtol=CLOSE, atol=CLOSE)
    except AssertionError as error:
        why = str(error).splitlines()[0]
        raise DamagedObject(f"{store.url(key)}: is not what the stored results give ({why})", keys=(key,)) from error
