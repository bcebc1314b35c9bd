"""What varies among adopted masks and margins: what is constant cannot be regressed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.training import check_size
from modeldiff_core.stages.screening import distinct_facts


@dataclass
class Varying:
    """Sums over the models that were added.

    Attributes:
        models: How many there are.
        counts: How many of them leave in each training example.
        low: The smallest margin of each target.
        high: The largest.
        subsets: Smallest and largest number of examples that a mask leaves in.
    """

    models: int
    counts: Int64[np.ndarray, " train"]
    low: Float[np.ndarray, " targets"]
    high: Float[np.ndarray, " targets"]
    subsets: tuple[int, int]

    @classmethod
    def of(cls, n_train: int, n_targets: int) -> "Varying":
        """Return the sums over no models."""
        infinite = np.full(n_targets, np.inf, np.float32)
        return cls(0, np.zeros(n_train, np.int64), infinite, -infinite, (n_train, 0))

    def add(self, masks: Bool[np.ndarray, "models train"], margins: Float[np.ndarray, "models targets"]) -> None:
        """Add some models."""
        if not len(masks):
            return
        self.models += len(masks)
        self.counts += masks.sum(axis=0)
        self.low, self.high = np.minimum(self.low, margins.min(axis=0)), np.maximum(self.high, margins.max(axis=0))
        sizes = masks.sum(axis=1)
        self.subsets = min(self.subsets[0], int(sizes.min())), max(self.subsets[1], int(sizes.max()))

    def check(self, masks: str, margins: str) -> None:
        """Raise ConfigError for masks that are all the same, and margins that do not vary; names their files."""
        varies = (self.counts > 0) & (self.counts < self.models)
        if not varies.any():
            same = "every mask leaves in every example" if (self.counts == self.models).all() else "all masks are equal"
            raise ConfigError(
                "masks",
                "examples that some models saw and others did not",
                f"{masks}: {same}",
                "Without them nothing shows which example a margin depends on",
            )
        largest = float(np.maximum(np.abs(self.low), np.abs(self.high)).max())
        check_size(largest, "margins", margins)
        if (self.low == self.high).all():
            raise ConfigError(
                "margins",
                "margins that vary from model to model",
                f"{margins}: the margins of every target are the same for all {self.models:,} models",
            )

    def facts(self, sample: Float[np.ndarray, "models targets"]) -> dict[str, Any]:
        """Return what does not vary as fields of a screening; nothing where all does.

        sample: some of the margins, for how many values they take.
        """
        found: dict[str, Any] = distinct_facts(sample)
        for name, rows in (
            ("always_in", self.counts == self.models),
            ("never_in", self.counts == 0),
            ("constant_targets", self.low == self.high),
        ):
            if rows.any():
                found[name] = np.flatnonzero(rows).tolist()
        equal = len(set(self.counts.tolist())) == 1
        if equal and self.subsets[0] < self.subsets[1] and self.models == len(self.counts) > 3:
            found["turned"] = True
        return found
