"""From configuration to objects: datasets and algorithms, each error with its full key."""

import json
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from modeldiff_core.data import SOURCES, Dataset
from modeldiff_core.data.duplicates import Likeness, without_copies
from modeldiff_core.data.kinds import PICTURES
from modeldiff_core.data.soundness import check_dataset
from modeldiff_core.datamodels import ESTIMATORS, Estimator
from modeldiff_core.errors import ConfigError, DataError
from modeldiff_core.identity import canonical_json, plain
from modeldiff_core.settings import build_settings
from modeldiff_core.study.config import AlgorithmConfig, DatasetConfig, RegressionConfig
from modeldiff_core.study.given import KIND as GIVEN
from modeldiff_core.study.given import Given
from modeldiff_core.training import ALGORITHMS, Algorithm
from modeldiff_core.training.protocol import KnowsData


def build_algorithm(config: AlgorithmConfig, key: str) -> Algorithm:
    """Return the algorithm that a configuration names; `key` is algorithm_a or algorithm_b."""
    try:
        cls = ALGORITHMS.get(config.kind)
    except ConfigError as error:
        raise ConfigError(f"{key}.kind", error.expected, error.got, error.hint) from error
    return build_settings(cls, config.recipe, f"{key}.recipe")


def algorithm_for(data: Dataset, config: AlgorithmConfig, key: str) -> Algorithm:
    """Return the algorithm that a configuration names, ready for the examples of a data set.

    Raises ConfigError for one that takes images of classes alone, where examples are something else.
    """
    algorithm = build_algorithm(config, key)
    if isinstance(algorithm, KnowsData):
        try:
            return algorithm.on(data)
        except ConfigError as error:
            moved = error.key if error.key.startswith(key) else f"{key}.{error.key}"
            raise ConfigError(moved, error.expected, error.got, error.hint) from error
    if data.kind == PICTURES and data.target is None:
        return algorithm
    what = f"{data.kind.noun}s" if data.target is None else f"a number to predict ({data.target.name})"
    able = sorted(name for name in ALGORITHMS.names() if issubclass(ALGORITHMS.get(name), KnowsData))
    raise ConfigError(f"{key}.kind", f"an algorithm that takes {what}: one of {', '.join(able)}", config.kind)


def build_estimator(config: RegressionConfig, kind: str, key: str = "regression.estimator") -> Estimator:
    """Return the estimator of that kind with the settings that it was given; `key`: where the kind was asked for."""
    return estimator_of(kind, config.settings_of(kind), key)


def estimator_of(kind: str, settings: dict[str, Any], key: str = "regression.estimator") -> Estimator:
    """Return the estimator of a kind and its settings, kept for later calls in the same process."""
    return _cached_estimator(kind, canonical_json(settings), key)


@lru_cache(maxsize=64)
def _cached_estimator(kind: str, encoded: str, key: str) -> Estimator:
    try:
        cls = ESTIMATORS.get(kind)
    except ConfigError as error:
        raise ConfigError(key, error.expected, error.got, error.hint) from error
    return build_settings(cls, json.loads(encoded), f"regression.settings.{kind}")


def load_dataset(config: DatasetConfig) -> Dataset:
    """Return the dataset that a configuration names, kept in memory for later calls in the same process."""
    encoded = canonical_json({"kind": config.kind, **config.options()})
    return _without_copies(encoded, config.duplicates_by) if config.duplicates == "drop" else _cached_dataset(encoded)


@lru_cache(maxsize=4)
def _without_copies(encoded: str, by: Likeness) -> Dataset:
    return without_copies(_cached_dataset(encoded), by)


@lru_cache(maxsize=4)
def _cached_dataset(encoded: str) -> Dataset:
    options = json.loads(encoded)
    kind = options.pop("kind")
    source = build_settings(Given if kind == GIVEN else SOURCES.get(kind), options, "dataset")
    try:
        return _with_indices(source.load())
    except DataError as error:
        raise unusable(kind, error) from error


def _with_indices(dataset: Dataset) -> Dataset:
    """Return a dataset whose labels are int64: what is counted from small or unsigned ones would overflow.

    Labels that are numbers to predict stay as they are.
    """
    train, test = (
        part
        if part.labels.dtype == np.int64 or not part.classed
        else replace(part, labels=part.labels.astype(np.int64))
        for part in (dataset.train, dataset.test)
    )
    return dataset if train is dataset.train and test is dataset.test else replace(dataset, train=train, test=test)


def check_images(dataset: Dataset, experiment: str) -> None:
    """Raise ConfigError for examples that are no images of classes, which an experiment cannot take."""
    if dataset.kind != PICTURES or dataset.target is not None:
        what = f"{dataset.kind.noun}s" if dataset.target is None else "numbers that are predicted"
        raise ConfigError("experiment", f"compare, the experiment that takes {what}", experiment)


def check_data(config: DatasetConfig, dataset: Dataset) -> None:
    """Raise ConfigError for examples of which no comparison can be made."""
    try:
        check_dataset(dataset)
    except DataError as error:
        raise unusable(config.kind, error) from error


def unusable(kind: str, error: DataError) -> ConfigError:
    """Return the error of a request whose data are at fault."""
    return ConfigError("dataset", "examples that can be used", kind, str(error))


def recipe_identity(algorithm: Algorithm) -> object:
    """Return the algorithm's settings with every default, so that a changed default is a changed identity.

    An algorithm may say itself what decides its numbers, by a method ``identity``.
    """
    own = getattr(algorithm, "identity", None)
    return plain(own()) if callable(own) else plain(algorithm)
