"""Stages that only take time; a worker process that is sent one imports nothing else for it."""

import os
import time
from pathlib import Path
from typing import Any


def napping(execution: dict[str, Any]) -> dict[str, Any]:
    """Sleep for half a second; returns the process, the device and when it began and ended."""
    began = time.time()
    time.sleep(0.5)
    return {"process": os.getpid(), "device": execution["device"], "began": began, "ended": time.time()}


def hanging(seconds: float) -> dict[str, Any]:
    """Keep a process busy for so many seconds; returns the process."""
    ended = time.monotonic() + seconds
    while time.monotonic() < ended:
        time.sleep(0.01)
    return {"process": os.getpid()}


def marked_and_hanging(place: str) -> dict[str, Any]:
    """Leave an empty file at a place, then hang for 100 seconds."""
    Path(place).touch()
    return hanging(100.0)


def nap(index: int, seconds: float, folder: str, once: int, always: tuple[int, ...]) -> dict[str, Any]:
    """Sleep; every `once`-th index fails at its first attempt, those in `always` while their file is there."""
    began = time.time()
    attempts = Path(folder) / f"{index}.attempts"
    if once and index % once == 0 and not attempts.exists():
        attempts.touch()
        raise OSError(f"shard {index} fails once")
    if index in always and (Path(folder) / f"{index}.broken").exists():
        raise OSError(f"shard {index} is broken")
    time.sleep(seconds)
    return {"began": began, "ended": time.time()}
