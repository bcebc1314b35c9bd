"""Retries of operations that fail with a transient error, with growing and jittered pauses, up to a time limit."""

import errno
import queue
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds of the first pause and of the longest, before jitter."""

TRANSIENT_ERRNOS = {errno.EBUSY, errno.EIO, errno.EREMOTEIO}
"""Error numbers under which s3fs reports S3's SlowDown, InternalError and the answers of a gateway without a server."""

TRANSIENT_CLASSES = {
    "aiohttp.client_exceptions.ClientError",
    "botocore.exceptions.ConnectionError",
    "botocore.exceptions.HTTPClientError",
    "botocore.parsers.ResponseParserError",
    "http.client.HTTPException",
}
"""Errors of requests that got no answer, or a broken one; by name, since a bare machine lacks these libraries."""


def retry_while_transient(operation: Callable[[], T], seconds: float | int) -> T:
    """Return ``operation()``, retrying transient failures for up to `seconds`.

    Pause i is drawn from ½..1 times min(FIRST_PAUSE·2^i, LONGEST_PAUSE). The last attempt begins when the time is
    over; its error is raised as it is. Errors that are not transient are raised at once.
    """
    end = time.monotonic() + seconds
    pause = FIRST_PAUSE
    while True:
        try:
            return operation()
        except Exception as error:
            left = end - time.monotonic()
            if left <= 0 or not is_transient(error):
                raise
        time.sleep(min(pause * random.uniform(0.5, 1), left))  # noqa: S311 - no secret
        pause = min(2 * pause, LONGEST_PAUSE)


def run_within(operation: Callable[[], T], seconds: float | int) -> T:
    """Return ``operation()``; raise TimeoutError if it takes longer, and leave its thread running.

    Used for uploads only: s3fs gives up on a server that sends nothing, but waits forever for one that accepts nothing.
    """
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((operation(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, name="upload", daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"the server accepted nothing for {seconds:.0f} s") from None
    if error is not None:
        raise error
    return cast(T, answer)


def is_transient(error: BaseException) -> bool:
    """Return whether the same operation can succeed later: the server is busy, restarting or out of reach.

    False where the server refused (keys, permissions, a missing bucket) and where the disk is full: waiting does not
    help then.
    """
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in TRANSIENT_ERRNOS:
        return True
    return any(f"{cls.__module__}.{cls.__qualname__}" in TRANSIENT_CLASSES for cls in type(error).__mro__)
