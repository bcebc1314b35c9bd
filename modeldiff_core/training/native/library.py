"""The compiled code, built at first use for the processor of this machine and kept in the user's cache folder."""

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
    "norm_forward": (None, (INTEGER, INTEGER, REAL, *(POINTER,) * 4)),
    "norm_backward": (None, (INTEGER, INTEGER, *(POINTER,) * 6)),
    "experts_route": (ctypes.c_int, (INTEGER, INTEGER, INTEGER, POINTER, POINTER, POINTER, POINTER)),
    "experts_forward": (ctypes.c_int, (POINTER,) * 5),
    "experts_backward": (ctypes.c_int, (POINTER,) * 9),
    "tangents_walk": (ctypes.c_int, (POINTER, INTEGER, POINTER, INTEGER, INTEGER, INTEGER, POINTER, POINTER)),
    "curvature_new": (POINTER, (POINTER, INTEGER, INTEGER, INTEGER, REAL)),
    "curvature_free": (None, (POINTER,)),
    "curvature_pass": (None, (POINTER,) * 4),
    "curvature_walk": (ctypes.c_int, (POINTER, INTEGER, POINTER, POINTER, POINTER)),
    "network_evaluate": (None, (POINTER, POINTER, POINTER, INTEGER, POINTER)),
}
"""Result and argument types of each function, as in training.c, experts.c, norms.c, tangents.c and curvature.c."""


@lru_cache(maxsize=1)
def native_library() -> ctypes.CDLL | None:
    """Return the library, or None with a warning that gives the reason if it cannot be built or loaded."""
    compiler = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    if compiler is None:
        log.warning("no C compiler (cc, gcc or clang): small networks are trained by torch, several times as slowly")
        return None
    try:
        library = ctypes.CDLL(str(built(compiler, cache_folder())))
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        message = "%s cannot build code for this processor, torch trains small networks instead: %s"
        log.warning(message, compiler, reason)
        return None
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def cache_folder() -> Path:
    """Return the folder of built code, below XDG_CACHE_HOME or ~/.cache; a new one where that is not writable."""
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
    """Return the library's file, built if it does not exist.

    Its name is a digest of sources, compiler and processor, so that one folder can serve many machines.

    Raises:
        SubprocessError: If the compiler fails; holds the compiler's output.
        OSError: If the folder cannot be written or the library cannot be loaded.
    """
    sources = sorted(SOURCES.glob("*.[ch]"))
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=60).stdout  # noqa: S603
    parts = [*(path.read_bytes() for path in sources), version, " ".join(FLAGS).encode(), processor()]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    file = folder / f"native-{digest[:16]}.so"
    if not file.exists():
        # Several processes may build it at once: each builds its own file, and the last one moved stays.
        handle, name = tempfile.mkstemp(suffix=".so", dir=folder)
        os.close(handle)
        try:
            units = [str(path) for path in sources if path.suffix == ".c"]
            command = [compiler, *FLAGS, *units, "-o", name]
            subprocess.run(command, capture_output=True, check=True, text=True, timeout=300)  # noqa: S603
            ctypes.CDLL(name)  # a library that cannot be loaded is not kept
            Path(name).replace(file)
        finally:
            Path(name).unlink(missing_ok=True)
    return file


def processor() -> bytes:
    """Return a description in which processors that cannot run each other's code differ."""
    kinds = [platform.machine(), platform.system()]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        wanted = ("model name", "flags", "Features", "CPU part")
        lines = {line for line in cpuinfo.read_text().splitlines() if line.startswith(wanted)}
        kinds += sorted(lines)
    return "\n".join(kinds).encode()
