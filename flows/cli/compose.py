"""From the command line's overrides to validated objects: Hydra composes, pydantic checks."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from modeldiff_core.errors import ConfigError
from modeldiff_core.store import StoreSettings
from modeldiff_core.study import StudyConfig, parse_study
from modeldiff_core.study.config import Settings, config_error
from modeldiff_core.training.probe import PROCESSES


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
        """The device of each slot, with so many a place: before it is measured, what is given, or 1."""
        return self.places * (processes or min(self.processes))

    @field_validator("devices")
    @classmethod
    def _differ(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(devices)) < len(devices):
            raise ValueError("devices that differ (runner.workers and runner.processes_a_device give one several)")
        return devices

    @field_validator("address", "shard_gpus")
    @classmethod
    def _of_clusters(cls, given: Any, about: ValidationInfo) -> Any:
        if given and about.data.get("kind") == "local":
            raise ValueError("it with runner=dask or runner=ray only")
        return given

    @field_validator("devices", "processes_a_device")
    @classmethod
    def _of_this_machine(cls, given: Any, about: ValidationInfo) -> Any:
        if given not in (None, ("cpu",)) and about.data.get("kind") != "local":
            raise ValueError("it with runner=local only; on a cluster runner.shard_gpus takes its place")
        return given

    @field_validator("workers")
    @classmethod
    def _of_clusters_that_grow(cls, workers: int | None, about: ValidationInfo) -> int | None:
        if workers is not None and about.data.get("address") and about.data.get("kind") != "dask":
            raise ValueError("none beside runner.address: that cluster has its own")
        return workers


@dataclass(frozen=True)
class Request:
    """A command's configuration: what is to be known, where it is kept, and how it is run."""

    study: StudyConfig
    store: StoreSettings
    runner: RunnerConfig


def request(overrides: Sequence[str]) -> Request:
    """Compose and validate; raises ConfigError for anything that is wrong with the overrides.

    ``study=<path>.json`` takes a whole study as a report or a store keeps it; only store and runner are then composed.
    """
    found = study_file(overrides)
    if found is None:
        return parse_request(composed(overrides))
    study, others = found
    around = parse_request(composed(others))
    return Request(parse_study(study), around.store, around.runner)


def study_file(overrides: Sequence[str]) -> tuple[Any, list[str]] | None:
    """The study in the file that ``study=<path>.json`` names, and the other overrides; None if there is no such one.

    Raises ConfigError for a file that holds none, and for overrides of anything but store and runner beside it.
    """
    files = [o.removeprefix("study=") for o in overrides if o.startswith("study=") and o.endswith(".json")]
    if not files:
        return None
    name, others = files[-1], [override for override in overrides if not override.startswith("study=")]
    own = [o for o in others if o.split("=")[0].lstrip("+~").split(".")[0] not in ("store", "runner")]
    if own:
        raise ConfigError(own[0].split("=")[0], f"only settings of store and runner beside study={name}", own[0])
    try:
        content = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError("study", "a file that holds a study as JSON", name, str(error)) from error
    # study.json of a store stands for the study and says where its results are
    return content["study"] if isinstance(content, dict) and isinstance(content.get("study"), dict) else content, others


def composed(overrides: Sequence[str], *groups: str, root: str = "config") -> dict[str, Any]:
    """The configuration of a root file as plain values; `groups` are appended to it, as in ``+data=build``.

    Raises ConfigError that names the key of an override that does not fit, or of a value that is still to be given.
    """
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("conf", version_base="1.3"):
            configuration = compose(root, overrides=[*overrides, *groups])
        content = OmegaConf.to_container(configuration, resolve=True, throw_on_missing=True)
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file or "").rpartition("/")
        raise ConfigError(
            group or "overrides", f"one of {', '.join(sorted(error.options or []))}", name, "See modeldiff --help"
        ) from error
    except MissingMandatoryValue as error:
        key = error.full_key or "overrides"
        raise ConfigError(key, "a value", "???", f"It has no default: add {key}=... to the command") from error
    except (ConfigCompositionException, OmegaConfBaseException, HydraException) as error:
        said = str(error).split("\n")[0]
        key = next((o.split("=")[0] for o in overrides if o.split("=")[0].strip("+~") in str(error)), "") or "overrides"
        unknown = f"Could not override '{key}'"
        if said.startswith(unknown):
            wanted = next(o.partition("=")[2] for o in overrides if o.split("=")[0] == key)
            hint = f"A setting that the configuration leaves to its default is added with +{key}=..."
            raise ConfigError(key, "a key of the configuration", wanted, hint) from error
        raise ConfigError(key, "overrides of the form KEY=VALUE, as Hydra reads them", list(overrides), said) from error
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def parse_request(content: dict[str, Any]) -> Request:
    """Split a composed configuration into study, store and runner, each validated."""
    store, runner = content.pop("store"), content.pop("runner")
    tests = content.pop("transformations", None) or {}
    content["transformations"] = [{"name": name, **settings} for name, settings in tests.items() if settings]
    study, settings = parse_study(content), parse_store(store)
    try:
        return Request(study, settings, RunnerConfig.model_validate(runner))
    except ValidationError as error:
        raise config_error(error, prefix="runner.") from error


def parse_store(content: dict[str, Any]) -> StoreSettings:
    """The store's part of a composed configuration."""
    if not isinstance(content.get("root", ""), str):
        raise ConfigError("store.root", "a folder or an fsspec URL", content["root"])
    for name in ("endpoint", "region", "profile"):
        if not isinstance(content.get(name) or "", str):
            raise ConfigError(f"store.{name}", "text, or null", content[name])
    try:
        return StoreSettings(**content)
    except TypeError as error:
        raise ConfigError("store", "root, endpoint, region, profile, retry_seconds", content) from error
