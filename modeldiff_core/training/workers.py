"""How a worker process begins: with one thread of its own, and an end when its parent is gone."""

import os
import threading
import time


def begin_worker(parent: int) -> None:
    """Compute on one thread, and end this process once `parent`, the process that started it, has ended."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
