"""What makes a mean over models and images uncertain, and how many of either would make it less so."""

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from jaxtyping import Float

MOST = 1e6
"""Models or images that are more than anybody will have."""


@dataclass(frozen=True)
class Parts:
    """Variances of one change: from model to model, from image to image, and of what is left."""

    models: float
    images: float
    rest: float

    @classmethod
    def of(cls, changes: Float[np.ndarray, "models images"]) -> "Parts":
        """Return the unbiased estimates, those below 0 set to 0; of at least 2 models and images.

        change[m, i] = μ + a_m + b_i + e_mi: rest = Σ e²/((M − 1)(n − 1)), models = var_m(mean_i) − rest/n,
        images = var_i(mean_m) − rest/M.
        """
        x = changes.astype(np.float64)
        n_models, n_images = x.shape
        by_model, by_image = x.mean(axis=1), x.mean(axis=0)
        left = x - by_model[:, None] - by_image + x.mean()
        rest = float(np.square(left).sum()) / ((n_models - 1) * (n_images - 1))
        models = max(0.0, float(by_model.var(ddof=1)) - rest / n_images)
        images = max(0.0, float(by_image.var(ddof=1)) - rest / n_models)
        return cls(models, images, rest)

    def __add__(self, other: "Parts") -> "Parts":
        """Return the parts of a sum of independent changes."""
        return Parts(self.models + other.models, self.images + other.images, self.rest + other.rest)

    def error(self, models: int, images: int) -> float:
        """Return the standard error of a mean over this many models and images."""
        return sqrt(self.models / models + self.images / images + self.rest / (models * images))

    def enough(self, error: float, models: int, images: int) -> tuple[int, int] | None:
        """Return models and images with which the standard error is at most `error`; None for more than MOST.

        More models alone if those can do it, else more images alone, else more of both by one factor. Models and images
        there are now are never too many.
        """
        if error <= 0:
            return None
        if self.error(models, images) <= error:
            return models, images
        left = error**2 - self.images / images
        if left > 0 and (wanted := (self.models + self.rest / images) / left) <= 10 * models:
            return ceil(wanted), images
        left = error**2 - self.models / models
        if left > 0 and (wanted := (self.images + self.rest / models) / left) <= 10 * images:
            return models, ceil(wanted)
        factor = (self.error(models, images) / error) ** 2  # enough, since the rest falls with its square
        wanted_models, wanted_images = ceil(factor * models), ceil(factor * images)
        return (wanted_models, wanted_images) if max(wanted_models, wanted_images) <= MOST else None
