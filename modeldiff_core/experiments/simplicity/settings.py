"""Settings of ``simplicity``."""

from typing import Annotated, Literal

from pydantic import Field

from modeldiff_core.experiments.featured.settings import AttackConfig, NetworkGrid
from modeldiff_core.experiments.one_page import OnePageStudy
from modeldiff_core.settings import Settings
from modeldiff_core.study.config import DatasetConfig


class EvaluationConfig(Settings):
    """Attacks on the trained networks: names of the study's `attacks`, on the first `examples` test examples.

    norms: whether the norm that each of them needs is sought, too, with nothing and with each set of features held.
    """

    attacks: tuple[str, ...] = ()
    examples: Annotated[int, Field(ge=2)] = 1000
    norms: bool = False


class SimplicityStudy(OnePageStudy):
    """Networks of a grid, and the features that are randomized.

    dataset: one that knows its features. feature_sets: features that are randomized together, by the name of the set;
    each feature by itself if not given. attacks: by name, for training and evaluation. seeds: replicates of each cell,
    each with data and networks of its own. controls: whether networks of the first cell are also trained on data in
    which only one set tells the class.
    """

    experiment: Literal["simplicity"] = "simplicity"
    dataset: DatasetConfig
    feature_sets: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    networks: NetworkGrid = NetworkGrid()
    attacks: dict[str, AttackConfig] = Field(default_factory=dict)
    evaluation: EvaluationConfig = EvaluationConfig()
    seeds: Annotated[int, Field(ge=1)] = 5
    controls: bool = True
