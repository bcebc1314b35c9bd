"""The number of computing threads: it decides the order of summation, so the bits."""

from collections.abc import Iterator
from contextlib import contextmanager


def one_thread() -> None:
    """Compute on one thread from here on."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Compute on one thread until the block ends; then on as many as before."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
