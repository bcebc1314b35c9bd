"""The study as one frozen, validated object: what a user asks for, and nothing about how it is run."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations import EffectSettings, TransformationTest


class Settings(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetConfig(BaseModel):
    """A dataset: the kind of its source, and that source's own settings beside it."""

    model_config = ConfigDict(frozen=True, extra="allow")
    kind: str = Field(description="digits, fashion_mnist, npz, or a registered entry point")

    def options(self) -> dict[str, Any]:
        """The source's settings as given."""
        return dict(self.model_extra or {})


class AlgorithmConfig(Settings):
    """A learning algorithm; `name` is for people, the rest is its identity."""

    name: str = Field(min_length=1, max_length=80)
    kind: str = Field(description="sgd, sklearn, or a registered entry point")
    seed: int = 0
    recipe: dict[str, Any] = Field(default_factory=dict, description="settings of that kind of algorithm")


class SubsetConfig(Settings):
    """The subset design. The first `evaluation_models` models are kept from every regression.

    paired: A and B are trained on the same masks.
    """

    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    seed: int = 0
    shard_size: Annotated[int, Field(ge=1)] = 100
    models: Annotated[int, Field(ge=1)] = 1000
    evaluation_models: Annotated[int, Field(ge=3)] = 100
    paired: bool = True


class EnsembleConfig(Settings):
    """Models trained on all data, for the effects of transformations."""

    models: Annotated[int, Field(ge=2)] = 20
    shard_size: Annotated[int, Field(ge=1)] = 10


class RegressionConfig(Settings):
    """The lasso of every target; see fit_lasso. block_size: targets fitted together."""

    n_lambdas: Annotated[int, Field(ge=1)] = 20
    lambda_min_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.01
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    gap_tolerance: Annotated[float, Field(gt=0)] = 1e-4
    block_size: Annotated[int, Field(ge=1)] = 400
    seed: int = 0


class ComparisonConfig(Settings):
    """Directions: how many a side, and when one counts as real.

    permutations: random exchanges of A and B behind the p-values; 0 leaves every direction untested (p = 1).
    significance: largest adjusted p of a direction that counts. top: examples named at each end.
    """

    components: Annotated[int, Field(ge=1)] = 8
    permutations: Annotated[int, Field(ge=0)] = 24
    significance: Annotated[float, Field(gt=0, lt=1)] = 0.05
    top: Annotated[int, Field(ge=1)] = 12
    seed: int = 0


class StudyConfig(Settings):
    """Two algorithms on one dataset, and everything that decides the numbers of their comparison."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")
    dataset: DatasetConfig
    targets: Annotated[int, Field(ge=2)] | None = Field(None, description="test examples regressed; all if not given")
    algorithm_a: AlgorithmConfig
    algorithm_b: AlgorithmConfig
    subsets: SubsetConfig = SubsetConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    regression: RegressionConfig = RegressionConfig()
    comparison: ComparisonConfig = ComparisonConfig()
    effects: EffectSettings = EffectSettings()
    transformations: tuple[TransformationTest, ...] = ()

    def algorithm(self, which: Literal["a", "b"]) -> AlgorithmConfig:
        """A or B."""
        return self.algorithm_a if which == "a" else self.algorithm_b


def parse_study(content: object) -> StudyConfig:
    """A validated study; raises ConfigError that names the first key at fault and counts the others."""
    try:
        return StudyConfig.model_validate(content)
    except ValidationError as error:
        raise config_error(error) from error


def config_error(error: ValidationError, prefix: str = "") -> ConfigError:
    """The first problem of a failed validation, by its configuration key."""
    problems = error.errors()
    first = problems[0]
    cause = first.get("ctx", {}).get("error")
    parts = [str(part) for part in first["loc"]]
    if isinstance(cause, ConfigError):
        # A dataclass checked itself: its key ends with the field, pydantic's path leads to it.
        key = ".".join([*parts, cause.key.rsplit(".", 1)[-1]])
        return ConfigError(prefix + key, cause.expected, cause.got, cause.hint)
    others = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
    expected = first["msg"][0].lower() + first["msg"][1:] + others
    return ConfigError(prefix + ".".join(parts), expected, first["input"])
