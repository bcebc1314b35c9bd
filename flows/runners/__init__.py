"""Where tasks run: slots of this machine, a Dask cluster or a Ray cluster, behind one interface."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from flows.request import RunnerConfig
from flows.runners.backpressure import PacedRunner
from flows.runners.dask import open_dask
from flows.runners.local import open_local
from flows.runners.ray import open_ray
from flows.runners.runner import Call, Runner
from modeldiff_core.store import StoreSettings

OPENERS: dict[str, Callable[[RunnerConfig, StoreSettings], AbstractContextManager[Runner]]] = {
    "local": open_local,
    "dask": open_dask,
    "ray": open_ray,
}

__all__ = ["Call", "Runner", "open_runner"]


@contextmanager
def open_runner(runner: RunnerConfig, store: StoreSettings) -> Iterator[Runner]:
    """Yield the runner that is asked for, open until the block ends, and no faster than Prefect's server records its
    runs.

    Raises ConfigError at once if a cluster does not answer, lacks what a shard needs, or cannot reach the store.
    """
    with OPENERS[runner.kind](runner, store) as opened:
        yield PacedRunner(opened)
