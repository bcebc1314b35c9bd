"""Measuring how to train before training, on the workers that will do it."""

from typing import Any

from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.plan import RunFailed, survey
from modeldiff_core.store import ObjectStore
from modeldiff_platform.flows.measure import probe_arguments, trained
from modeldiff_platform.flows.request import Request
from modeldiff_platform.flows.runners.runner import Call, Runner
from modeldiff_platform.flows.runners.window import run_window
from modeldiff_platform.tasks.probe import probe


def tune(experiment: Experiment, store: ObjectStore, asked: Request, places: Runner) -> None:
    """Measure how to train each kind of shard, one after the other so that they do not disturb each other.

    Devices then get as many processes as suit the kind that takes longest.
    """
    missing = survey(experiment.now(store), store).missing
    longest, processes = 0.0, 1
    for group, responses in trained(missing).items():
        found: dict[str, Any] = {}

        def keep(_: Call, result: dict[str, Any], found: dict[str, Any] = found) -> None:
            found |= result

        arguments = {**probe_arguments(responses, asked), "label": group, "execution": asked.runner.execution()}
        failures = run_window([Call(group, probe, arguments)], places, keep)
        if failures:
            raise RunFailed(f"{group} could not be measured: {failures[group]}") from failures[group]
        models = sum(step.cost.units for step in missing if step.label.group == group)
        seconds = found["seconds_a_model"] * models
        longest, processes = max((longest, processes), (seconds, found["processes"]))
    places.widen(processes)
