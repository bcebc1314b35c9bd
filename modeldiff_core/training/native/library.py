"""The compiled code, built at first use for the processor at hand and kept in the user's cache folder."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

log = logging.getLogger(__name__)

SOURCES = Path(__file__).parent
FLAGS = ("-O3", "-march=native", "-std=gnu11", "-shared", "-fPIC")
POINTER, INTEGER, REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
FUNCTIONS: dict[str, tuple[object, tuple[object, ...]]] = {
    "halves_are_quick": (ctypes.c_int, ()),
    "network_new": (POINTER, (POINTER, INTEGER, INTEGER, INTEGER, ctypes.c_int)),
    "network_free": (None, (POINTER,)),
    "network_train": (None, (*(POINTER,) * 6, INTEGER, INTEGER, POINTER, REAL, REAL, REAL)),
    "network_evaluate": (None, (POINTER, POINTER, POINTER, INTEGER, POINTER)),
}
"""What each function gives and takes, as in training.c."""


@lru_cache(maxsize=1)
def native_library() -> ctypes.CDLL | None:
    """The library; None, and a warning that says why, where it cannot be built or loaded."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        log.warning("no C compiler (cc, gcc or clang): small networks are trained by torch, several times as slowly")
        return None
    try:
        library = ctypes.CDLL(str(built(compiler, cache_folder())))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        log.warning("%s cannot build code for this processor, torch trains small networks instead: %s", compiler, said)
        return None
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def cache_folder() -> Path:
    """Where built code is kept: below XDG_CACHE_HOME or ~/.cache; a new folder where that cannot be written."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modeldiff"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        pass
    else:
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="modeldiff-"))


def built(compiler: str, folder: Path) -> Path:
    """The library's file; its name tells sources, compiler and processor, so that one folder can serve many machines.

    Raises SubprocessError with what the compiler said, and OSError.
    """
    sources = sorted(SOURCES.glob("*.[ch]"))
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=60).stdout  # noqa: S603
    parts = [*(path.read_bytes() for path in sources), version, " ".join(FLAGS).encode(), processor()]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    file = folder / f"native-{digest[:16]}.so"
    if not file.exists():
        # Several processes may build it at once: each its own, and the last to be moved stays.
        handle, name = tempfile.mkstemp(suffix=".so", dir=folder)
        os.close(handle)
        try:
            units = [str(path) for path in sources if path.suffix == ".c"]
            command = [compiler, *FLAGS, *units, "-o", name]
            subprocess.run(command, capture_output=True, check=True, text=True, timeout=300)  # noqa: S603
            ctypes.CDLL(name)  # what cannot be loaded is not kept
            Path(name).replace(file)
        finally:
            Path(name).unlink(missing_ok=True)
    return file


def processor() -> bytes:
    """What tells processors apart that cannot run each other's code."""
    kinds = [platform.machine(), platform.system()]
    about = Path("/proc/cpuinfo")
    if about.exists():
        wanted = ("model name", "flags", "Features", "CPU part")
        lines = {line for line in about.read_text().splitlines() if line.startswith(wanted)}
        kinds += sorted(lines)
    return "\n".join(kinds).encode()
