"""What the parameters of a deployed run may not choose: the cluster, whose peers run code in the flow's process."""

from functools import partial

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from flows.prefect_api.patience import patiently
from flows.request import RunnerConfig
from modeldiff_core.errors import ConfigError


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
