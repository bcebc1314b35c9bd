"""Measuring how to train before training, and how long a model takes."""

from collections.abc import Iterable, Mapping
from typing import Any

from flows.request import Request
from flows.runners.runner import Call, Runner
from flows.runners.window import run_window
from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.identity import plain
from modeldiff_core.plan import RunFailed, Step, survey
from modeldiff_core.responses import FullModels, SubsetModels
from modeldiff_core.stages.shards import ShardSpec
from modeldiff_core.store import ObjectStore
from tasks.probe import probe, probe_here

KINDS = {SubsetModels: "subsets", FullModels: "ensemble"}


def trained(steps: Iterable[Step]) -> Mapping[str, SubsetModels | FullModels]:
    """Return the models that steps train, by the words that count the steps together."""
    found: dict[str, SubsetModels | FullModels] = {}
    for step in steps:
        spec = step.spec
        if isinstance(spec, ShardSpec) and isinstance(spec.responses, SubsetModels | FullModels):
            found.setdefault(step.label.group, spec.responses)
    return found


def tune(experiment: Experiment, store: ObjectStore, asked: Request, places: Runner) -> None:
    """Measure how to train each kind of shard, one after the other so that they do not disturb each other.

    Devices then get as many processes as suit the kind that takes longest.
    """
    missing = survey(experiment.now(store), store).missing
    longest, processes = 0.0, 1
    for group, responses in trained(missing).items():
        found: dict[str, Any] = {}
        arguments = {**_arguments(responses, asked), "label": group, "execution": asked.runner.execution()}
        failures = run_window(
            [Call(group, probe, arguments)], places, lambda _, result, found=found: found.update(result)
        )
        if failures:
            raise RunFailed(f"{group} could not be measured: {failures[group]}") from failures[group]
        models = sum(step.cost.units for step in missing if step.label.group == group)
        seconds = found["seconds_a_model"] * models
        longest, processes = max((longest, processes), (seconds, found["processes"]))
    places.widen(processes)


def seconds_a_model(steps: Iterable[Step], asked: Request) -> dict[str, float]:
    """Return the seconds that a model takes on this machine, by the words that count the steps together."""
    return {group: found["seconds_a_model"] for group, found in measured(steps, asked).items()}


def measured(steps: Iterable[Step], asked: Request) -> dict[str, dict[str, Any]]:
    """Return the fastest way that the runner's first place can train models, kept in the store and read from there.

    Its ``seconds_a_model`` are those of one CPU worker, or of one device with all its processes.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        execution = {**asked.runner.execution(), "device": asked.runner.places[0]}
        return {
            group: probe_here(**_arguments(responses, asked), execution=execution)
            for group, responses in trained(steps).items()
        }
    finally:
        torch.set_num_threads(threads)


def _arguments(responses: SubsetModels | FullModels, asked: Request) -> dict[str, Any]:
    return {"kind": KINDS[type(responses)], "store": plain(asked.store), "training": plain(responses.training)}
