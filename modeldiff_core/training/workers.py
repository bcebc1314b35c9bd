"""Start of a worker process: one computing thread, and an end when its parent process ends."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def begin_worker(parent: int) -> None:
    """Compute on one thread, and end this process once the process `parent`, which started it, has ended."""
    one_thread()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def one_thread() -> None:
    """Compute on one thread from here on: the number of threads decides the order of summation, so the bits."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Compute on one thread until the block ends, as workers do, so that the bits are theirs."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
