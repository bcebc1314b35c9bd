"""``modeldiff retry``: run a flow run again under its own name; stages find in the store what is done."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import experiments
from modeldiff_platform.flows.prefect_api.earlier import check_deployment
from modeldiff_platform.flows.prefect_api.recorded import recorded
from modeldiff_platform.flows.prefect_api.run_log import the_rest

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

SHOWN = 5
CANCELLED_AGAIN = timedelta(seconds=90)
"""How long after a cancellation a worker may not begin the same run.

Whatever starts a run of a work pool reads the events of the minute before (prefect.events.clients), finds the old
cancellation among them and stops the run for it, whatever its state is now. A worker may take a run ten seconds before
its time, and clocks differ.
"""


def retry(run: str) -> int:
    """Hand a deployment's run to a worker again, or run that of a command here; 0 if it is handed over or completed."""
    with recorded() as api:
        from prefect.client.orchestration import get_client
        from prefect.states import AwaitingRetry

        with get_client(sync_client=True) as client:
            found = _found(client, run)
            state = found.state
            if state is None or not state.is_final() or state.is_completed():
                what = state.name if state else "not begun"
                raise ConfigError("RUN", "a run that failed, crashed or was cancelled", f"{found.name} ({what})")
            flow = client.read_flow(found.flow_id).name
            if flow not in (kinds := experiments().names()):
                *first, last = kinds
                raise ConfigError("RUN", f"a run of {', '.join(first)} or {last}", f"{found.name} (of {flow})")
            check_deployment(client, found)
            local, page = found.deployment_id is None, f"{api.ui_url}/runs/flow-run/{found.id}"
            begins = datetime.now(UTC) if local else _earliest(client, found.id)
            again: State[Any] = AwaitingRetry(scheduled_time=begins, message="modeldiff retry")
            client.set_flow_run_state(found.id, again, force=local)
            if not local:
                seconds = (begins - datetime.now(UTC)).total_seconds()
                when = f" and begins in {seconds:.0f} s, since it was cancelled just now" if seconds > 1 else ""
                print(f"{found.name} waits for a worker of {found.work_pool_name}{when}: {page}")
                return 0
            print(f"Prefect UI: {page}", flush=True)
            return _run_here(flow, client.read_flow_run(found.id))


def _earliest(client: "SyncPrefectClient", run: UUID) -> datetime:
    """Return when a worker may begin a run again: now, or as soon as it would not be cancelled a second time."""
    from prefect.client.schemas.objects import StateType

    cancelled = (state.timestamp for state in client.read_flow_run_states(run) if state.type == StateType.CANCELLING)
    return max((*(moment + CANCELLED_AGAIN for moment in cancelled), datetime.now(UTC)))


def _run_here(kind: str, found: "FlowRun") -> int:
    from prefect.exceptions import ParameterBindError, ParameterTypeError
    from prefect.flow_engine import run_flow

    from modeldiff_platform.tasks.policy import result_storage

    flow, given = _flow_of(kind, found.parameters)
    try:
        asked = flow.validate_parameters(given)
    except (ParameterBindError, ParameterTypeError) as error:
        expected, hint = "a run whose settings this version knows", f"{error}. Run the experiment's own command again."
        raise ConfigError("RUN", expected, found.name, hint) from error
    ours = flow.with_options(result_storage=result_storage(asked["store"]))
    done: Any = run_flow(ours, flow_run=found, parameters=asked, return_type="state")
    if done.is_completed():
        print(*done.result()["findings"], sep="\n")
        return 0
    lines = f"modeldiff: {done.message}", the_rest(), f"Retry with: modeldiff retry {found.id}"
    print(*filter(None, lines), sep="\n", file=sys.stderr)
    return 1


def _flow_of(kind: str, parameters: Mapping[str, Any]) -> "tuple[Flow[Any, Any], dict[str, Any]]":
    """Return the flow that a run is of and its parameters, which earlier versions arranged otherwise."""
    from modeldiff_platform.flows.experiment import flow_of
    from modeldiff_platform.flows.sweep import sweep

    given = dict(parameters)
    if kind == "sweep" and "points" in given:
        return sweep, given
    if kind == "counterfactual" and "asked" in given:
        given["study"] = {**given["study"], "experiment": kind, kind: given.pop("asked")}
    return flow_of(kind), given


def _found(client: "SyncPrefectClient", run: str) -> "FlowRun":
    """Return the run of that id, or the latest of that name; raises ConfigError that names runs that can be retried."""
    from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    latest = FlowRunSort.START_TIME_DESC
    wanted = FlowRunFilter.model_validate({"id": {"any_": [run]}} if _is_id(run) else {"name": {"any_": [run]}})
    if found := client.read_flow_runs(flow_run_filter=wanted, sort=latest, limit=1):
        return found[0]
    stopped = FlowRunFilter.model_validate({"state": {"type": {"any_": ["FAILED", "CRASHED", "CANCELLED"]}}})
    ours = FlowFilter.model_validate({"name": {"any_": experiments().names()}})
    could = client.read_flow_runs(flow_filter=ours, flow_run_filter=stopped, sort=latest, limit=SHOWN)
    names = [f"{one.name} ({one.id})" for one in could]
    hint = f"Runs that can be: {', '.join(names)}" if names else "No run failed, crashed or was cancelled."
    raise ConfigError("RUN", "the name or id of a flow run", run, hint)


def _is_id(run: str) -> bool:
    try:
        UUID(run)
    except ValueError:
        return False
    return True
