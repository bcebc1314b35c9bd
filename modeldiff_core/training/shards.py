"""Training one shard: the models of a range of numbers, together."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Real

from modeldiff_core.data import Examples
from modeldiff_core.errors import Diverged
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.training.protocol import Algorithm, Execution, TrainedModels
from modeldiff_core.training.target_logits import target_logits

ENSEMBLE_OFFSET = 2**40
"""Full-data model i draws its randomness as number ENSEMBLE_OFFSET + i, which no subset model has."""
TOLERATED = 0.05
"""Largest share of a shard's models that may diverge."""
ADVICE = "Lower recipe.learning_rate or recipe.momentum"
NAMED = 10
"""Maximum of diverged models that an error names."""


@dataclass(frozen=True)
class Task:
    """A learning algorithm with its training set and the targets that it is measured on."""

    algorithm: Algorithm
    seed: int
    train: Examples
    targets: Examples
    n_classes: int
    output: str = "margin"


@dataclass(frozen=True)
class SubsetMargins:
    """Margins of subset models, or another output of them; rows of diverged models are zero."""

    masks: Bool[np.ndarray, "models train"]
    margins: Float[np.ndarray, "models targets"]
    diverged: Bool[np.ndarray, " models"]


def train_subset_models(
    task: Task, masks: Bool[np.ndarray, "models train"], models: range, execution: Execution
) -> SubsetMargins:
    """Train the subset models of these numbers on their masks and return the task's output of all targets.

    Raises:
        Diverged: If more than TOLERATED of them end with margins that are not finite.
    """
    trained = task.algorithm.train(task.train, task.n_classes, masks, models, task.seed, execution)
    logits = target_logits(trained, task.targets, execution)
    diverged = _diverged(logits, models, "subset", TOLERATED, _advice(task))
    margins = output_of(task.output, np.where(diverged[:, None, None], 0, logits), task.targets.labels)
    margins[diverged] = 0
    return SubsetMargins(masks, margins, diverged)


def train_ensemble(
    task: Task, models: range, execution: Execution, masks: Bool[np.ndarray, "models train"] | None = None
) -> tuple[TrainedModels, Float[np.ndarray, "models targets classes"]]:
    """Train the full-data models of these numbers, and return them with their logits of the targets.

    Args:
        task: The data and the algorithm.
        models: Their numbers, which decide their seeds.
        execution: How to compute.
        masks: Examples that each is trained on, where some are left out of the training set; all if not given.

    Raises:
        Diverged: If any of them ends with logits that are not finite.
    """
    if masks is None:
        masks = np.ones((len(models), len(task.train)), dtype=bool)
    numbers = [ENSEMBLE_OFFSET + model for model in models]
    trained = task.algorithm.train(task.train, task.n_classes, masks, numbers, task.seed, execution)
    logits = target_logits(trained, task.targets, execution)
    _diverged(logits, models, "full-data", 0.0, _advice(task))
    return trained, logits


def output_of(
    name: str, logits: Float[np.ndarray, "models targets classes"], labels: Real[np.ndarray, " targets"]
) -> Float[np.ndarray, "models targets"]:
    """Return the registered output of that name as a float32 array."""
    values = OUTPUTS.get(name)(torch.from_numpy(np.asarray(logits, np.float32)), torch.from_numpy(labels))
    return values.numpy()


def _advice(task: Task) -> str:
    """Return what to do where models diverge: of a user's own function only its author knows."""
    return getattr(task.algorithm, "advice", ADVICE)


def _diverged(
    logits: Float[np.ndarray, "models targets classes"],
    models: range,
    kind: str,
    tolerated: float,
    advice: str = ADVICE,
) -> Bool[np.ndarray, " models"]:
    """Return which models have logits that are not finite; raise Diverged if their share is above `tolerated`."""
    diverged: np.ndarray = ~np.isfinite(logits).all((1, 2))
    if diverged.mean() > tolerated:
        numbers = [models[row] for row in np.flatnonzero(diverged)]
        named = ", ".join(map(str, numbers[:NAMED])) + (", …" if len(numbers) > NAMED else "")
        raise Diverged(
            f"{len(numbers)} of the {len(models)} {kind} models {models.start}..{models.stop - 1} ended with logits "
            f"that are not finite (at most {tolerated:.0%} may): {named}. {advice}"
        )
    return diverged
