"""What can be wrong with a study as a whole, found before anything is trained."""

import math

import numpy as np

from modeldiff_core.comparison.contrast import LEAST_MODELS
from modeldiff_core.data import Dataset
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare.check_matrix_free import check_matrix_free
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.statistics import unseen_share
from modeldiff_core.study.build import algorithm_for, check_data
from modeldiff_core.study.check_estimators import check_estimators
from modeldiff_core.study.config import StudyConfig
from modeldiff_core.study.trainings import Training, target_examples
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.subsets.sampler import probability_of_missing_a_class
from modeldiff_core.training import SizedAlgorithm
from modeldiff_core.transformations import build_on
from modeldiff_core.transformations.search import FEW_MODELS, check_halves, check_models
from modeldiff_core.transformations.trial import TRIED, try_on

SMALL = 30
"""Test images that are too few for any number of directions that somebody would ask for."""
LEAST_HELD_OUT = 20
"""Held-out models from which on the intervals of scores hold (``benchmarks/score_intervals.py``)."""
CHANCE = 0.01
"""Largest chance, over all models, that some subset misses some class."""


def check_study(study: StudyConfig, data: Dataset, trainings: tuple[Training, Training]) -> list[str]:
    """Raise ConfigError for a study that cannot give a result; return warnings about likely mistakes."""
    check_data(study.dataset, data)
    if study.algorithm_a.name == study.algorithm_b.name:
        hint = "Runs, tables and figures tell the two apart by their names"
        raise ConfigError("algorithm_b.name", "another name than algorithm_a's", study.algorithm_b.name, hint)
    if study.regression.prior and study.comparison.method != "contrast":
        hint = "Nulls of residual analyses fit margins again without a prior, and trainings alone fit none"
        raise ConfigError("regression.prior", "none, with this comparison.method", study.regression.prior, hint)
    if (axes := OUTPUTS.get(study.output).axes) != ("targets",):
        raise ConfigError("output", "an output of one number a target", study.output, f"Its axes are {', '.join(axes)}")
    if (predicted := "classes" if data.target is None else "number") != OUTPUTS.get(study.output).of:
        able = ", ".join(name for name in OUTPUTS.names() if OUTPUTS.get(name).of == predicted)
        raise ConfigError("output", f"an output of {predicted}, as the data have them: {able}", study.output)
    if study.targets is not None and study.targets > len(data.test):
        raise ConfigError("targets", f"at most the {len(data.test)} test examples", study.targets)
    subsets = study.subsets
    for name in ("models", "evaluation_models"):
        if getattr(subsets, name) % subsets.seeds:
            expected = f"a multiple of subsets.seeds ({subsets.seeds})"
            raise ConfigError(f"subsets.{name}", expected, getattr(subsets, name), "All models of a mask go together")
    if subsets.evaluation_models < 3 * subsets.seeds:
        expected = f"3 masks or more, of subsets.seeds ({subsets.seeds}) models each"
        raise ConfigError("subsets.evaluation_models", expected, subsets.evaluation_models)
    fitted = (subsets.models - subsets.evaluation_models) // subsets.seeds
    if fitted < 20:
        expected = f"at least {20 * subsets.seeds} more than subsets.evaluation_models ({subsets.evaluation_models})"
        raise ConfigError("subsets.models", expected, subsets.models)
    if study.regression.folds > fitted // 2:
        hint = "Half of the models that are fitted is fitted alone, too: train more models, or take fewer folds"
        raise ConfigError("regression.folds", f"at most {fitted // 2}", study.regression.folds, hint)
    _check_sizes(study, data)
    targets = len(data.test) if study.targets is None else study.targets
    if study.comparison.components >= min(targets, len(data.train)):
        raise ConfigError(
            "comparison.components",
            f"fewer than the {min(targets, len(data.train))} targets or training examples",
            study.comparison.components,
        )
    sampler = trainings[0].sampler(len(data.train))
    masks = -(-subsets.models // subsets.seeds)
    sampler.masks(range(min(3, masks)))  # groups that fill no subset are named now
    if data.classes:
        _check_classes(study, data, sampler, masks)
    if study.search.directions:
        check_models(study.ensemble.models)
        _check_search(study, data, targets)
    warnings = list(data.inventory.remarks)
    warnings += _few(study, targets)
    seen: set[str] = set()
    for test in study.transformations:
        if test.name in seen:
            raise ConfigError("transformations", "distinct names", test.name)
        seen.add(test.name)
        if test.target_class is not None and data.target is not None:
            hint = f"{data.target.name!r} is a number: leave target_class out"
            raise ConfigError(f"transformations.{test.name}.target_class", "no class", test.target_class, hint)
        if test.target_class is not None and not 0 <= test.target_class < len(data.classes):
            raise ConfigError(
                f"transformations.{test.name}.target_class", f"a class in 0..{len(data.classes) - 1}", test.target_class
            )
        build_on(test, data.test)
        if not try_on(test, target_examples(data, targets), study.effects):
            warnings.append(
                f"transformations.{test.name} changes none of the {TRIED} {data.kind.noun}s that it was tried on: its "
                "effect may be zero whatever the models are"
            )
    _check_algorithms(data, trainings, (sampler.size, len(data.train)))
    check_estimators(study.regression, trainings, len(data.train))
    settings = study.comparison
    if settings.method == "matrix_free":
        return [*warnings, *check_matrix_free(study, trainings, len(data.train)), *_same(study, trainings)]
    if settings.method == "contrast":
        return [*warnings, *_check_contrast(study), *_same(study, trainings)]
    if study.verdict.margin or study.verdict.fail_on:
        hint = "A verdict rests on a contrast: comparison.method=contrast"
        raise ConfigError(
            "verdict", "no margin and nothing to fail on, where residuals are compared", settings.method, hint
        )
    tests = 2 * settings.components
    least = tests / (tests * settings.permutations + 1)
    if settings.permutations and least > settings.significance:
        warnings.append(
            f"comparison.permutations ({settings.permutations}): no direction can be significant, since the smallest p "
            f"adjusted over {tests} directions is {least:.2g}"
        )
    return [*warnings, *_same(study, trainings)]


def _same(study: StudyConfig, trainings: tuple[Training, Training]) -> list[str]:
    """Return a warning about algorithms that are the same but for their names."""
    a, b = trainings
    if a.identity["algorithm"] != b.identity["algorithm"]:
        return []
    return [
        f"algorithm_a ({study.algorithm_a.name}) and algorithm_b ({study.algorithm_b.name}) are the same algorithm "
        "with the same seed under two names: every difference will be zero"
    ]


def _check_contrast(study: StudyConfig) -> list[str]:
    """Return warnings about a contrast; raises ConfigError for too few models."""
    fitted = (study.subsets.models - study.subsets.evaluation_models) // study.subsets.seeds
    if fitted < LEAST_MODELS:
        most = f"at least {LEAST_MODELS} masks more than those of the evaluation models"
        raise ConfigError("subsets.models", most, study.subsets.models)
    draws, significance = study.comparison.draws, study.comparison.significance
    if draws and 1 / (draws + 1) > significance:
        least = f"{1 / (draws + 1):.2g}"
        return [f"comparison.draws ({draws}): no direction can be significant, since the smallest p is {least}"]
    return []


def _check_classes(study: StudyConfig, data: Dataset, sampler: SubsetSampler, masks: int) -> None:
    """Raise ConfigError for subsets that may miss a class."""
    labels, size = data.train.labels, sampler.size
    if sampler.groups:  # a group is drawn as one
        _, firsts = np.unique(sampler.groups, return_index=True)
        labels, size = labels[firsts], round(size * len(firsts) / len(labels))
    chance, rarest = probability_of_missing_a_class(labels, len(data.classes), size, masks)
    if chance > CHANCE:
        count = int((data.train.labels == rarest).sum())
        raise ConfigError(
            "subsets.fraction",
            f"subsets that miss no class (chance of a miss over all models at most {CHANCE:g})",
            study.subsets.fraction,
            f"A subset of {sampler.size} misses class {data.classes[rarest]!r} ({count} training examples), or "
            f"another, with chance {chance:.2g}; take a larger fraction or more examples of the class",
        )


def _check_sizes(study: StudyConfig, data: Dataset) -> None:
    """Raise ConfigError where there are too few images for any number of directions."""
    components = study.comparison.components
    noun = data.kind.noun
    for part, examples in (("test", data.test), ("training", data.train)):
        count = len(examples)
        if count <= SMALL and count <= components:
            hint = f"With {count} there can be {count - 1} directions at most: comparison.components={count - 1}"
            few = f"Directions are differences between targets; bring more {noun}s"
            expected = f"more {part} {noun}s than directions ({components})"
            raise ConfigError("dataset", expected, count, hint if count > 2 else few)


def _check_search(study: StudyConfig, data: Dataset, targets: int) -> None:
    """Raise ConfigError for targets that cannot be halved for a search; few test images are named as such."""
    try:
        check_halves(target_examples(data, targets).strata, study.search, classed=data.target is None)
    except ConfigError as error:
        if targets < len(data.test) or targets > SMALL:
            raise
        expected = f"test images of which each half has 2 or more beside each class, more than the {targets} there are"
        raise ConfigError("dataset", expected, targets, error.hint) from error


def _few(study: StudyConfig, targets: int) -> list[str]:
    """Return warnings about numbers with which intervals and tests say little."""
    said = []
    if study.subsets.evaluation_models < LEAST_HELD_OUT:
        said.append(
            f"subsets.evaluation_models ({study.subsets.evaluation_models}): intervals of the scores hold from "
            f"{LEAST_HELD_OUT} models on"
        )
    if study.search.directions and study.ensemble.models < FEW_MODELS:
        said.append(
            f"ensemble.models ({study.ensemble.models}): the search confirms with half of them, whose variance is "
            f"hardly known with fewer than {FEW_MODELS}; unless models vary little, nothing will be confirmed"
        )
    images = min(targets // 2 if study.search.directions else targets, study.effects.max_images)
    unseen = unseen_share(images, 1 - study.effects.alpha)
    if unseen >= study.effects.epsilon > 0 and (study.search.directions or study.transformations):
        least = math.ceil(math.log(study.effects.alpha) / math.log1p(-study.effects.epsilon))
        said.append(
            f"targets ({targets}): with {images} images that a transformation is put to the test on, nothing shows "
            "that an algorithm moves by less than effects.epsilon "
            f"({study.effects.epsilon:g}); that takes {least} or more"
        )
    return said


def _check_algorithms(data: Dataset, trainings: tuple[Training, Training], sizes: tuple[int, ...]) -> None:
    """Let each algorithm see the shape of the data and the sizes of subsets: what it cannot take is found now."""
    for training in trainings:
        try:
            algorithm = algorithm_for(data, training.algorithm, training.key)
            algorithm.check(data.image_shape, data.n_outputs)
            if isinstance(algorithm, SizedAlgorithm):
                for size in sizes:
                    algorithm.check_size(data.image_shape, data.n_outputs, size)
        except ConfigError as error:
            key = error.key if error.key.startswith(training.key) else f"{training.key}.{error.key}"
            raise ConfigError(key, error.expected, error.got, error.hint) from error
