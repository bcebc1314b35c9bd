"""Where tasks run: slots of this machine, a Dask cluster or a Ray cluster, behind one interface."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from modeldiff_core.store import StoreSettings
from modeldiff_platform.flows.request import RunnerConfig
from modeldiff_platform.flows.runners.backpressure import PacedRunner
from modeldiff_platform.flows.runners.dask import open_dask
from modeldiff_platform.flows.runners.local import open_local
from modeldiff_platform.flows.runners.ray import open_ray
from modeldiff_platform.flows.runners.runner import Call, Runner

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
