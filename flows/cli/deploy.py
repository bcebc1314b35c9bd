"""``modeldiff deploy``: an experiment as a deployment on a work pool: form, schedule, limits and notices."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from modeldiff_core.errors import ConfigError, ModelDiffError
from modeldiff_core.identity import plain
from modeldiff_core.settings import Settings, config_error
from modeldiff_platform.flows.cli.asked import asked_for
from modeldiff_platform.flows.cli.compose import composed
from modeldiff_platform.flows.prefect_api.configured import without_credentials
from modeldiff_platform.flows.prefect_api.recorded import ENVIRONMENT
from modeldiff_platform.flows.prefect_api.server import prefect_api
from modeldiff_platform.flows.request import Request
from modeldiff_platform.flows.resolve import experiment_of

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


MOST_RUNS = 2**31 - 1
"""What the database of Prefect's server can hold as a limit."""
YEAR = 366 * 24 * 3600.0
"""Seconds; a longer interval is taken for a mistake."""
PATHS = re.compile(r"(^|[._])(folder|paths?|checkpoints)$|^(points\.study\.)?table$")
"""Settings that name a file or folder of the machine that reads it, by their dotted keys."""
DATA = re.compile(r"(^|\.)dataset\.(?!kind$)\w+$")
"""Settings of a dataset, any of which that is the name of a file here is taken for one."""


class DeploymentSettings(Settings):
    """Where and when a deployed comparison runs; see conf/deployment/standard.yaml."""

    pool: str = Field(min_length=1)
    name: str | None = Field(None, pattern=r"^[^/%&><]+$")
    queue: str | None = Field(None, min_length=1)
    cron: str | None = None
    interval: Annotated[float, Field(ge=60, le=YEAR)] | None = None
    timezone: str = "UTC"
    tags: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    runs: Annotated[int, Field(ge=1, le=MOST_RUNS)] | None = None
    runs_a_gpu: Annotated[int, Field(ge=1, le=MOST_RUNS)] = 1

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str | None) -> str | None:
        from prefect.client.schemas.schedules import CronSchedule

        if cron is not None:
            try:
                CronSchedule(cron=cron)
            except ValidationError as error:
                raise ValueError('a cron expression such as "0 3 * * *"') from error
        return cron

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        from zoneinfo import available_timezones

        if timezone not in available_timezones():
            raise ValueError("a time zone such as Europe/Berlin")
        return timezone

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.cron is not None and self.interval is not None:
            raise ConfigError("deployment.interval", "no interval beside a cron schedule", self.interval)
        return self


@dataclass(frozen=True)
class Deployed:
    """What was asked to be deployed: an experiment, and how."""

    request: Request
    settings: DeploymentSettings

    @property
    def flow(self) -> str:
        """The name of the flow, which is that of the experiment."""
        return self.request.kind

    @property
    def name(self) -> str:
        """The name of the deployment."""
        return self.settings.name or str(self.request.study.name)

    def parameters(self) -> dict[str, Any]:
        """Return the flow's parameters as JSON; the store's root as a URL, since workers run in other folders."""
        asked = self.request
        return {
            "study": asked.study.model_dump(mode="json"),
            "store": plain(replace(asked.store, root=asked.store.url)),
            "runner": asked.runner.model_dump(mode="json"),
        }


def deploy(overrides: Sequence[str], notify: str | None = None) -> int:
    """Register it on a work pool, with what watches over its runs, and say how to start one."""
    asked = asked_deployment(overrides)
    if not os.environ.get("PREFECT_API_URL"):
        raise ConfigError(
            "PREFECT_API_URL",
            "the API of a Prefect server that keeps running",
            "nothing",
            "Start one (prefect server start, or docker/compose.yaml) and set the variable",
        )
    with prefect_api() as api:
        from prefect.client.orchestration import get_client

        from modeldiff_platform.flows.prefect_api.earlier import earlier_deployments
        from modeldiff_platform.flows.prefect_api.heartbeats import crash_when_silent, put_automation

        with get_client(sync_client=True) as client:
            check_pool(client, asked.settings, without_credentials(api.api_url))
            notices = _notices(client, notify)
            register(client, asked)
            for automation in (crash_when_silent(), *notices):
                put_automation(client, automation)
            earlier = earlier_deployments(client)
        print(f"{asked.flow}/{asked.name} is deployed on {asked.settings.pool}: {api.ui_url}/deployments")
    if earlier:
        print(f"Made by an earlier version, they start again when they are deployed again: {', '.join(earlier)}")
    print(f"Start a run:    prefect deployment run '{asked.flow}/{asked.name}'")
    print(f"Start a worker: prefect worker start --pool {asked.settings.pool}")
    return 0


