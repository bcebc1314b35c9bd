"""Effects of a transformation: how it changes the probability that models give a class (arXiv 2211.12491)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int, Real, Shaped
from scipy.special import softmax

from modeldiff_core.data.kinds import Inputs
from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits
from modeldiff_core.margins import correct_class_margin
from modeldiff_core.training.protocol import TrainedModels
from modeldiff_core.transformations.library import Transformation


@dataclass(frozen=True)
class EffectSettings:
    """When a transformation is said to distinguish, and on how many images that is measured.

    delta: least effect on one algorithm; epsilon: largest on the other (changes of a probability). alpha: chance of
    finding any difference where there is none. level: confidence of the intervals. max_images: most test images used,
    chosen by `seed`.
    """

    delta: Annotated[float, Limit(above=0, most=1, what="a change of probability")] = 0.1
    epsilon: Annotated[float, Limit(least=0)] = 0.05
    alpha: Annotated[float, Limit(above=0, below=1)] = 0.05
    level: Annotated[float, Limit(above=0, below=1)] = 0.95
    max_images: Annotated[int, Limit(least=2)] = 500
    seed: int = 0

    def __post_init__(self) -> None:
        check = Check("effects")
        check_limits(self, check)
        check(self.epsilon < self.delta, "epsilon", f"0 or more and less than delta ({self.delta})", self.epsilon)


def eligible_images(
    labels: Real[np.ndarray, " images"],
    metadata: Mapping[str, Shaped[np.ndarray, "images ..."]],
    target_class: int | None,
    max_images: int,
    seed: int,
) -> Int[np.ndarray, " chosen"]:
    """Return sorted positions of at most `max_images` images, drawn at random, to which a transformation is applied.

    Images of the target class are left out (None: none are), and so are those that metadata 'planted' marks: they
    carry the feature already. Raises ConfigError if fewer than 2 are left.
    """
    eligible = np.ones(len(labels), dtype=bool) if target_class is None else labels != target_class
    if "planted" in metadata:
        eligible &= ~metadata["planted"].astype(bool)
    positions = np.flatnonzero(eligible)
    if len(positions) < 2:
        raise ConfigError(
            "transformations",
            f"at least 2 test images without the feature and not of class {target_class}",
            len(positions),
        )
    order = generator("effect images", seed).permutation(len(positions))
    return np.sort(positions[order[:max_images]])


@dataclass(frozen=True)
class Changes:
    """What a transformation changes for every model and image: the probability of a class, in −1..1, and its margin.

    The margin of a class is its logit minus the largest other logit, unbounded, so it still moves where models are so
    sure that probabilities cannot.
    """

    probability: Float[np.ndarray, "*intensities models images"]
    margin: Float[np.ndarray, "*intensities models images"]


def changes(
    before: Float[np.ndarray, "models images classes"],
    after: Float[np.ndarray, "models images classes"],
    labels: Real[np.ndarray, " images"],
    target_class: int | None,
) -> Changes:
    """Return a class's change of probability, p_c(after) − p_c(before) with p = softmax, and of its margin.

    The class is `target_class`, or each image's own label for None. Where labels are numbers, the prediction stands in
    the place of the probability, in standard deviations of the training targets, and its negative squared error in
    that of the margin. Raises ConfigError for a class that is not there.
    """
    if labels.dtype.kind == "f":
        f0, f1 = before[..., 0].astype(np.float64), after[..., 0].astype(np.float64)
        return Changes(f1 - f0, np.square(f0 - labels) - np.square(f1 - labels))
    n_classes = before.shape[2]
    if target_class is not None and not 0 <= target_class < n_classes:
        raise ConfigError("transformations.target_class", f"a class in 0..{n_classes - 1}", target_class)
    classes = labels if target_class is None else np.full_like(labels, target_class)
    (p0, m0), (p1, m1) = _outputs(before, classes), _outputs(after, classes)
    return Changes(p1 - p0, m1 - m0)


def _outputs(
    logits: Float[np.ndarray, "models images classes"], classes: Int[np.ndarray, " images"]
) -> tuple[Float[np.ndarray, "models images"], Float[np.ndarray, "models images"]]:
    """Probability and margin of each image's class."""
    exact = logits.astype(np.float64)
    probability = softmax(exact, axis=2)[:, np.arange(len(classes)), classes]
    margin = correct_class_margin(torch.from_numpy(exact), torch.from_numpy(classes))
    return probability, margin.numpy()


def measure(
    models: TrainedModels,
    transformation: Transformation,
    images: Inputs,
    labels: Real[np.ndarray, " images"],
    intensities: Sequence[float],
    target_class: int | None,
    before: Float[np.ndarray, "models images classes"] | None = None,
) -> Changes:
    """Return changes [intensities, models, images] of every model on every image, against the images as they are.

    change[intensity, model, image] = y_model(F(image, intensity)) − y_model(image), y the probability or the margin of
    the class; the effect of the transformation is its mean over models and images. before: logits on the images as they
    are, where they are at hand.
    """
    untouched = models.logits(images) if before is None else before
    found = [
        changes(untouched, models.logits(transformation(images, intensity)), labels, target_class)
        for intensity in intensities
    ]
    return Changes(np.stack([c.probability for c in found]), np.stack([c.margin for c in found]))


def is_distinguishing(
    effect_a: float, effect_b: float, p_adjusted: float, *, delta: float, epsilon: float, alpha: float
) -> bool:
    """Return whether one algorithm reacts (|effect| ≥ delta), the other does not (≤ epsilon), and p_adjusted ≤ alpha.

    Either algorithm may be the one that reacts (a distinguishing transformation of arXiv 2211.12491).
    """
    smaller, larger = sorted((abs(effect_a), abs(effect_b)))
    return larger >= delta and smaller <= epsilon and p_adjusted <= alpha
