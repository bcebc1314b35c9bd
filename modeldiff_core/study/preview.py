"""Settings of a preview of a comparison."""

from typing import Annotated, Literal

from pydantic import Field

from modeldiff_core.settings import Settings


class PreviewConfig(Settings):
    """A comparison from a few trainings of each algorithm, differentiated with respect to a weight on every example.

    trainings: of each algorithm. From 6 on directions are tested, with whole trainings as replicates, in a basis of
    two further trainings of each. probes: reverse products of a training; the basis has twice as many directions.
    components: directions that are shown of either side. searched: first directions of either side along which
    transformations are proposed and ranked on models trained on all data, 0 for none; how many, and what makes an end,
    is that of the group search. batch_statistics: see the estimator metagradient. seed: of the random weightings of
    targets.
    """

    trainings: Annotated[int, Field(ge=1, le=64)] = 2
    probes: Annotated[int, Field(ge=2, le=512)] = 16
    components: Annotated[int, Field(ge=1)] = 3
    searched: Annotated[int, Field(ge=0)] = 1
    batch_statistics: Literal["full", "weighted"] = "full"
    top: Annotated[int, Field(ge=1)] = 12
    seed: int = 0
