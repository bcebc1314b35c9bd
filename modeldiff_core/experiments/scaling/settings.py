"""Settings of scaling laws: which laws, how they are fitted, which answers are to become narrower."""

from typing import Annotated, Literal

from pydantic import Field

from modeldiff_core.experiments.one_page import OnePageStudy
from modeldiff_core.scaling.runs import FACTOR
from modeldiff_core.settings import Settings

Positive = Annotated[float, Field(gt=0)]


class TargetConfig(Settings):
    """An answer that is wanted: S* at N = parameters and C = flops, or with a sparsity the loss there."""

    parameters: Positive
    flops: Positive
    sparsity: Annotated[float, Field(ge=0, lt=1)] | None = None


class FitsConfig(Settings):
    """How laws are fitted to runs and what is asked of them.

    laws: registered forms; answers rest on the first. bend: where Huber's loss bends in ln L, null for 1.345 times the
    noise. draws: refits of the bootstrap, with a seed. targets: answers that advice makes narrower; null for S* at the
    middle size and budget, and for the loss of the best model at the new budget. new_budget: FLOPs at which losses are
    predicted, null for three times the largest. narrower: the share of their width that advice is to reach.
    """

    laws: Annotated[tuple[str, ...], Field(min_length=1)] = ("sparsity", "no_interaction", "chinchilla")
    bend: Positive | None = None
    draws: Annotated[int, Field(ge=40, le=10000)] = 100
    seed: int = 0
    targets: tuple[TargetConfig, ...] | None = None
    new_budget: Positive | None = None
    narrower: Annotated[float, Field(ge=0.2, lt=1)] = 0.5


class ScalingAdoptedStudy(OnePageStudy):
    """A table of runs of anyone's: a CSV file at a path or URL with columns N, D, S or E and K, C, loss.

    factor: by how much C may differ from what N, D and S cost. vocabulary: how many tokens there are, so that losses
    above its logarithm, which may be bits, are refused; null if unknown. See ``Runs.check_units``.
    """

    experiment: Literal["scaling_adopted"] = "scaling_adopted"
    table: Annotated[str, Field(min_length=1)]
    factor: Annotated[float, Field(gt=1)] = FACTOR
    vocabulary: Annotated[int, Field(ge=2)] | None = None
    fits: FitsConfig = FitsConfig()
