"""A killed run is marked as crashed: on any Prefect server by an automation that misses the run's heartbeats.

Prefect's engine sends a heartbeat of every flow run from a thread. On the private server the supervisor sees the death
of a command without them, and at once.
"""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from modeldiff_core.experiments.experiment import experiments

SILENCE = timedelta(seconds=80)
"""How long after its start or last heartbeat a run counts as dead; the server looks every five seconds."""
NAME = "modeldiff: mark silent runs as crashed"


def crash_when_silent(silence: timedelta = SILENCE) -> AutomationCore:
    """Return the automation: silence counts from the start on, for a run may die before its first heartbeat is sent.

    A run that has ended is expected to be silent.
    """
    beat = "prefect.flow-run.heartbeat"
    ends = {f"prefect.flow-run.{end}" for end in ("Completed", "Failed", "Cancelled", "Crashed")}
    return AutomationCore(
        name=NAME,
        description="The process or machine of such a run is gone. What it stored stays: a retry goes on from there.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=of_our_flows(),
            for_each={"prefect.resource.id"},
            after={"prefect.flow-run.Running", beat},
            expect={beat, *ends},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                force=False,
                message=f"No sign of life for {silence.total_seconds():.0f} s",
            )
        ],
    )


def of_our_flows() -> ResourceSpecification:
    """Events of this platform's flows only, since a server may be shared with others."""
    return ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": experiments().names()})


def put_automation(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Create the automation, or renew the one of its name."""
    same = client.read_automations_by_name(automation.name)
    if same:
        client.update_automation(same[0].id, automation)
    else:
        client.create_automation(automation)
