"""What is odd about models, masks, margins and their datamodels, told with the findings of a comparison."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.responses import FullModels
from modeldiff_core.stages.screening import ScreeningOf, full_model_sentences, record_of, screening_sentences
from modeldiff_core.store import MarginMatrix, ObjectStore
from modeldiff_core.study import Training
from modeldiff_core.training.shards import output_of

OPPOSED = -0.2
"""Mean cosine of A's and B's datamodels below which they are said to point in opposite directions."""
AGAINST = -4.0
"""Standard errors by which a target's own class has to lower its margin, on average, before masks are doubted."""


def about_matrices(store: ObjectStore, matrices: Mapping[str, str], screening: Mapping[str, ScreeningOf]) -> list[str]:
    """Return what the records of matrices say of their models.

    Args:
        store: The store.
        matrices: Keys of matrices by the names of algorithms.
        screening: How models are judged of a matrix that was made before there was a screening.
    """
    return [
        sentence
        for name, key in matrices.items()
        for sentence in screening_sentences(name, record_of(MarginMatrix.open(store, key), screening[name]))
    ]


def about_full_models(store: ObjectStore, training: Training, models: int) -> list[str]:
    """Return which of a training's first full-data models stand out; models that predict numbers are not judged."""
    targets = training.task().targets
    if not targets.classed:
        return []
    labels = targets.labels
    margins = output_of("margin", FullModels(training).logits(store, models), labels)
    return full_model_sentences(training.algorithm.name, margins, len(training.load().classes))


def about_opposed(similarity: Float[np.ndarray, " targets"], a: str, b: str) -> list[str]:
    """Return a question if A's and B's datamodels point in opposite directions. similarity: cosine of each target's."""
    mean = float(similarity.mean())
    if not mean < OPPOSED:
        return []
    return [
        f"Datamodels of {a} and {b} point in opposite directions (mean similarity {mean:.2f}): do the masks of one "
        "of them say who was left out, or are its margins losses?"
    ]


def about_own_class(
    weights: Float[np.ndarray, "targets train"],
    targets: Int[np.ndarray, " targets"] | None,
    train: Int[np.ndarray, " train"] | None,
    name: str,
) -> list[str]:
    """Return a question if training examples of a target's own class lower its margin, which they hardly ever do.

    Of each target the mean weight of its own class less that of all others; judged by its mean over targets in standard
    errors.

    Args:
        weights: Datamodels.
        targets: Classes of the targets, if they are known.
        train: Classes of the training examples, if they are known.
        name: Of the algorithm.
    """
    if targets is None or train is None:
        return []
    same = targets[:, None] == train[None, :]
    known = same.any(axis=1) & ~same.all(axis=1) & weights.any(axis=1)
    if known.sum() < 3:
        return []
    same, chosen = same[known], weights[known].astype(np.float64)
    chosen /= np.abs(chosen).max(axis=1, keepdims=True)
    own = (chosen * same).sum(1) / same.sum(1) - (chosen * ~same).sum(1) / (~same).sum(1)
    error = own.std(ddof=1) / np.sqrt(len(own))
    if not (own.mean() < 0 and (error == 0 or own.mean() / error < AGAINST)):
        return []
    return [
        f"Training examples of a target's own class lower its margin under {name}, on average over targets: do the "
        "masks say who was left out, or are the margins losses?"
    ]
