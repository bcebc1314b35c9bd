"""Notices of how runs end, sent by automations of the Prefect server through a notification block."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.prefect_api.heartbeats import of_our_flows

ENDS = {"failure": ("Failed", "Crashed"), "completion": ("Completed",)}
BODY = "{{ flow_run.name }}: {{ flow_run.state.name }}. {{ flow_run.state.message }}\n{{ flow_run|ui_url }}"


def notices(client: SyncPrefectClient, slug: str) -> list[AutomationCore]:
    """Automations for failure and completion; slug: kind/name of a saved block, which alone holds what is secret."""
    kind, _, name = slug.partition("/")
    try:
        block = client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound:
        hint = "Save one in the UI under Blocks, such as slack-webhook/team"
        raise ConfigError("--notify", "kind/name of a notification block on the server", slug, hint) from None
    schema = block.block_schema
    if schema is None or "notify" not in schema.capabilities:
        raise ConfigError("--notify", "a block that sends notifications", slug)
    return [
        AutomationCore(
            name=f"modeldiff: notice of {what} to {slug}",
            trigger=EventTrigger(
                match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
                match_related=of_our_flows(),
                expect={f"prefect.flow-run.{end}" for end in ends},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                SendNotification(
                    block_document_id=block.id, subject="{{ flow_run.name }}: {{ flow_run.state.name }}", body=BODY
                )
            ],
        )
        for what, ends in ENDS.items()
    ]
