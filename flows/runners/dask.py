"""The Dask runner: a cluster at an address, or one of worker processes on this machine."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from modeldiff_core.errors import ConfigError
from modeldiff_core.store import StoreSettings
from modeldiff_platform.flows.request import RunnerConfig
from modeldiff_platform.flows.runners.cluster import (
    CONNECT_TIMEOUT,
    check_address,
    check_gpus,
    check_workers,
    installed,
    not_installed,
    questions,
    unreachable,
)
from modeldiff_platform.flows.runners.runner import Runner
from modeldiff_platform.flows.runners.worker_check import check_worker
from modeldiff_platform.flows.runners.workers import ClusterRunner

SCHEDULER = "a Dask scheduler that answers, such as tcp://host:8786"
GPU = "GPU"
"""The resource that a worker with a GPU offers, as Dask's own pages call it."""
OURS = {"distributed.scheduler.no-workers-timeout": "120s"}
"""Of a cluster that is started here: by default Dask waits forever for workers that are never started."""


def share_of_gpu(gpus: float) -> AbstractContextManager[Any]:
    """Tasks submitted within it take so much of a worker's resource."""
    from dask.base import annotate

    share: AbstractContextManager[Any] = annotate(resources={GPU: gpus})
    return share


@contextmanager
def open_dask(runner: RunnerConfig, store: StoreSettings) -> Iterator[Runner]:
    """Yield a client of the cluster, whose workers have been asked whether they can do their work."""
    prefect_dask = installed("prefect_dask", "dask")
    from dask import config

    with ExitStack() as stack:
        if runner.address is None:
            stack.enter_context(config.set(OURS))
            address = stack.enter_context(_started_here(runner)).scheduler_address
        else:
            address = runner.address
            check_address(address, SCHEDULER)
        tasks = stack.enter_context(
            prefect_dask.DaskTaskRunner(address=address, client_kwargs={"timeout": CONNECT_TIMEOUT})
        )
        try:
            client = tasks.client
        except OSError as error:
            raise unreachable(address, error, SCHEDULER) from error
        yield ClusterRunner(tasks, _places(client, runner, store), runner.shard_gpus, share_of_gpu)


def _started_here(runner: RunnerConfig) -> Any:
    """Return a cluster of one-threaded worker processes; with GPUs each sees its own, or its share of one."""
    from distributed import Nanny, Scheduler, SpecCluster

    if runner.shard_gpus:
        import torch

        shares = int(1 / runner.shard_gpus)
        most = torch.cuda.device_count() * shares
        if (runner.workers or 1) > most:
            raise ConfigError("runner.shard_gpus", f"shares of the {most // shares} GPUs here", runner.shard_gpus)
        specific = [
            {"resources": {GPU: runner.shard_gpus}, "env": {"CUDA_VISIBLE_DEVICES": str(worker // shares)}}
            for worker in range(runner.workers or most)
        ]
    else:
        specific = [{}] * (runner.workers or os.cpu_count() or 1)
    # Without a limit of memory: a nanny would kill a worker for what one large matrix takes.
    common = {"nthreads": 1, "memory_limit": 0, "dashboard": False, "host": "127.0.0.1", "silence_logs": "ERROR"}
    return SpecCluster(  # type: ignore[no-untyped-call]
        scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}},
        workers={i: {"cls": Nanny, "options": {**common, **own}} for i, own in enumerate(specific)},
        silence_logs="ERROR",
    )


def _places(client: Any, runner: RunnerConfig, store: StoreSettings) -> int:
    """Return how many shards work at the same time, once there are as many workers as the cluster may grow to.

    Raises ConfigError if the workers that there are cannot do their work.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise ConfigError("runner.address", "a Dask cluster with workers", runner.address, "Start: dask worker ADDRESS")
    for name, facts in workers.items():
        if facts["nthreads"] != 1:
            hint = "Threads of one process would share torch's settings. Start it with --nthreads 1 --nworkers N."
            raise ConfigError("runner.address", "workers of one thread each", f"{name} of {facts['nthreads']}", hint)
    offered = [facts["resources"].get(GPU, 0) for facts in workers.values()]
    check_gpus(runner, max(offered), "Start workers with: dask worker ADDRESS --nthreads 1 --resources GPU=1")
    try:
        check_workers(client.run(check_worker, **questions(runner, store)))
    except ModuleNotFoundError as error:
        raise not_installed(runner, error) from error
    if runner.shard_gpus:
        to_come = [1] * ((runner.workers or 0) - len(workers))
        return sum(int(gpus / runner.shard_gpus) for gpus in [*offered, *to_come])
    return max(len(workers), runner.workers or 0)
