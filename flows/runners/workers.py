"""Task runs on the workers of a cluster, whichever kind it is of."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from prefect.futures import PrefectFuture

from modeldiff_platform.flows.runners.runner import Call


@dataclass(frozen=True)
class ClusterRunner:
    """Hands task runs to the task runner of a cluster; those that compute on a GPU take their share of one.

    share: what a share of a GPU is called there, as a context of the submission.
    """

    tasks: Any
    places: int
    shard_gpus: float
    share: Callable[[float], AbstractContextManager[Any]]

    def submit(self, call: Call) -> PrefectFuture[Any]:
        with self.share(self.shard_gpus) if call.on_device and self.shard_gpus else nullcontext():
            future: PrefectFuture[Any] = self.tasks.submit(call.task, call.arguments)
        return future

    def widen(self, processes: int) -> None:
        """Do nothing: a worker of a cluster is one process."""
