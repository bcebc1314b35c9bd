"""The devices of a machine: their availability, memory and fast arithmetic."""

import ctypes
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

import torch

from modeldiff_core.errors import ConfigError

KEY = "runner.devices"

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's settings in malloc.h."""


def available_device(name: str) -> torch.device:
    """Return the device of that name; raise ConfigError if this machine lacks it or cannot compute on it."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(KEY, "a torch device such as cpu or cuda:0", name) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(KEY, f"cpu, or one of the {torch.cuda.device_count()} CUDA devices of this machine", name)
    if device.type not in ("cpu", "cuda"):
        try:
            torch.ones(1, device=device).item()
        except Exception as error:
            raise ConfigError(KEY, "a torch device of this machine", name, str(error).split("\n")[0]) from error
    return device


def out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed; on a CPU and in GPU libraries that is an ordinary RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes so far: of tensors on a CUDA device, or of this process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """Run float32 matrix products of a CPU in oneDNN, where that is as exact, and keep freed memory for reuse.

    MKL, torch's default, uses half the width of an AMD processor's registers. torch reaches oneDNN's float32 products
    only by allowing bfloat16 in them, which oneDNN uses where there are matrix units for it (AMX), and not elsewhere.
    """
    if device.type != "cpu":
        yield
        return
    keep_freed_memory()
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    if _onednn_is_exact():
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


@lru_cache(maxsize=1)
def _onednn_is_exact() -> bool:
    """Return whether a product that may use bfloat16 has the error of float32 (10⁻⁷; bfloat16's would be 10⁻³)."""
    if not torch.backends.mkldnn.is_available():
        return False
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    a, b = (torch.linspace(-1, 1, 2**16, dtype=torch.float64).sin_().reshape(4, 128, 128).float() for _ in range(2))
    matmul.fp32_precision = "bf16"
    try:
        product = torch.bmm(a, b)
    finally:
        matmul.fp32_precision = before
    exact = torch.bmm(a.double(), b.double())
    return bool((product - exact).abs().max() < 1e-5 * exact.abs().max())


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Make glibc's malloc keep freed memory: pages returned by the system are zeroed again in every step."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the largest value that it accepts
