"""What must hold of any cluster before tasks are sent to it."""

import importlib
import platform
import socket
from collections.abc import Mapping
from dataclasses import asdict
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from prefect.settings import get_current_settings

from modeldiff_core.errors import ConfigError
from modeldiff_core.store import StoreSettings
from modeldiff_platform.flows.prefect_api.configured import without_credentials
from modeldiff_platform.flows.request import RunnerConfig

CONNECT_TIMEOUT = 5.0  # seconds


def installed(module: str, kind: str) -> ModuleType:
    """Return the module of a kind of cluster; raises ConfigError that names the extra which brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f"{error}. Run: pip install 'modeldiff-platform[{kind}]'"
        raise ConfigError("runner.kind", "local, or a kind that is installed", kind, hint) from error


def check_address(address: str, how: str) -> None:
    """Raise ConfigError unless something listens at the host and port of an address such as tcp://host:8786."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        if not parts.hostname or not parts.port:
            raise ValueError("it names no host and port")
        socket.create_connection((parts.hostname, parts.port), CONNECT_TIMEOUT).close()
    except (OSError, ValueError) as error:
        raise unreachable(address, error, how) from error


def unreachable(address: str, cause: Exception, how: str) -> ConfigError:
    """Return the error of an address that does not answer as that kind of cluster would."""
    return ConfigError("runner.address", how, address, f"{type(cause).__name__}: {cause}")


def not_installed(runner: RunnerConfig, cause: Exception) -> ConfigError:
    """Return the error of a worker that could not even be asked."""
    last = str(cause).strip().split("\n")[-1]
    return ConfigError("runner.address", "workers on which modeldiff is installed", runner.address, last)


def check_gpus(runner: RunnerConfig, offered: float, remedy: str) -> None:
    """Raise ConfigError if no worker has the GPU that a shard takes: its tasks would wait forever."""
    if runner.shard_gpus > offered:
        raise ConfigError(
            "runner.shard_gpus", f"at most the {offered:g} GPUs that a worker offers", runner.shard_gpus, remedy
        )


def questions(runner: RunnerConfig, store: StoreSettings) -> dict[str, Any]:
    """Return the arguments of `worker_check.check_worker`."""
    return {
        "store": asdict(store),
        "api": without_credentials(get_current_settings().api.url or ""),
        "gpu": bool(runner.shard_gpus),
    }


def check_workers(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ConfigError for the first worker that cannot do its work; `found` has each one's `check_worker` result."""
    for worker, facts in found.items():
        if facts["python"] != platform.python_version_tuple()[:2]:
            versions = ".".join(facts["python"]), ".".join(platform.python_version_tuple()[:2])
            raise ConfigError("runner.address", f"workers with Python {versions[1]}", f"{worker} with {versions[0]}")
        for key, expected, got, cause in facts["problems"]:
            raise ConfigError(key, expected, got, f"On worker {worker}: {cause}")
