"""The Ray runner: a cluster at an address, or one on this machine."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from modeldiff_core.store import StoreSettings
from modeldiff_platform.flows.request import RunnerConfig
from modeldiff_platform.flows.runners.cluster import (
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

HEAD = "a Ray cluster that answers: auto, host:6379 or ray://host:10001"
NICENESS = "RAY_worker_niceness"
"""Ray's workers are 15 nicer than its nodes by default: where a machine has other work they hardly get on.

Ray reads it where a node starts and again in each worker, so a flow can say it of its own workers on any cluster.
"""


def share_of_gpu(gpus: float) -> AbstractContextManager[Any]:
    """Tasks submitted within it take so much of a GPU, beside one CPU."""
    from prefect_ray.context import remote_options  # type: ignore[import-untyped]

    share: AbstractContextManager[Any] = remote_options(num_gpus=gpus)
    return share


@contextmanager
def open_ray(runner: RunnerConfig, store: StoreSettings) -> Iterator[Runner]:
    """Yield a connection to the cluster, one of whose workers has been asked whether it can do its work."""
    ray, prefect_ray = installed("ray", "ray"), installed("prefect_ray", "ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    common: dict[str, Any] = {
        "namespace": "prefect",
        "log_to_driver": False,
        "logging_level": "error",
        "runtime_env": {"env_vars": {NICENESS: os.environ.get(NICENESS, "0")}},
    }
    if runner.address is None:
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
        asked = ray.remote(check_worker).options(num_gpus=runner.shard_gpus).remote(**questions(runner, store))
        try:
            check_workers({"of Ray": ray.get(asked)})
        except ray.exceptions.RayError as error:
            raise not_installed(runner, error) from error
        shares = has.get("GPU", 0) / runner.shard_gpus if runner.shard_gpus else has["CPU"]
        with prefect_ray.RayTaskRunner() as tasks:
            yield ClusterRunner(tasks, int(min(shares, has["CPU"])), runner.shard_gpus, share_of_gpu)
    finally:
        ray.shutdown()
