"""The settings of a league: those of a comparison, with a table of algorithms in the place of two."""

from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from modeldiff_core.errors import ConfigError
from modeldiff_core.margins.screening import Screening
from modeldiff_core.settings import Settings
from modeldiff_core.study.config import (
    AlgorithmConfig,
    ComparisonConfig,
    DatasetConfig,
    EnsembleConfig,
    RegressionConfig,
    StudyConfig,
    SubsetConfig,
    VerdictConfig,
    parse_as_study,
    parse_study,
)
from modeldiff_core.transformations import EffectSettings, SearchSettings, TransformationTest

LEAST = 2
"""Algorithms of a league at least."""
NAME = r"^[a-z0-9][a-z0-9_-]{0,60}$"
Letter = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,20}$")]
"""What an algorithm is called in names of pairs."""


class LeagueStudy(Settings):
    """Several algorithms on one dataset, and everything that decides the numbers of their comparisons.

    algorithms: by the short name that pairs are called by. Their order is that of these names, whatever order they are
    written in, since a study passes through stores and databases that keep none; of a pair the earlier one is A. All
    other settings are those of a comparison, and each pair has them.
    """

    experiment: Literal["league"] = "league"
    name: str = Field(pattern=NAME)
    dataset: DatasetConfig
    targets: Annotated[int, Field(ge=2)] | None = Field(None, description="test examples regressed; all if not given")
    output: str = Field("margin", description="what of a model's logits is regressed; margin, or a registered output")
    algorithms: dict[Letter, AlgorithmConfig] = Field(min_length=LEAST)
    subsets: SubsetConfig = SubsetConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    screening: Screening = Field(Screening(), exclude_if=lambda asked: asked == Screening())
    regression: RegressionConfig = RegressionConfig()
    comparison: ComparisonConfig = ComparisonConfig(method="contrast")
    effects: EffectSettings = EffectSettings()
    search: SearchSettings = SearchSettings()
    verdict: VerdictConfig = VerdictConfig()
    transformations: tuple[TransformationTest, ...] = ()

    @field_validator("comparison", mode="before")
    @classmethod
    def _contrast(cls, content: Any) -> Any:
        """Take the contrast where no method is named: pairs of residual analyses cannot be told apart by one p each."""
        return {"method": "contrast", **content} if isinstance(content, dict) else content

    @field_validator("algorithms")
    @classmethod
    def _in_order(cls, content: dict[str, AlgorithmConfig]) -> dict[str, AlgorithmConfig]:
        return dict(sorted(content.items()))

    @classmethod
    def parse(cls, content: object) -> "LeagueStudy":
        """Return a validated study; raises ConfigError."""
        return parse_as_study(cls, content)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return the short names of every pair, the earlier algorithm first."""
        return tuple(combinations(self.algorithms, 2))

    def pair(self, a: str, b: str) -> StudyConfig:
        """Return the study of one pair, the same that a comparison of these two alone has.

        Raises ConfigError with the league's keys.
        """
        shared = self.model_dump(mode="json", exclude={"experiment", "algorithms", "name"})
        both = {
            f"algorithm_{side}": self.algorithms[name].model_dump(mode="json") for side, name in (("a", a), ("b", b))
        }
        try:
            return parse_study({"name": pair_name(self.name, a, b), **shared, **both})
        except ConfigError as error:
            raise in_league(error, a, b) from error


def pair_name(league: str, a: str, b: str) -> str:
    """Return the name of a pair's study; raises ConfigError if it is too long for one."""
    name = f"{league}-{a}-{b}"
    if len(name) > 61:
        raise ConfigError("name", "a name that leaves those of pairs at most 61 characters", name, "Shorten it")
    return name


def in_league(error: ConfigError, a: str, b: str) -> ConfigError:
    """Return an error of a pair's study with the keys of the league."""
    key = error.key
    for side, name in (("algorithm_a", a), ("algorithm_b", b)):
        key = f"algorithms.{name}{key.removeprefix(side)}" if key.startswith(side) else key
    return ConfigError(key, error.expected, error.got, f"{error.hint} (pair {a}, {b})".strip())
