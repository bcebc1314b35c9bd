"""Lets a caller watch long readings; the library itself prints nothing."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Watcher = Callable[[str, int, int], None]
"""Is called with what is being done, how many are done, and how many there are."""

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of every item that ``counted`` passes on inside the block."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def counted(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield the items as they are, each reported once it has been dealt with."""
    watcher = _watcher.get()
    for done, item in enumerate(items, 1):
        yield item
        if watcher is not None:
            watcher(what, done, total)
