"""Rehearsing algorithms of a user's own before training, on a worker that will train them."""

from dataclasses import asdict
from typing import Any

from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.stages.rehearsal import plain_of, to_rehearse
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution
from modeldiff_core.training.rehearsal import Rehearsed
from modeldiff_platform.flows.request import Request
from modeldiff_platform.flows.runners.runner import Call, Runner
from modeldiff_platform.flows.runners.window import run_window
from modeldiff_platform.tasks.rehearse import rehearse


def rehearse_own(experiment: Experiment, store: ObjectStore, asked: Request, places: Runner) -> list[str]:
    """Rehearse every algorithm that does not ship and of which the store holds no model; returns what was noticed.

    Raises:
        RehearsalFailed: For an algorithm that cannot be trained as it is.
    """
    said: list[str] = []
    execution = {**asdict(Execution()), **asked.runner.execution()}
    for training in to_rehearse(experiment.now(store), store):
        found: dict[str, Any] = {}

        def keep(_: Call, result: dict[str, Any], found: dict[str, Any] = found) -> None:
            found |= result

        name = training.algorithm.name
        arguments = {"label": name, "training": plain_of(training), "execution": execution}
        failures = run_window([Call(name, rehearse, arguments)], places, keep)
        if failures:
            raise failures[name]
        done = Rehearsed(**found)
        about = "" if done.measured else "about "
        said += [f"{training.key}: {remark}" for remark in done.remarks]
        said.append(f"{name}: {about}{done.seconds:.3g} s a model, {done.bytes / 2**20:.0f} MB in its process")
    return said
