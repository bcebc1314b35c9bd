"""Settings of ``scaling``."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from modeldiff_core.data.text import Gcide, PythonTopics, TextFiles, TextParquet
from modeldiff_core.data.text_tokens import BytePairs, Bytes, Characters
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.one_page import OnePageStudy
from modeldiff_core.experiments.scaling.settings import FitsConfig
from modeldiff_core.settings import Settings
from modeldiff_core.training.moe import MoeRecipe

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Sparsities = tuple[Annotated[float, Field(ge=0, lt=1)], ...]


class SizeConfig(Settings):
    """A size: width and layers of the transformer and experts of a layer; see ``training.moe.MoeNetwork``.

    sparsities: of this size; the study's if empty.
    """

    width: Count
    layers: Count
    experts: Count
    heads: Count = 1
    sparsities: Sparsities = ()


class RecipeConfig(Settings):
    """How networks are trained, but for the learning rate; see ``training.moe.MoeRecipe``."""

    sequences: Count = 32
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05
    final: Annotated[float, Field(ge=0, lt=1)] = 0.0
    betas: tuple[float, float] = (0.9, 0.95)
    decay: Annotated[float, Field(ge=0)] = 1e-5
    balance: Annotated[float, Field(ge=0)] = 0.02
    z: Annotated[float, Field(ge=0)] = 1e-3
    precision: Literal["float32", "bfloat16"] = "bfloat16"

    def recipe(self, rate: float) -> MoeRecipe:
        """Return it with a learning rate, as the library takes it."""
        return MoeRecipe(learning_rate=rate, **self.model_dump())


class HalvingConfig(Settings):
    """Successive halving of learning rates (Jamieson and Talwalkar 2016).

    at: shares of the steps after which a cell's rates are compared; none for no cut. keep: share of them that go on,
    rounded up.
    """

    at: tuple[Share, ...] = ()
    keep: Share = 0.5

    @model_validator(mode="after")
    def _rising(self) -> "HalvingConfig":
        if list(self.at) != sorted(set(self.at)):
            raise ConfigError("halving.at", "increasing shares", list(self.at))
        return self


class TuningConfig(Settings):
    """A rule for the learning rate, fitted on some of the cells and used for all of them.

    share: of the sparsities of each size and budget that are tuned; 0 for no rule, every rate of every cell is tried.
    seeds: of each tuned cell.
    """

    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    seeds: Count = 1


class ScalingStudy(OnePageStudy):
    """A grid of mixture-of-experts language models, every one trained with its budget of FLOPs.

    corpus: the text. tokens: what it is cut into. context: tokens that a network sees. validation_share: of the
    documents. split_seed: of their choice. sizes, sparsities, granularities, budgets: the levels; N follows from size
    and granularity, the active experts K from experts and sparsity, the steps from the budget. learning_rates: that are
    tried in each cell. seeds: of each. tied, gates: see ``MoeNetwork``. evaluation_windows: windows of validation text.
    curve_points: evaluations of a learning curve, on a quarter of them. fits: laws of the losses, null for none.
    """

    experiment: Literal["scaling"] = "scaling"
    corpus: Annotated[TextFiles | TextParquet | Gcide | PythonTopics, Field(discriminator="kind")] = PythonTopics()
    tokens: Annotated[Bytes | Characters | BytePairs, Field(discriminator="kind")] = Characters()
    context: Annotated[int, Field(ge=2)] = 64
    validation_share: Share = 0.05
    split_seed: int = 0
    sizes: Annotated[tuple[SizeConfig, ...], Field(min_length=1)]
    sparsities: Annotated[Sparsities, Field(min_length=1)]
    granularities: Annotated[tuple[Count, ...], Field(min_length=1)] = (4,)
    budgets: Annotated[tuple[Positive, ...], Field(min_length=1)]
    learning_rates: Annotated[tuple[Positive, ...], Field(min_length=1)]
    seeds: Count = 1
    tied: bool = True
    gates: Literal["softmax", "normalized"] = "softmax"
    recipe: RecipeConfig = RecipeConfig()
    tuning: TuningConfig = TuningConfig()
    halving: HalvingConfig = HalvingConfig()
    evaluation_windows: Count = 512
    curve_points: Count = 8
    fits: FitsConfig | None = FitsConfig()

    @model_validator(mode="after")
    def _levels(self) -> "ScalingStudy":
        for name in ("sparsities", "granularities", "budgets", "learning_rates"):
            levels = getattr(self, name)
            if len(set(levels)) < len(levels):
                raise ConfigError(name, "distinct levels", list(levels))
        if self.tuning.share and len(self.learning_rates) < 3:
            raise ConfigError(
                "learning_rates", "three or more where tuning.share is above 0", list(self.learning_rates)
            )
        return self
