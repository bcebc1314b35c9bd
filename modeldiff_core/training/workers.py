"""Start of a worker process: one computing thread, and an end when its parent process ends."""

import os
import threading
import time

from modeldiff_core.threads import one_thread


def begin_worker(parent: int) -> None:
    """Compute on one thread, and end this process once the process `parent`, which started it, has ended."""
    one_thread()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
