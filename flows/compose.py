"""From the command line's overrides to validated objects: Hydra composes, pydantic checks."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, ValidationError

from modeldiff_core.errors import ConfigError
from modeldiff_core.store import StoreSettings
from modeldiff_core.study import StudyConfig, parse_study
from modeldiff_core.study.config import Settings, config_error


class RunnerConfig(Settings):
    """How shards are run on one machine: worker processes and devices, never what they compute."""

    kind: Literal["local"] = "local"
    workers: int | None = Field(None, ge=1, description="CPU worker processes; all cores if not given")
    devices: tuple[str, ...] = Field(("cpu",), min_length=1)
    stack: int = Field(50, ge=1, description="most models trained in one launch")

    def slots(self) -> tuple[str, ...]:
        """The device of each slot: as many CPU slots as workers, else one a device."""
        if self.devices == ("cpu",):
            return ("cpu",) * (self.workers or os.cpu_count() or 1)
        return self.devices


@dataclass(frozen=True)
class Request:
    """A command's configuration: what is to be known, where it is kept, and how it is run."""

    study: StudyConfig
    store: StoreSettings
    runner: RunnerConfig


def request(overrides: Sequence[str]) -> Request:
    """Compose and validate; raises ConfigError for anything that is wrong with the overrides."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("conf", version_base="1.3"):
            composed = compose("config", overrides=list(overrides))
        content = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file or "").rpartition("/")
        raise ConfigError(
            group or "overrides", f"one of {', '.join(sorted(error.options or []))}", name, "See modeldiff --help"
        ) from error
    except (ConfigCompositionException, OmegaConfBaseException, HydraException) as error:
        key = next((o.split("=")[0] for o in overrides if o.split("=")[0].strip("+~") in str(error)), "overrides")
        raise ConfigError(
            key, "overrides that Hydra can compose", list(overrides), str(error).split("\n")[0]
        ) from error
    assert isinstance(composed, DictConfig)
    assert isinstance(content, dict)
    return parse_request({str(key): value for key, value in content.items()})


def parse_request(content: dict[str, Any]) -> Request:
    """Split a composed configuration into study, store and runner, each validated."""
    store, runner = content.pop("store"), content.pop("runner")
    tests = content.pop("transformations", None) or {}
    content["transformations"] = [{"name": name, **settings} for name, settings in tests.items() if settings]
    study = parse_study(content)
    try:
        settings = StoreSettings(**store)
    except TypeError as error:
        raise ConfigError("store", "root, endpoint, region, profile", store) from error
    try:
        return Request(study, settings, RunnerConfig.model_validate(runner))
    except ValidationError as error:
        raise config_error(error, prefix="runner.") from error
