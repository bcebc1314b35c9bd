"""How much memory the machine has, and room for images that may not fit into it."""

import math
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from modeldiff_core.errors import DataError

MEMORY_SHARE = 0.25
"""Largest share of the machine's memory that decoded images take before they lie in a file on disk instead."""

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's where that is less."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [path.read_text().strip() for path in CGROUP_LIMITS if path.is_file()]
    return min([installed, *(int(limit) for limit in limits if limit.isdigit())])


def fits_memory(size: int, share: float = MEMORY_SHARE) -> bool:
    """Return whether `size` bytes take at most that share of the machine's memory."""
    return size <= share * machine_memory()


def room_for(shape: tuple[int, ...], share: float = MEMORY_SHARE) -> UInt8[np.ndarray, "..."]:
    """Return an array to fill: in memory if it fits, else in a temporary file that goes away with the array.

    The file is made in the folder that TMPDIR names; raises DataError when that has no room for it.
    """
    size = math.prod(shape)
    if fits_memory(size, share):
        return np.empty(shape, np.uint8)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{size / 1e9:.1f} GB of decoded images fit neither memory nor {folder} ({free / 1e9:.1f} GB free); "
            "set TMPDIR to a folder with room, or take fewer or smaller images"
        )
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)
