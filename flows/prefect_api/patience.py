"""What is asked of Prefect's server outlasts a restart of it: the store holds the truth, the server only shows it."""

import time
from collections.abc import Callable
from typing import TypeVar

from httpx import TransportError

T = TypeVar("T")

PATIENCE = 240.0
"""Seconds that a server which cannot be reached is waited for."""
EVERY = 2.0
"""Seconds between two attempts."""


def patiently(ask: Callable[[], T]) -> T:
    """Return what `ask` gives, asked again while the server cannot be reached; raises TransportError after PATIENCE
    seconds.

    Prefect's clients try again by themselves only if they have reached the server once, and artifacts use new ones.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except TransportError:
            if time.monotonic() + EVERY > deadline:
                raise
            time.sleep(EVERY)
