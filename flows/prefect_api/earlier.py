"""Deployments that an earlier version registered, whose entry points name packages that are called otherwise now."""

from typing import TYPE_CHECKING

from modeldiff_core.errors import ConfigError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

BEFORE = "flows."
"""How entry points began before the installed package had one name."""
PAGE = 200
"""Deployments that the server gives at once."""


def earlier_deployments(client: "SyncPrefectClient") -> list[str]:
    """Return ``flow/name`` of every deployment whose entry point this version lacks, sorted."""
    found: list[str] = []
    for offset in range(0, 2**31, PAGE):
        page = client.read_deployments(limit=PAGE, offset=offset)
        earlier = [one for one in page if (one.entrypoint or "").startswith(BEFORE)]
        found += [f"{client.read_flow(one.flow_id).name}/{one.name}" for one in earlier]
        if len(page) < PAGE:
            break
    return sorted(found)


def check_deployment(client: "SyncPrefectClient", run: "FlowRun") -> None:
    """Raise ConfigError for a run whose deployment this version cannot start: the way out is to deploy again."""
    if run.deployment_id is None:
        return
    deployment = client.read_deployment(run.deployment_id)
    if (deployment.entrypoint or "").startswith(BEFORE):
        raise ConfigError(
            "RUN",
            "a run of a deployment of this version",
            f"{run.name} (of {deployment.name}, which an earlier version deployed as {deployment.entrypoint})",
            f"Deploy the study again under that name: modeldiff deploy study=... deployment.name={deployment.name}",
        )
