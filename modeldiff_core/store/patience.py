"""Riding out faults that pass: an operation is repeated with growing, jittered pauses until its time is over."""

import errno
import queue
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")

FIRST, LONGEST = 0.2, 10.0
"""Seconds of the first pause and of the longest, before jitter."""

BUSY = {errno.EBUSY, errno.EIO, errno.EREMOTEIO}
"""How S3's SlowDown, InternalError and the answers of a gateway without its server arrive from s3fs."""

LOST = {
    "aiohttp.client_exceptions.ClientError",
    "botocore.exceptions.ConnectionError",
    "botocore.exceptions.HTTPClientError",
    "botocore.parsers.ResponseParserError",
    "http.client.HTTPException",
}
"""Errors of requests that got no answer, or a broken one; by name, since a bare machine lacks these libraries."""


def outlast(operation: Callable[[], T], seconds: float | int) -> T:
    """What the operation gives; while it fails with an error that may pass, it is run again for so many seconds.

    Pause i is drawn from ½..1 times min(FIRST·2^i, LONGEST), and the last try begins when the time is over. Whatever
    that raises is raised.
    """
    end = time.monotonic() + seconds
    pause = FIRST
    while True:
        try:
            return operation()
        except Exception as error:
            left = end - time.monotonic()
            if left <= 0 or not may_pass(error):
                raise
        time.sleep(min(pause * random.uniform(0.5, 1), left))  # noqa: S311 - no secret
        pause = min(2 * pause, LONGEST)


def within(operation: Callable[[], T], seconds: float | int) -> T:
    """What the operation gives; raises TimeoutError if that takes longer, and leaves it to itself.

    For uploads alone: s3fs gives up on a server that sends nothing, but waits for ever for one that takes nothing.
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
        raise TimeoutError(f"the server took nothing for {seconds:.0f} s") from None
    if error is not None:
        raise error
    return cast(T, answer)


def may_pass(error: BaseException) -> bool:
    """Whether the same operation can succeed later: the server is busy, restarting or out of reach.

    Not where it refused (keys, rights, a missing bucket) nor where the disk is full: waiting does not mend those.
    """
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in BUSY:
        return True
    return any(f"{cls.__module__}.{cls.__qualname__}" in LOST for cls in type(error).__mro__)
