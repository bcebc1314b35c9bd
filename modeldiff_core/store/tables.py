"""Tables in files that other tools wrote: one row per example, columns of booleans, numbers or text."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from modeldiff_core.errors import ConfigError
from modeldiff_core.store.files import EXISTING_FILE, fetched
from modeldiff_core.store.objects import StoreSettings

UNKNOWN = "unknown"
"""Replaces a missing text or boolean; a missing number is NaN."""
READ_AS: Mapping[str, type | str] = {
    "boolean": bool,
    "integer": np.int64,
    "floating": np.float64,
    "mixed-integer-float": np.float64,
    "string": "U",
}
"""NumPy type of a column, by the kind of its values."""


def read_table(source: str, rows: int, key: str, settings: StoreSettings) -> dict[str, Shaped[np.ndarray, " examples"]]:
    """Return the columns of a .csv, .json or .npz file by name.

    A .json file holds a list of records or an object of columns, a .npz file arrays with one axis.

    Args:
        source: A path or an fsspec URL.
        rows: Rows that the table must have.
        key: The configuration key that named the file, for errors.
        settings: Settings of the store with whose endpoint, region and profile an s3:// URL is opened.

    Raises:
        ConfigError: For a file that cannot be read, another number of rows, and a column that mixes booleans, numbers
            and text.
    """
    with fetched(source, key, settings) as path:
        reader = READERS.get(path.suffix)
        if reader is None:
            raise ConfigError(key, f"a table that ends in {', '.join(READERS)}", source)
        if not path.exists():
            raise ConfigError(key, EXISTING_FILE, source)
        try:
            table = reader(path)
        except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
            words = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(key, f"a readable {path.suffix} table", source, words) from error
    if len(table) != rows:
        raise ConfigError(key, f"{rows} rows, one for each example", f"{len(table)} rows in {source}")
    return {str(name): _column(table[name], key, f"{source}: {name}") for name in table}


def _column(values: "pd.Series[Any]", key: str, source: str) -> Shaped[np.ndarray, " examples"]:
    kind, missing = pd.api.types.infer_dtype(values, skipna=True), values.isna().to_numpy()
    if kind not in READ_AS:
        raise ConfigError(key, "columns of booleans, of numbers or of text", f"{source}: {kind} values")
    if not missing.any():
        return np.asarray(values.to_numpy().astype(READ_AS[kind]))
    if kind in ("string", "boolean"):
        return np.array([UNKNOWN if absent else str(value) for value, absent in zip(values, missing, strict=True)])
    return np.asarray(values.to_numpy(np.float64, na_value=np.nan))


def _csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def _json(path: Path) -> pd.DataFrame:
    return pd.DataFrame(json.loads(path.read_text("utf-8")))


def _npz(path: Path) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as archive:
        return pd.DataFrame({name: archive[name] for name in archive.files})


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _csv, ".json": _json, ".npz": _npz}
