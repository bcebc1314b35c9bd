"""Settings of a component attribution."""

from typing import Annotated, Any, Literal

from pydantic import Field

from modeldiff_core.ablation import FillKind, Precision, Selection
from modeldiff_core.designs import Bernoulli
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.components.edit_settings import EditConfig
from modeldiff_core.experiments.one_page import OnePageStudy
from modeldiff_core.models.gpt2 import Gpt2Sizes
from modeldiff_core.settings import Settings
from modeldiff_core.study.build import estimator_of
from modeldiff_core.study.config import AlgorithmConfig, DatasetConfig, EnsembleConfig, SubsetConfig

Share = Annotated[float, Field(gt=0, lt=1)]
PENALTIES = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Strengths of ridge: the variance of a mask's entry is alpha·(1 − alpha), a tenth for a tenth ablated."""


class SelectionConfig(Settings):
    """Components by kind and by the names of their modules; see ``ablation.Selection``."""

    kind: str = "filters"
    pattern: str = ".*"
    leave_out: str = ""

    def selection(self) -> Selection:
        """Return it as the library takes it."""
        return Selection(self.kind, self.pattern, self.leave_out)


class RoundsConfig(Settings):
    """Rounds of an adaptive study: the first has `first` ablations a component, each later one `growth` times as many.

    After each, weights are fitted and tested on the `held_rows` first ablations, which no fit uses. Rounds end when the
    mean correlation over targets and networks reaches `wished`, or a round raised it by less than `least_gain`.
    """

    first: Annotated[float, Field(gt=0)] = 3.0
    growth: Annotated[float, Field(gt=1, le=8)] = 1.6
    held_rows: Annotated[int, Field(ge=3)] = 100
    least_gain: Annotated[float, Field(gt=0, lt=1)] = 0.005
    wished: Share | None = None


class AblationConfig(Settings):
    """The random ablations.

    alpha: the share of components that is ablated, each with this probability, independently of the others; a fixed
    number a row would make the weights sum to zero. fill: what takes their place. rows: how many ablations the weights
    are fitted on; with `adaptive` the most, see ``RoundsConfig``. tests: shares at which the weights are tested, on
    `test_rows` ablations each that played no part in any fit. memory_mb: megabytes of activations in one launch, no
    part of the results. precision: of products and convolutions; bfloat16, for GPUs, is refused where its outputs
    differ from float32's by more than 5 % of what ablation changes.
    """

    alpha: Share = 0.1
    fill: FillKind = "zero"
    rows: Annotated[int, Field(ge=10)] = 1400
    tests: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.05, 0.1, 0.2, 0.3)
    test_rows: Annotated[int, Field(ge=3)] = 200
    shard_size: Annotated[int, Field(ge=1)] = 200
    seed: int = 0
    memory_mb: Annotated[int, Field(ge=1)] = 64
    precision: Precision = "float32"
    adaptive: bool = False
    rounds: RoundsConfig = RoundsConfig()


class FitConfig(Settings):
    """How weights are fitted: 'ridge' (least squares is its limit), 'lasso', or any estimator from masks.

    settings: those of that estimator. Ridge's strength is the best of `penalties` (PENALTIES if none are given) for
    each target on a tenth of the rows, held out. block_size: targets in one task.
    """

    estimator: str = "ridge"
    settings: dict[str, Any] = Field(default_factory=dict)
    block_size: Annotated[int, Field(ge=1)] = 400

    def complete(self) -> dict[str, Any]:
        """Return the settings of the estimator with our penalties where ridge has none."""
        return {**({"penalties": list(PENALTIES)} if self.estimator == "ridge" else {}), **self.settings}


class LanguageConfig(Settings):
    """GPT-2 on sequences of tokens, in place of a data set of images and an algorithm.

    tokens: an .npz with `tokens` [sequences, tokens] and `lengths` [sequences]. weights: a file with the published
    names; random ones without it. The others are its sizes.
    """

    tokens: str
    weights: str = ""
    blocks: Annotated[int, Field(ge=1)] = 12
    width: Annotated[int, Field(ge=1)] = 768
    heads: Annotated[int, Field(ge=1)] = 12
    vocabulary: Annotated[int, Field(ge=2)] = 50257
    context: Annotated[int, Field(ge=2)] = 1024

    def sizes(self) -> Gpt2Sizes:
        """Return the sizes as the library takes them."""
        return Gpt2Sizes(self.blocks, self.width, self.heads, self.vocabulary, self.context)


