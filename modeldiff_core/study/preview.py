"""What a user asks for of a preview of a comparison."""

from typing import Annotated, Literal

from pydantic import Field

from modeldiff_core.comparison.trainings import LEAST_TESTED
from modeldiff_core.settings import Settings

BASIS_TRAININGS = 2
"""Further trainings of each algorithm that only choose the basis, where directions are tested."""


class PreviewConfig(Settings):
    """A comparison from a few trainings of each algorithm, differentiated with respect to a weight on every example.

    trainings: of each algorithm. From 6 on directions are tested, with whole trainings as replicates, in a basis of
    two further trainings of each. probes: reverse products of a training; the basis has twice as many directions.
    components: directions that are shown of either side. batch_statistics: see the estimator metagradient. seed: of the
    random weightings of targets.
    """

    trainings: Annotated[int, Field(ge=1, le=64)] = 2
    probes: Annotated[int, Field(ge=2, le=512)] = 16
    components: Annotated[int, Field(ge=1)] = 3
    batch_statistics: Literal["full", "weighted"] = "full"
    top: Annotated[int, Field(ge=1)] = 12
    seed: int = 0

    @property
    def tested(self) -> bool:
        """Whether there are enough trainings for p-values."""
        return self.trainings >= LEAST_TESTED

    @property
    def compared(self) -> range:
        """Numbers of the trainings that are compared."""
        return range(self.trainings)

    @property
    def choosing(self) -> range:
        """Numbers of the trainings that choose the basis: others than are compared, where that is tested."""
        return range(self.trainings, self.trainings + BASIS_TRAININGS) if self.tested else self.compared
