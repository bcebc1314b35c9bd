"""A request as every flow takes it: the study, the store, and how its shards are run."""

import os
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from modeldiff_core.settings import Settings
from modeldiff_core.store import StoreSettings
from modeldiff_core.training.tuning import PROCESSES


class RunnerConfig(Settings):
    """How shards are run: worker processes and devices of this machine or of a cluster, never what they compute."""

    kind: Literal["local", "dask", "ray"] = "local"
    address: str | None = Field(None, description="of a running cluster; if not given, one is started on this machine")
    workers: int | None = Field(
        None,
        ge=1,
        description="worker processes on this machine, one a core or a GPU share if not given; "
        "of a Dask cluster at an address: how many it may grow to",
    )
    shard_gpus: float = Field(
        0, ge=0, le=1, description="on a cluster: the GPU that a shard takes, or the part of one that several share"
    )
    shard_timeout_s: float = Field(6 * 3600, gt=0, description="seconds that a shard may take on its worker")
    max_hours: float | None = Field(
        None,
        gt=0,
        description="most hours that a run may be predicted to take; longer ones are refused before they begin",
    )
    max_shards: int = Field(10_000, ge=1, description="most shards that one run submits; more are refused")
    devices: tuple[str, ...] = Field(("cpu",), min_length=1)
    processes_a_device: int | None = Field(
        None, ge=1, description="worker processes on each GPU; if not given 1, or with `tune` the fastest of 1, 2 and 4"
    )
    stack: int = Field(50, ge=1, description="most models trained in one launch")
    native: bool = Field(True, description="train small networks on CPUs in compiled code, where there is a C compiler")
    tune: bool = Field(
        False, description="measure how to train before training, and keep what was fastest in the store"
    )
    accept_code: bool = Field(
        False, description="keep results that an algorithm or transformation of a user's own computed with other code"
    )
    resident_share: float = Field(0.5, gt=0, le=1, description="share of a device's memory that images may take")
    ffcv_workers: int = Field(1, ge=1, description="threads that read images beyond that share")

    def execution(self) -> dict[str, Any]:
        """Settings of an Execution: on a cluster with the one device that a worker sees, in slots without."""
        device = {} if self.kind == "local" else {"device": "cuda:0" if self.shard_gpus else "cpu"}
        return {
            **device,
            "stack": self.stack,
            "native": self.native,
            "tuned": self.tune,
            "resident_share": self.resident_share,
            "ffcv_workers": self.ffcv_workers,
            "processes": self.processes,
        }

    @property
    def processes(self) -> tuple[int, ...]:
        """Numbers of processes on one device that a measurement tries: several only on GPUs, and only if it may."""
        if self.kind != "local" or "cpu" in self.devices:
            return (1,)
        if self.processes_a_device is not None:
            return (self.processes_a_device,)
        return PROCESSES if self.tune else (1,)

    @property
    def places(self) -> tuple[str, ...]:
        """What works at the same time here: every CPU worker, or every device, however many processes it has.

        Of a cluster elsewhere, whose workers only it can count, one.
        """
        if self.devices == ("cpu",):
            device = "cuda:0" if self.shard_gpus else "cpu"
            elsewhere = self.address is not None
            return (device,) * (self.workers or (1 if elsewhere or self.shard_gpus else os.cpu_count()) or 1)
        return self.devices

    def slots(self, processes: int | None = None) -> tuple[str, ...]:
        """Return the device of each slot, with this many in each place: before it is measured, what is given, or 1."""
        return self.places * (processes or min(self.processes))

    @field_validator("devices")
    @classmethod
    def _differ(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(devices)) < len(devices):
            raise ValueError("distinct devices (runner.workers and runner.processes_a_device give one several)")
        return devices

    @field_validator("address", "shard_gpus")
    @classmethod
    def _of_clusters(cls, given: Any, about: ValidationInfo) -> Any:
        if given and about.data.get("kind") == "local":
            raise ValueError("no value except with runner=dask or runner=ray")
        return given

    @field_validator("devices", "processes_a_device")
    @classmethod
    def _of_this_machine(cls, given: Any, about: ValidationInfo) -> Any:
        if given not in (None, ("cpu",)) and about.data.get("kind") != "local":
            raise ValueError("no value except with runner=local; on a cluster runner.shard_gpus takes its place")
        return given

    @field_validator("workers")
    @classmethod
    def _of_clusters_that_grow(cls, workers: int | None, about: ValidationInfo) -> int | None:
        if workers is not None and about.data.get("address") and about.data.get("kind") != "dask":
            raise ValueError("none beside runner.address: that cluster has its own")
        return workers


@dataclass(frozen=True)
class Request:
    """A command's configuration: what is to be known, where it is kept, and how it is run.

    kind: the experiment. study: its validated settings.
    """

    kind: str
    study: Any
    store: StoreSettings
    runner: RunnerConfig