class ComponentsStudy(OnePageStudy):
    """Networks, their components, the examples whose outputs are attributed to these, and the ablations.

    networks: full-data models of a training, by number; a comparison of the same algorithm, data, `targets`, subsets
    and ensemble has the same ones. weights: 'trained'; 'stored': those of the file that algorithm.recipe.network.init
    names; 'random': untrained, by number. language: GPT-2 in place of `dataset` and `algorithm`. attributed: outputs of
    the first so many of the targets are attributed.
    """

    experiment: Literal["components"] = "components"
    dataset: DatasetConfig | None = None
    targets: Annotated[int, Field(ge=2)] | None = None
    output: str = "margin"
    algorithm: AlgorithmConfig | None = None
    weights: Literal["trained", "stored", "random"] = "trained"
    language: LanguageConfig | None = None
    subsets: SubsetConfig = SubsetConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    networks: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    components: Annotated[tuple[SelectionConfig, ...], Field(min_length=1)] = (SelectionConfig(),)
    attributed: Annotated[int, Field(ge=2)] = 200
    ablation: AblationConfig = AblationConfig()
    fit: FitConfig = FitConfig()
    edits: tuple[EditConfig, ...] = ()


def check_source(study: ComponentsStudy) -> None:
    """Raise ConfigError for a study that does not say where its networks come from, or says it twice."""
    given = [name for name in ("dataset", "algorithm", "language") if getattr(study, name) is not None]
    if given not in (["dataset", "algorithm"], ["language"]):
        raise ConfigError("language", "either dataset and algorithm, or language", ", ".join(given) or "none of them")
    if study.language is not None or study.weights == "stored":
        init = (study.algorithm.recipe.get("network") or {}).get("init", "random") if study.algorithm else ""
        if init == "random":
            hint = "weights=random leaves it untrained"
            raise ConfigError("algorithm.recipe.network.init", "a file with weights", init, hint)
    if study.weights == "random" and study.algorithm is not None:
        init = (study.algorithm.recipe.get("network") or {}).get("init", "random")
        if init != "random":
            raise ConfigError("weights", "stored, since the recipe names a file with weights", study.weights, init)
    if study.language is not None or study.weights == "stored":
        alone = study.language is None or study.language.weights
        if alone and len(study.networks) > 1:
            raise ConfigError("networks", "one number, since the file holds one network", list(study.networks))


def check_components(study: ComponentsStudy, targets: int, count: int) -> list[str]:
    """Return warnings; raises ConfigError for numbers that cannot give a result. targets: how many there are."""
    if study.attributed > targets:
        raise ConfigError("attributed", f"at most the {targets} targets", study.attributed)
    if len(set(study.networks)) < len(study.networks):
        raise ConfigError("networks", "distinct numbers", list(study.networks))
    if len(set(study.ablation.tests)) < len(study.ablation.tests):
        raise ConfigError("ablation.tests", "distinct shares", list(study.ablation.tests))
    estimator = estimator_of(study.fit.estimator, study.fit.complete(), "fit.estimator")
    if not hasattr(estimator, "prepare"):
        raise ConfigError("fit.estimator", "an estimator from masks and outputs", study.fit.estimator)
    for alpha in (study.ablation.alpha, *study.ablation.tests):
        Bernoulli(count, 1 - alpha, 0)
        if alpha * count < 1:
            hint = f"There are {count} components"
            raise ConfigError("ablation.alpha", f"a share that ablates one component or more ({hint})", alpha)
    if study.ablation.rows < 3 * count:
        return [
            f"ablation.rows: {study.ablation.rows} ablations of {count} components; with fewer than three a component "
            "the weights are mostly those of the penalty"
        ]
    return []
