"""Holding what was written for people against what the stored results give now."""

import io
import math

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import plain
from modeldiff_core.store import ObjectStore

CLOSE = 1e-6
"""Relative difference of a summary's numbers from those of the results, which another machine's rounding may give."""


def check_numbers(store: ObjectStore, key: str, expected: object, found: object) -> None:
    """Raise DamagedObject, naming the first place, if two JSON values differ by more than rounding."""
    where = departure(plain(expected), found)
    if where:
        raise DamagedObject(f"{store.url(key)}: {where} is not what the stored results give", keys=(key,))


def departure(expected: object, found: object, path: str = "") -> str:
    """Return where two JSON values differ by more than rounding; empty if nowhere."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        parts = [departure(expected[name], found[name], f"{path}.{name}" if path else name) for name in expected]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        parts = [departure(e, f, f"{path}[{i}]") for i, (e, f) in enumerate(zip(expected, found, strict=True))]
    elif isinstance(expected, float) and isinstance(found, float):
        parts = ["" if math.isclose(expected, found, rel_tol=CLOSE, abs_tol=CLOSE) else path]
    else:
        parts = ["" if expected == found else path or "it"]
    return next((part for part in parts if part), "")


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
