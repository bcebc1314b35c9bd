"""What the parameters of a deployed run may not choose: the cluster, whose peers run code in the flow's process, and
modules whose code a study imports by their paths.
"""

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.prefect_api.patience import patiently
from modeldiff_platform.flows.request import RunnerConfig

MODULES = "MODELDIFF_MODULES"
"""Environment variable of a worker: modules, separated by commas, that deployed runs may name by their import paths."""
NAMING = "train_function", "network"
"""Settings of a recipe that may hold an import path, ``module:name``."""


def check_modules(study: Any) -> None:
    """Raise ConfigError if a deployed run names a module that its worker does not allow.

    Who starts a command line could run its code anyway.
    """
    if not _is_deployed():
        return
    allowed = tuple(filter(None, (name.strip() for name in os.environ.get(MODULES, "").split(","))))
    for path in import_paths(study.model_dump(mode="json")):
        module = path.partition(":")[0]
        if not any(module == name or module.startswith(f"{name}.") for name in allowed):
            raise ConfigError(
                "recipe",
                f"modules that the worker allows ({', '.join(allowed) or 'none'})",
                path,
                f"Importing a module runs its code: set {MODULES} in the environment of the worker, who trusts it",
            )


def import_paths(content: Any) -> Iterator[str]:
    """Yield the import paths that settings name, wherever they occur."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in NAMING and isinstance(value, str) and ":" in value:
                yield value
            else:
                yield from import_paths(value)
    elif isinstance(content, list):
        for item in content:
            yield from import_paths(item)


def _is_deployed() -> bool:
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run is not None and run.deployment_id is not None


def check_cluster(runner: RunnerConfig) -> None:
    """Raise ConfigError if a deployed run asks for another cluster than its deployment, whose maker is trusted.

    A run of a command line may name any.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if runner.address is None or run is None or run.deployment_id is None:
        return
    with get_client(sync_client=True) as client:
        deployment = patiently(partial(client.read_deployment, run.deployment_id))
    own = (deployment.parameters.get("runner") or {}).get("address")
    if runner.address != own:
        raise ConfigError(
            "runner.address",
            f"the cluster of the deployment ({own or 'none'})",
            runner.address,
            "Its peers run code in this process: deploy the study with that address",
        )