def asked_deployment(overrides: Sequence[str]) -> Deployed:
    """Compose and validate; raises ConfigError for what no worker could carry out."""
    own = [override for override in overrides if override.split("=")[0].lstrip("+~").split(".")[0] == "deployment"]
    others = [override for override in overrides if override not in own]
    try:
        settings = DeploymentSettings.model_validate(composed(own, "+deployment=standard")["deployment"])
    except ValidationError as error:
        raise config_error(error, prefix="deployment.") from error
    asked = asked_for(others)
    if asked.store.url.startswith("memory://"):
        raise ConfigError("store.root", "a store that workers reach", asked.store.root)
    for key, value in _texts(asked.study.model_dump(mode="json")):
        _check_path(key, value)
    return Deployed(asked, settings)


def check_pool(client: "SyncPrefectClient", settings: DeploymentSettings, api_url: str) -> None:
    """Raises ConfigError if the server has no such work pool or queue; deployments are taken without either."""
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(settings.pool)
    except ObjectNotFound:
        pools = ", ".join(sorted(pool.name for pool in client.read_work_pools())) or "none yet"
        raise ConfigError(
            "deployment.pool",
            f"a work pool of {api_url} ({pools})",
            settings.pool,
            f"Create it: prefect work-pool create --type process {settings.pool}",
        ) from None
    if settings.queue is None:
        return
    try:
        client.read_work_queue_by_name(settings.queue, work_pool_name=settings.pool)
    except ObjectNotFound:
        hint = f"Create it: prefect work-queue create --pool {settings.pool} {settings.queue}"
        raise ConfigError("deployment.queue", f"a queue of {settings.pool}", settings.queue, hint) from None


def register(client: "SyncPrefectClient", asked: Deployed) -> None:
    """Create the deployment, or renew the one of its name, and the limits of the GPUs that it names."""
    from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
    from prefect.schedules import Cron, Interval
    from prefect.types.entrypoint import EntrypointType

    from modeldiff_platform.flows.experiment import flow_of
    from modeldiff_platform.flows.runners.turns import gpu_limits
    from modeldiff_platform.tasks.policy import result_storage

    settings = asked.settings
    schedules = []
    if settings.cron is not None:
        schedules.append(Cron(settings.cron, timezone=settings.timezone))
    if settings.interval is not None:
        schedules.append(Interval(settings.interval))
    block = result_storage(asked.request.store)
    environment = {
        **ENVIRONMENT,
        "PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": f"{block.get_block_type_slug()}/{block._block_document_name}",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    }
    experiment = experiment_of(asked.request)
    deployment = RunnerDeployment.from_flow(
        flow_of(asked.flow),
        name=asked.name,
        entrypoint_type=EntrypointType.MODULE_PATH,
        parameters=asked.parameters(),
        enforce_parameter_schema=True,
        description=f"{asked.flow} {asked.request.study.name}",
        tags=[*experiment.tags, *settings.tags],
        schedules=schedules,
        concurrency_limit=settings.runs,
        work_pool_name=settings.pool,
        work_queue_name=settings.queue,
        job_variables={"env": environment},
    )
    try:
        deployment.apply()
    except DeploymentApplyError as error:
        raise ModelDiffError(f"{asked.name} could not be deployed on {settings.pool}: {error}") from error
    for name in gpu_limits(settings.pool, asked.request.runner.devices):
        client.upsert_global_concurrency_limit_by_name(name, settings.runs_a_gpu)


def _notices(client: "SyncPrefectClient", block: str | None) -> Sequence[Any]:
    if block is None:
        return ()
    from modeldiff_platform.flows.prefect_api.notices import notices

    return notices(client, block)


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting of a study of plain values that is text, with its dotted key without numbers of lists."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
    elif isinstance(value, str):
        yield key, value


def _check_path(key: str, value: str) -> None:
    """Raise ConfigError for a place that is not the same on every machine that a worker may run on."""
    if not value or "://" in value or value.startswith("~") or Path(value).is_absolute():
        return
    if PATHS.search(key) or (DATA.search(key) and Path(value).exists()):
        raise ConfigError(key, "an absolute path, since workers run in other folders", value)
