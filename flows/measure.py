"""How long a model takes on this machine, measured before anything is trained."""

from collections.abc import Iterable, Mapping
from typing import Any

from modeldiff_core.identity import plain
from modeldiff_core.plan import Step
from modeldiff_core.responses import FullModels, SubsetModels
from modeldiff_core.responses.probe import probe_here
from modeldiff_core.stages.shards import ShardSpec
from modeldiff_core.threads import on_one_thread
from modeldiff_platform.flows.request import Request

KINDS = {SubsetModels: "subsets", FullModels: "ensemble"}


def trained(steps: Iterable[Step]) -> Mapping[str, SubsetModels | FullModels]:
    """Return the models that steps train, by the words that count the steps together."""
    found: dict[str, SubsetModels | FullModels] = {}
    for step in steps:
        spec = step.spec
        if isinstance(spec, ShardSpec) and isinstance(spec.responses, SubsetModels | FullModels):
            found.setdefault(step.label.group, spec.responses)
    return found


def seconds_a_model(steps: Iterable[Step], asked: Request) -> dict[str, float]:
    """Return the seconds that a model takes on this machine, by the words that count the steps together."""
    return {group: found["seconds_a_model"] for group, found in measured(steps, asked).items()}


def measured(steps: Iterable[Step], asked: Request) -> dict[str, dict[str, Any]]:
    """Return the fastest way that the runner's first place can train models, kept in the store and read from there.

    Its ``seconds_a_model`` are those of one CPU worker, or of one device with all its processes.
    """
    with on_one_thread():
        execution = {**asked.runner.execution(), "device": asked.runner.places[0]}
        return {
            group: probe_here(**probe_arguments(responses, asked), execution=execution)
            for group, responses in trained(steps).items()
        }


def probe_arguments(responses: SubsetModels | FullModels, asked: Request) -> dict[str, Any]:
    """Return the arguments of ``probe_here``, but for the execution."""
    return {"kind": KINDS[type(responses)], "store": plain(asked.store), "training": plain(responses.training)}
