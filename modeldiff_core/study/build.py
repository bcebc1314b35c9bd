"""From configuration to objects: datasets and algorithms, each error with its full key."""

import dataclasses
import json
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from modeldiff_core.data import SOURCES, Dataset
from modeldiff_core.datamodels import ESTIMATORS, Estimator
from modeldiff_core.errors import ConfigError, DataError
from modeldiff_core.identity import canonical_json, plain
from modeldiff_core.study.config import STRICT, AlgorithmConfig, DatasetConfig, RegressionConfig, config_error
from modeldiff_core.training import ALGORITHMS, Algorithm

T = TypeVar("T")


def build_settings(cls: type[T], values: dict[str, Any], key: str) -> T:
    """An instance of a settings dataclass from plain values; raises ConfigError with the key of what is wrong.

    Unknown settings are refused in nested dataclasses too, as are numbers that are not finite.
    """
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise ConfigError(f"{key}.{name}", f"one of {', '.join(sorted(names))}", name)
    _check_kinds(cls, values, key)
    try:
        # Nested dataclasses take the adapter's configuration; one whose own type is a dataclass may have none.
        return TypeAdapter(dict[str, cls], config=STRICT).validate_python({key: values})[key]  # type: ignore[valid-type]
    except ValidationError as error:
        raise config_error(error) from error


def _check_kinds(cls: type[Any], values: dict[str, Any], key: str) -> None:
    """Raise ConfigError for an entry of a list that does not say which kind it is: each kind has defaults for all else.

    Lists are fields of type tuple[A | B, ...] where every member is a dataclass with a field `kind`.
    """
    for name, annotation in get_type_hints(cls).items():
        kinds = _kinds(annotation)
        entries = values.get(name)
        if kinds and isinstance(entries, list | tuple):
            for position, entry in enumerate(entries):
                if isinstance(entry, dict) and "kind" not in entry:
                    raise ConfigError(f"{key}.{name}.{position}.kind", f"one of {', '.join(kinds)}", entry)


def _kinds(annotation: Any) -> list[str]:
    """The values of `kind` that the members of tuple[A | B, ...] have; empty for another type."""
    if get_origin(annotation) is not tuple:
        return []
    members = get_args(get_args(annotation)[0])
    if not members or not all(dataclasses.is_dataclass(member) for member in members):
        return []
    return [kind for member in members for kind in get_args(get_type_hints(member).get("kind"))]


def build_algorithm(config: AlgorithmConfig, key: str) -> Algorithm:
    """The algorithm that a configuration names; `key` is algorithm_a or algorithm_b."""
    try:
        cls = ALGORITHMS.get(config.kind)
    except ConfigError as error:
        raise ConfigError(f"{key}.kind", error.expected, error.got, error.hint) from error
    return build_settings(cls, config.recipe, f"{key}.recipe")


def build_estimator(config: RegressionConfig, kind: str, key: str = "regression.estimator") -> Estimator:
    """The estimator of that kind with the settings that it was given; `key`: where the kind was asked for."""
    return estimator_of(kind, config.settings_of(kind), key)


def estimator_of(kind: str, settings: dict[str, Any], key: str = "regression.estimator") -> Estimator:
    """The estimator of a kind and its settings, kept for later calls in the same process."""
    return _cached_estimator(kind, canonical_json(settings), key)


@lru_cache(maxsize=64)
def _cached_estimator(kind: str, encoded: str, key: str) -> Estimator:
    try:
        cls = ESTIMATORS.get(kind)
    except ConfigError as error:
        raise ConfigError(key, error.expected, error.got, error.hint) from error
    place = "regression" if kind == "lasso" else f"regression.settings.{kind}"
    return build_settings(cls, json.loads(encoded), place)


def load_dataset(config: DatasetConfig) -> Dataset:
    """The dataset that a configuration names, kept in memory for later calls in the same process."""
    return _cached_dataset(canonical_json({"kind": config.kind, **config.options()}))


@lru_cache(maxsize=4)
def _cached_dataset(encoded: str) -> Dataset:
    options = json.loads(encoded)
    kind = options.pop("kind")
    source = build_settings(SOURCES.get(kind), options, "dataset")
    try:
        return source.load()
    except DataError as error:
        raise ConfigError("dataset", "examples that can be used", kind, str(error)) from error


def recipe_identity(algorithm: Algorithm) -> object:
    """The algorithm's settings with every default spelled out, so that a changed default is a changed identity."""
    return plain(algorithm)
