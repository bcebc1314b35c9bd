"""The Ray runner: a cluster at an address, or one on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from prefect.futures import PrefectFuture

from flows.compose import RunnerConfig
from flows.runners.cluster import (
    check_address,
    check_gpus,
    check_workers,
    installed,
    not_installed,
    questions,
    unreachable,
)
from flows.runners.runner import Call, Runner
from modeldiff_core.store import StoreSettings
from tasks.cluster import look

HEAD = "a Ray cluster that answers: auto, host:6379 or ray://host:10001"


class RayRunner:
    """Task runs as Ray tasks of one CPU; those on a GPU take their share of one."""

    def __init__(self, tasks: Any, places: int, shard_gpus: float) -> None:
        self.tasks, self._places, self.shard_gpus = tasks, places, shard_gpus

    @property
    def places(self) -> int:
        return self._places

    def submit(self, call: Call) -> PrefectFuture[Any]:
        from prefect_ray.context import remote_options  # type: ignore[import-untyped]

        with remote_options(num_gpus=self.shard_gpus) if call.on_device and self.shard_gpus else nullcontext():
            future: PrefectFuture[Any] = self.tasks.submit(call.task, call.arguments)
        return future

    def widen(self, processes: int) -> None:
        """A task is one process."""


@contextmanager
def open_ray(runner: RunnerConfig, store: StoreSettings) -> Iterator[Runner]:
    """A connection to the cluster, one of whose workers has been asked whether it can do its work."""
    ray, prefect_ray = installed("ray", "ray"), installed("prefect_ray", "ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    common: dict[str, Any] = {"namespace": "prefect", "log_to_driver": False, "logging_level": "error"}
    if runner.address is None:
        # Ray gives its workers the lowest share of a machine that has other work.
        os.environ.setdefault("RAY_worker_niceness", "0")
        cpus = runner.workers or os.cpu_count() or 1
        ray.init(num_cpus=cpus, include_dashboard=False, **common)
    else:
        if runner.address != "auto":
            check_address(runner.address, HEAD)
        try:
            ray.init(runner.address, **common)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise unreachable(runner.address, error, HEAD) from error
    try:
        has = ray.cluster_resources()
        check_gpus(runner, has.get("GPU", 0), "Ray counts them where a node starts: ray start --num-gpus N")
        asked = ray.remote(look).options(num_gpus=runner.shard_gpus).remote(**questions(runner, store))
        try:
            check_workers({"of Ray": ray.get(asked)})
        except ray.exceptions.RayError as error:
            raise not_installed(runner, error) from error
        shares = has.get("GPU", 0) / runner.shard_gpus if runner.shard_gpus else has["CPU"]
        with prefect_ray.RayTaskRunner() as tasks:
            yield RayRunner(tasks, int(min(shares, has["CPU"])), runner.shard_gpus)
    finally:
        ray.shutdown()
