"""The study as one frozen, validated object: what a user asks for, and nothing about how it is run."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from modeldiff_core.data.duplicates import Likeness
from modeldiff_core.datamodels.lasso import Lasso
from modeldiff_core.errors import ConfigError
from modeldiff_core.margins.screening import Screening
from modeldiff_core.settings import Settings, build_settings, config_error
from modeldiff_core.transformations import EffectSettings, SearchSettings, TransformationTest

S = TypeVar("S", bound=BaseModel)


CHOICES = {"duplicates": "go_on", "duplicates_by": "near"}
"""Choices about images that are there more than once; left out where they are these, which change nothing."""


class DatasetConfig(BaseModel):
    """A dataset: the kind of its source, and that source's own settings beside it.

    duplicates: images that are there more than once are left as they are (go_on), kept together in each subset (group),
    or taken out of the training set but for the first, and all that are test images, too (drop). duplicates_by: which
    count as the same image, near copies or only exact ones.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    kind: str = Field(description="digits, fashion_mnist, npz, or a registered entry point")
    duplicates: Literal["go_on", "group", "drop"] = "go_on"
    duplicates_by: Likeness = "near"

    @property
    def groups(self) -> Likeness | None:
        """What makes training images a group that subsets take whole; None if nothing does."""
        return self.duplicates_by if self.duplicates == "group" else None

    @model_serializer(mode="wrap")
    def _without_usual_choices(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        content = handler(self)
        if self.duplicates == CHOICES["duplicates"]:  # what likeness would be then decides nothing either
            return {name: value for name, value in content.items() if name not in CHOICES}
        return content

    def options(self) -> dict[str, Any]:
        """Return the source's settings as given."""
        return dict(self.model_extra or {})


class AlgorithmConfig(Settings):
    """A learning algorithm; `name` is for people, the rest is its identity."""

    name: str = Field(min_length=1, max_length=80)
    kind: str = Field(description="sgd, sklearn, or a registered entry point")
    seed: int = 0
    recipe: dict[str, Any] = Field(default_factory=dict, description="settings of that kind of algorithm")


class RoundsConfig(Settings):
    """Nested prefixes of the models, each `growth` times the one before: points of the curve, rounds of training.

    targets: how many are drawn to follow the score. least_gain: adaptive training stops when a round raises the score
    of neither algorithm by as much. wished_score: the curve says how many models it takes.
    """

    growth: Annotated[float, Field(gt=1, le=4)] = 1.2
    targets: Annotated[int, Field(ge=2)] = 100
    least_gain: Annotated[float, Field(gt=0, lt=1)] = 0.01
    wished_score: Annotated[float, Field(gt=0, lt=1)] | None = None


class SubsetConfig(Settings):
    """The subset design. The first `evaluation_models` models are kept from every regression.

    paired: A and B are trained on the same masks. adaptive: `models` is the most that are trained, in rounds.
    seeds: models that are trained on each mask, one after the other, with seeds of their own; regressions, scores and
    exchanges take all models of a mask or none.
    """

    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    seed: int = 0
    shard_size: Annotated[int, Field(ge=1)] = 100
    models: Annotated[int, Field(ge=1)] = 1000
    evaluation_models: Annotated[int, Field(ge=3)] = 100
    paired: bool = True
    seeds: Annotated[int, Field(ge=1)] = 1
    adaptive: bool = False
    rounds: RoundsConfig = RoundsConfig()

    def settled(self, models: int) -> "SubsetConfig":
        """Return the equivalent non-adaptive design with `models` models."""
        rounds = self.rounds.model_copy(update={"least_gain": RoundsConfig().least_gain})
        return self.model_copy(update={"models": models, "adaptive": False, "rounds": rounds})


class EnsembleConfig(Settings):
    """Models trained on all data, for the effects of transformations."""

    models: Annotated[int, Field(ge=2)] = 20
    shard_size: Annotated[int, Field(ge=1)] = 10


BESIDE = "lasso"
"""The estimator whose settings may be given beside `regression.settings`."""


class RegressionConfig(Settings):
    """How attributions are estimated.

    estimator: the kind that the comparison uses.
    also: kinds that are fitted and scored besides it.
    settings: of each kind, by kind. Those of the lasso may also be given beside this key, where they were when it was
    the only one; wherever they are given, they end up there.
    prior: 'metagradient' takes away from the margins what derivatives of `settings.metagradient.trainings` trainings
    predict of them, by one fitted factor a target, and fits the rest on the masks; for comparison.method=contrast,
    which rests on the margins themselves.
    block_size: targets in one task, rounded up to whole chunks.
    """

    estimator: str = "lasso"
    prior: Literal["metagradient"] | None = None
    also: tuple[str, ...] = ()
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    n_lambdas: Annotated[int, Field(ge=1)] = Lasso.n_lambdas
    lambda_min_ratio: Annotated[float, Field(gt=0, lt=1)] = Lasso.lambda_min_ratio
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = Lasso.validation_fraction
    folds: Annotated[int, Field(ge=0)] = Lasso.folds
    gap_tolerance: Annotated[float, Field(gt=0)] = Lasso.gap_tolerance
    memory_budget_mb: Annotated[int, Field(gt=0)] = int(Lasso.memory_budget_mb)
    precise: bool = Lasso.precise
    block_size: Annotated[int, Field(ge=1)] = 400
    seed: int = Lasso.seed

    @model_validator(mode="before")
    @classmethod
    def _lifted(cls, content: Any) -> Any:
        """Move what `settings` says of the lasso to where it has always been, so that both ways are one study."""
        settings = content.get("settings") if isinstance(content, Mapping) else None
        if not isinstance(settings, Mapping) or not isinstance(settings.get(BESIDE), Mapping):
            return content
        own, others = settings[BESIDE], {kind: given for kind, given in settings.items() if kind != BESIDE}
        build_settings(Lasso, dict(own), f"regression.settings.{BESIDE}")
        return {**content, **own, "settings": others}

    @model_validator(mode="after")
    def _fits_the_lasso(self) -> "RegressionConfig":
        build_settings(Lasso, self.settings_of(BESIDE), "regression")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Leave out a prior that was not asked for: such a study is written as before there was one."""
        content = handler(self)
        return content if self.prior else {name: value for name, value in content.items() if name != "prior"}

    def settings_of(self, kind: str) -> dict[str, Any]:
        """Return the settings that were given for an estimator."""
        if kind != BESIDE:
            return dict(self.settings.get(kind, {}))
        return self.model_dump(include={field.name for field in fields(Lasso)})


class MatrixFreeConfig(Settings):
    """How a comparison without subset models to fit is made: by products of differentiated trainings.

    trainings: of each algorithm that are compared. From 6 on directions are tested, with whole trainings as replicates,
    in a basis of two further trainings of each; fewer cannot be tested. probes: reverse products of each training that
    chooses the basis, which has twice as many directions. scored: trainings of each whose forward products along the
    masks of the held-out subset models give the score; each costs as many products as there are held-out models.
    batch_statistics: see the estimator metagradient.
    """

    trainings: Annotated[int, Field(ge=1, le=64)] = 8
    probes: Annotated[int, Field(ge=2, le=512)] = 16
    scored: Annotated[int, Field(ge=1, le=64)] = 1
    batch_statistics: Literal["full", "weighted"] = "full"


class ComparisonConfig(Settings):
    """Directions: how many a side, and when one counts as real.

    method: 'contrast', one symmetric contrast of A and B (comparison.contrast); or two residual analyses, of A on B
    and of B on A: 'pca' of the residual datamodels of all models, as published ('residual' is another word for it), or
    'crossfit': eigenvectors of the cross-covariance of the residuals of two disjoint halves of the models, in which
    estimation noise cancels; or 'matrix_free': the contrast of a few trainings that are differentiated with respect to
    their training examples, without any datamodel (comparison.trainings), of which matrix_free says how many. A study
    that names none has 'pca', as before there was a contrast; the configurations that ship ask for the contrast.
    hypothesis: what is tested. 'reliance': for every target E[θ_A,t] = c_t·E[θ_B,t] with a c_t > 0 of its own;
    'identical': c_t = 1. A contrast tests either, residuals the second; without one a contrast tests reliance.
    normalize: rows to unit length first, as published; without it, as in the public package, test images count by how
    strongly they depend on the training images, which finds more (docs/calibration.md).
    null_from: 'exchange' of A's and B's margins, or disjoint 'parts' of A's models and of B's, which is stricter.
    permutations: random exchanges, or partings, behind the p-values; 0 leaves every direction untested (p = 1).
    draws: most draws of a contrast's null; they end early where p is clearly large.
    one_by_one: take a significant direction of a contrast out before the next is tested, against draws of its own.
    Finds weaker directions, and the lesser parts of one difference; without it all are tested against the draws of
    the largest.
    significance: largest adjusted p of a direction that counts. top: examples named at each end.
    """

    method: Literal["contrast", "pca", "crossfit", "matrix_free"] = "pca"
    hypothesis: Literal["reliance", "identical"] | None = None
    matrix_free: MatrixFreeConfig = MatrixFreeConfig()
    draws: Annotated[int, Field(ge=0)] = 99
    one_by_one: bool = False
    normalize: bool = False
    components: Annotated[int, Field(ge=1)] = 8
    null_from: Literal["exchange", "parts"] = "exchange"
    permutations: Annotated[int, Field(ge=0)] = 24
    significance: Annotated[float, Field(gt=0, lt=1)] = 0.05
    top: Annotated[int, Field(ge=1)] = 12
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _named(cls, content: Any) -> Any:
        """Take 'residual' for the residual analysis that it stands for."""
        if isinstance(content, Mapping) and content.get("method") == "residual":
            return {**content, "method": "pca"}
        return content

    @model_validator(mode="after")
    def _fits_the_method(self) -> "ComparisonConfig":
        if self.hypothesis is None:
            free = self.method in ("contrast", "matrix_free")
            object.__setattr__(self, "hypothesis", "reliance" if free else "identical")
        if self.hypothesis == "identical" and self.method == "matrix_free":
            hint = "Trainings are tested for relying on the same examples; identical needs comparison.method=contrast"
            raise ConfigError("comparison.hypothesis", "reliance, with method=matrix_free", "identical", hint)
        if self.hypothesis == "reliance" and self.method not in ("contrast", "matrix_free"):
            hint = "Residuals are tested against exchanges of A and B; reliance needs comparison.method=contrast"
            raise ConfigError("comparison.hypothesis", f"identical, with method={self.method}", "reliance", hint)
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Leave out what residual analyses have no use for: such a study is written as before there was a contrast."""
        content = handler(self)
        left_out = UNUSED.get(self.method, (*OF_CONTRASTS, "matrix_free"))
        return {name: value for name, value in content.items() if name not in left_out}


OF_CONTRASTS = "hypothesis", "draws", "one_by_one"
"""Settings that only a contrast has."""
UNUSED = {
    "contrast": ("matrix_free",),
    "matrix_free": ("draws", "one_by_one", "normalize", "null_from", "permutations"),
}
"""Settings that a method has no use for."""


class VerdictConfig(Settings):
    """When a comparison as a whole is different, equivalent or undecided, and what the command makes of it.

    margin: share of a datamodel's squared length (comparison.verdict) that all differences together must stay below
    to be equivalent, or exceed to be different; 0 for none: then a significant direction is enough.
    probability: change of a probability that the effects of A and of B under every transformation put to the test must
    differ by less than, or more; 0 for none. Written down only where it is set.
    fail_on: verdicts that end `modeldiff compare` with exit code 3.
    """

    margin: Annotated[float, Field(ge=0, lt=2)] = 0.0
    probability: Annotated[float, Field(ge=0, lt=1, exclude_if=lambda asked: asked == 0)] = 0.0
    fail_on: tuple[Literal["different", "equivalent", "undecided"], ...] = ()

    @field_validator("fail_on", mode="before")
    @classmethod
    def _one_word(cls, content: Any) -> Any:
        return (content,) if isinstance(content, str) else content


class StudyConfig(Settings):
    """Two algorithms on one dataset, and everything that decides the numbers of their comparison.

    screening: what becomes of subset models that stand out; written down only where it is not the usual, so that
    studies from before it have the digests that they had.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")
    dataset: DatasetConfig
    targets: Annotated[int, Field(ge=2)] | None = Field(None, description="test examples regressed; all if not given")
    output: str = Field("margin", description="what of a model's logits is regressed; margin, or a registered output")
    algorithm_a: AlgorithmConfig
    algorithm_b: AlgorithmConfig
    subsets: SubsetConfig = SubsetConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    screening: Screening = Field(Screening(), exclude_if=lambda asked: asked == Screening())
    regression: RegressionConfig = RegressionConfig()
    comparison: ComparisonConfig = ComparisonConfig()
    effects: EffectSettings = EffectSettings()
    search: SearchSettings = SearchSettings()
    verdict: VerdictConfig = VerdictConfig()
    transformations: tuple[TransformationTest, ...] = ()

    @classmethod
    def parse(cls, content: object) -> "StudyConfig":
        """Return a validated study; raises ConfigError."""
        return parse_as_study(cls, content)


def parse_study(content: object) -> StudyConfig:
    """Return a validated study; raises ConfigError that names the first key at fault and counts the others."""
    return parse_as_study(StudyConfig, content)


def parse_as_study(cls: type[S], content: object) -> S:
    """Return a validated study of a class that may have more keys; raises ConfigError like ``parse_study``."""
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        raise _named(config_error(error), content) from error


def _named(error: ConfigError, content: object) -> ConfigError:
    """Return the error with a transformation's name in its key in place of its position."""
    root, *rest = error.key.split(".")
    tests = content.get("transformations") if isinstance(content, Mapping) else None
    if root != "transformations" or not rest or not rest[0].isdigit() or not isinstance(tests, list | tuple):
        return error
    test = tests[int(rest[0])]
    name = test.get("name") if isinstance(test, Mapping) else None
    if not isinstance(name, str):
        return error
    return ConfigError(".".join([root, name, *rest[1:]]), error.expected, error.got, error.hint)
