"""A rehearsal of the algorithms of a user's own that a plan trains, where nothing of theirs is trained yet."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from modeldiff_core.identity import plain, restore
from modeldiff_core.plan import Plan
from modeldiff_core.responses import SubsetModels
from modeldiff_core.stages.trainings import TrainingSpec
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import Training
from modeldiff_core.threads import on_one_thread
from modeldiff_core.training import Execution
from modeldiff_core.training.functions.guard import FunctionFailed, RehearsalFailed
from modeldiff_core.training.rehearsal import Rehearsed, rehearse

Call = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""Carries ``rehearse_here`` out where models are trained."""


def to_rehearse(plan: Plan, store: ObjectStore) -> list[Training]:
    """Return the trainings of a plan whose algorithm does not ship and of which the store holds no model yet."""
    found: dict[str, Training] = {}
    for wave in plan.waves(store):
        for step in wave.steps:
            if isinstance(step.spec, TrainingSpec) and "source" in step.spec.training.code:
                found.setdefault(step.spec.training.prefix, step.spec.training)
    return [training for training in found.values() if not store.sizes(SubsetModels(training).folder)]


def rehearse_here(training: dict[str, Any], execution: dict[str, Any]) -> dict[str, Any]:
    """Rehearse a training in this process; arguments and result are plain JSON.

    Raises:
        RehearsalFailed: With the key of the algorithm and what is wrong, in one line.
    """
    of = restore(Training, training)
    task = of.task()
    size = of.sampler(len(task.train)).size
    try:
        with on_one_thread():
            return asdict(rehearse(task, size, restore(Execution, execution)))
    except FunctionFailed as error:
        raise RehearsalFailed(of.key, str(error)) from error


def rehearsals(
    trainings: list[Training], execution: dict[str, Any], call: Call = rehearse_here
) -> list[tuple[Training, Rehearsed]]:
    """Return what rehearsals of trainings found; raises RehearsalFailed for the first that fails."""
    return [(training, Rehearsed(**call(plain_of(training), execution))) for training in trainings]


def plain_of(training: Training) -> dict[str, Any]:
    """Return a training as plain JSON."""
    content = plain(training)
    assert isinstance(content, dict)
    return content
