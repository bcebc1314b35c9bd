"""Pickles of plain containers and arrays, read without running what else a pickle may hold."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from modeldiff_core.errors import DataError

_RECONSTRUCT = np.empty(0).__reduce__()[0]
ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}
"""All that an array is made of; dictionaries, lists, text and numbers need no name."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise DataError(f"asks for {module}.{name}, which no array needs; nothing of it was run") from None


def read_pickle(path: Path) -> object:
    """Read the content of a pickle, Python 2's text as str.

    Raises DataError for a file that is damaged or that names anything but NumPy's arrays.
    """
    try:
        return _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # damaged opcodes raise nearly anything
        raise DataError(f"{path}: not a pickle of arrays and text ({type(error).__name__}: {error})") from error
