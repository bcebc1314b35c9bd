"""A cohort: models that are trained together, each on its own subset of one training set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modeldiff_core.models import Shape
from modeldiff_core.training.descent import epoch_draws
from modeldiff_core.training.settings import Recipe


@dataclass(frozen=True)
class Cohort:
    """Models with their subsets and random streams, and how long they are trained.

    Attributes:
        labels: Class of every training example, on the device that trains.
        masks: Examples that each model sees, the same number for all.
        models: Number of each model, which its randomness is drawn from.
        seed: Seed of the algorithm.
        image_shape: Height, width and channels of the images before augmentation.
        steps: Steps after which every model stops, for measurements; None trains to the end.
    """

    labels: Int[Tensor, " train"]
    masks: Bool[np.ndarray, "models train"]
    models: Sequence[int]
    seed: int
    image_shape: Shape
    steps: int | None = None

    def __len__(self) -> int:
        return len(self.models)

    @property
    def device(self) -> torch.device:
        """The device that trains."""
        return self.labels.device

    @cached_property
    def members(self) -> Int[np.ndarray, "models subset"]:
        """Positions of the examples that each model sees, ascending."""
        return np.stack([np.flatnonzero(mask) for mask in self.masks])

    def rows(self, rows: slice) -> "Cohort":
        """Return the cohort of some of the models."""
        return replace(self, masks=self.masks[rows], models=self.models[rows])

    def draws(
        self, recipe: Recipe, epoch: int
    ) -> tuple[Int[np.ndarray, "models subset"], Float[np.ndarray, "models subset draws"]]:
        """Return the order of each model's examples in an epoch, and the uniform draws of their augmentation."""
        return epoch_draws(recipe, self.members, self.models, self.seed, epoch, self.image_shape)

    def batches(self, recipe: Recipe) -> int:
        """Return the number of batches in an epoch; the last one may be smaller."""
        return -(-int(self.masks[0].sum()) // recipe.batch_size)
