"""The idx file format of the MNIST family."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from modeldiff_core.errors import DataError


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Read an array in the idx format of the MNIST files (big-endian header, bytes), plain or gzipped.

    Raises DataError for another magic number or a file cut short.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise DataError(f"{path}: not an idx file of unsigned bytes (starts with {raw[:4].hex() or 'nothing'})")
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise DataError(f"{path}: cut short inside its header ({len(raw)} bytes)")
    shape = struct.unpack(f">{raw[3]}I", raw[4:header])
    wanted = header + math.prod(shape)
    if len(raw) != wanted:
        raise DataError(f"{path}: {wanted} bytes promised by its header {shape}, {len(raw)} found")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
