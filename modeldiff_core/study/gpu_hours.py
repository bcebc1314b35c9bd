"""GPU-hours of a study on published data, predicted from its operations before there is a GPU or a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from modeldiff_core.data import SOURCES
from modeldiff_core.data.expected import Announced, Expected
from modeldiff_core.errors import ConfigError
from modeldiff_core.settings import build_settings
from modeldiff_core.study.build import build_algorithm
from modeldiff_core.study.config import AlgorithmConfig, StudyConfig
from modeldiff_core.study.cost import recipe_flops
from modeldiff_core.training.settings import Recipe

SHARE = 0.4
"""Of a GPU's peak that trainings are taken to reach."""
PRODUCT = 2.0
"""Trainings that a product with a training's derivatives is taken to cost: two tangents for each multiplication."""
LEAST = 0.05
"""GPU-hours below which nothing is predicted: what is so small is better measured."""


@dataclass(frozen=True)
class Gpu:
    """A GPU and its dense peak in operations a second, in bfloat16 and in TF32."""

    name: str
    bfloat16: float
    float32: float


GPUS = (Gpu("A100", 312e12, 156e12), Gpu("H100", 989e12, 494e12))
"""By their makers' data sheets."""


@dataclass(frozen=True)
class Cost:
    """Operations of a study: of subset models, of full-data models, and of a comparison by metagradients.

    trainings, reverse, forward: what the last is made of, of both algorithms together. precisions: of both recipes.
    """

    subsets: tuple[float, float]
    ensembles: tuple[float, float]
    metagradients: float
    trainings: int
    reverse: int
    forward: int
    precisions: tuple[str, str]

    def hours(self, gpu: Gpu) -> tuple[float, float, float]:
        """Return GPU-hours of subset models, full-data models and metagradients at SHARE of the GPU's peak."""
        speeds = [gpu.bfloat16 if one == "bfloat16" else gpu.float32 for one in self.precisions]
        subsets, ensembles = (
            sum(flops / speed for flops, speed in zip(part, speeds, strict=True))
            for part in (self.subsets, self.ensembles)
        )
        seconds = subsets, ensembles, self.metagradients / gpu.float32
        first, second, third = (one / SHARE / 3600 for one in seconds)
        return first, second, third


def cost_of(study: StudyConfig) -> Cost | None:
    """Return a study's operations; None where its data say no size beforehand, or where they are not counted.

    With F operations of a training on all data (study.cost) a subset model takes F times the share of the data. A
    comparison by metagradients (comparison.matrix_free) differentiates `trainings` of each algorithm, and two more of
    each for its basis, at weight `fraction` on all examples: a training of F operations, and PRODUCT·F for each of 2·2·
    probes reverse and 2·trainings·2·probes forward products, in float32. Evaluation, regression and transformations
    are left out.
    """
    size = _size(study)
    recipes = [_recipe(study.algorithm_a, "algorithm_a"), _recipe(study.algorithm_b, "algorithm_b")]
    if size is None or recipes[0] is None or recipes[1] is None:
        return None
    whole = [recipe_flops(recipe, size) for recipe in recipes if recipe is not None]
    if whole[0] is None or whole[1] is None:
        return None
    a, b = whole[0], whole[1]
    share, models, full = study.subsets.fraction, study.subsets.models, study.ensemble.models
    asked = study.comparison.matrix_free
    basis = 2 if asked.trainings >= 6 else 0
    reverse, forward = 2 * asked.probes * (basis or asked.trainings), 4 * asked.probes * asked.trainings
    trainings = 2 * (asked.trainings + basis)
    return Cost(
        (share * models * a, share * models * b),
        (full * a, full * b),
        (trainings + PRODUCT * (reverse + forward)) * (a + b) / 2,
        trainings,
        reverse,
        forward,
        (recipes[0].precision, recipes[1].precision),
    )


def predicted_lines(study: StudyConfig) -> Iterator[str]:
    """Yield what `plan` says of the GPU-hours of a study; nothing where they are not known, or hardly any."""
    cost = cost_of(study)
    if cost is None or sum(cost.hours(GPUS[0])[:2]) < LEAST:
        return
    yield f"predicted, not measured: GPU-hours from operations at {SHARE:.0%} of the GPU's dense peak"
    for gpu in GPUS:
        subsets, ensembles, metagradients = (_told(hours) for hours in cost.hours(gpu))
        yield (
            f"  {gpu.name}: {subsets} for subset models, {ensembles} for full-data models; instead of subset models "
            f"{metagradients} by metagradients ({cost.trainings} trainings, {cost.reverse} reverse and {cost.forward} "
            f"forward products, comparison.method=matrix_free)"
        )


def _told(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _size(study: StudyConfig) -> Expected | None:
    try:
        source = build_settings(SOURCES.get(study.dataset.kind), study.dataset.options(), "dataset")
    except ConfigError:
        return None  # what is wrong with it is said where the data are read
    return source.expected() if isinstance(source, Announced) else None


def _recipe(config: AlgorithmConfig, key: str) -> Recipe | None:
    """Return a recipe of kind sgd as if it started at random, so that no file of weights has to be there."""
    content: dict[str, Any] = dict(config.recipe)
    if isinstance(content.get("network"), dict):
        content["network"] = {k: v for k, v in content["network"].items() if k not in ("init", "init_sha256")}
    algorithm = build_algorithm(config.model_copy(update={"recipe": content}), key)
    return algorithm if isinstance(algorithm, Recipe) else None
