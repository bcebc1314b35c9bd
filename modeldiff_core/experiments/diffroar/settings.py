"""Settings of ``diffroar``."""

from typing import Annotated, Literal

from pydantic import Field

from modeldiff_core.experiments.diffroar.masking import Fill, FillKind
from modeldiff_core.experiments.featured.settings import AttackConfig, NetworkGrid
from modeldiff_core.experiments.one_page import OnePageStudy
from modeldiff_core.settings import Settings
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.training.float_stacks import FloatRecipe


class RetrainConfig(Settings):
    """How networks are trained again on masked images; see ``training.float_stacks.FloatRecipe``."""

    kind: Literal["mlp", "cnn", "lenet"] = "mlp"
    width: Annotated[int, Field(ge=1)] = 200
    depth: Annotated[int, Field(ge=1)] = 2
    steps: Annotated[int, Field(ge=1)] = 300
    batch_size: Annotated[int, Field(ge=1)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4

    def recipe(self) -> FloatRecipe:
        """Return it as the library takes it."""
        return FloatRecipe(
            kind=self.kind,
            widths=() if self.kind == "lenet" else (self.width,) * self.depth,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )


class FillConfig(Settings):
    """What takes the place of removed values; each kind is a level. See ``masking.Fill``."""

    kinds: Annotated[tuple[FillKind, ...], Field(min_length=1)] = ("mean", "marginal")
    constant: float = 0.0
    blur: Annotated[float, Field(gt=0)] = 2.0

    def fills(self) -> tuple[Fill, ...]:
        """Return them as the library takes them."""
        return tuple(Fill(kind, self.constant, self.blur) for kind in self.kinds)


class DiffRoarStudy(OnePageStudy):
    """Networks, attributions of them, and networks that are trained again on what those rank highest and lowest.

    networks: those that are explained, a grid. attributions: registered methods. random_orders: replicates whose
    values are ranked at random, each retrained by itself; 0 for none. signal: a feature of a data set that knows its
    features, whose values an oracle ranks first; none if empty. k: shares of the values that are kept. retrain: how
    networks are trained again. seeds: replicates, each with data, explained and retrained networks of its own.
    """

    experiment: Literal["diffroar"] = "diffroar"
    dataset: DatasetConfig
    networks: NetworkGrid = NetworkGrid()
    attacks: dict[str, AttackConfig] = Field(default_factory=dict)
    attributions: tuple[str, ...] = ("logit",)
    random_orders: Annotated[int, Field(ge=0)] = 10
    signal: str = ""
    k: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (0.05,)
    fill: FillConfig = FillConfig()
    retrain: RetrainConfig = RetrainConfig()
    seeds: Annotated[int, Field(ge=1)] = 3
