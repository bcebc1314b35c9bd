"""Ctrl-C and SIGTERM: the first ends a command in order, the second at once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDED = 1
"""Exit code of a command that was interrupted."""
WORDS = "modeldiff: interrupted; the same command goes on where it stopped"
AT_ONCE = f"{WORDS}\n".encode()
LEFT = "ignore:resource_tracker"
"""Keeps the process that removes what a process left behind from telling so; processes that are started inherit it."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first interruption; at the second end the process there and then.

    Ending in order means waiting for threads that tell Prefect's server of their tasks, and a server that is busy may
    take its time. Who interrupts again does not want to wait, and nothing is lost: the store's objects are written in
    one step, worker processes end when this one does, and the private server marks the run as crashed. The process is
    left without any clean-up, so that no thread of Prefect ever runs in an environment that has been put back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    count = 0
    if LEFT not in sys.warnoptions:
        sys.warnoptions.append(LEFT)

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            os.write(2, AT_ONCE)
            os._exit(ENDED)
        raise KeyboardInterrupt

    before = {}
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == default:  # ignored, as under nohup or in a background job: it stays so
            before[number] = signal.signal(number, interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
