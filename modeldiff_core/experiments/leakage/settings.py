"""Settings of ``leakage``."""

from typing import Annotated, Literal

from pydantic import Field

from modeldiff_core.experiments.featured.settings import AttackConfig, NetworkGrid
from modeldiff_core.experiments.one_page import OnePageStudy
from modeldiff_core.study.config import DatasetConfig


class LeakageStudy(OnePageStudy):
    """Networks of a grid on data sets in which one feature tells the class, and attributions of them.

    datasets: by name. signal: the feature that tells the class, the same in all of them. attributions: registered
    methods. k: the share of an input's values that are looked at, the highest. attacks: for training, by name.
    examples: test examples that are attributed, the first. seeds: replicates, each with data and networks of its own.
    """

    experiment: Literal["leakage"] = "leakage"
    datasets: Annotated[dict[str, DatasetConfig], Field(min_length=1)]
    signal: str = "signal"
    networks: NetworkGrid = NetworkGrid()
    attacks: dict[str, AttackConfig] = Field(default_factory=dict)
    attributions: Annotated[tuple[str, ...], Field(min_length=1)] = ("loss",)
    k: Annotated[float, Field(gt=0, lt=1)] = 0.1
    examples: Annotated[int, Field(ge=2)] = 1000
    seeds: Annotated[int, Field(ge=1)] = 5
