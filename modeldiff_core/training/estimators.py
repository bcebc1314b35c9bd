"""Estimators of scikit-learn as plain values, so that a study can name them: a class and its parameters, nested."""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from modeldiff_core.errors import ConfigError, meant

EXPECTED = "an estimator of scikit-learn by its name, or by its import path, module:Class"


@cache
def _known() -> Mapping[str, type[Any]]:
    from sklearn.utils import all_estimators

    return dict(all_estimators())


def is_estimator(given: object) -> bool:
    """Return whether something is an estimator, which is fitted, and not a class of them."""
    return not isinstance(given, type) and hasattr(given, "fit") and hasattr(given, "get_params")


def made(description: Mapping[str, object], key: str) -> Any:
    """Return the estimator of a description {kind, parameters}; parameters may hold descriptions at any depth.

    Raises ConfigError at `key` for a class that is not there, and for parameters that it does not take.
    """
    kind = description.get("kind")
    unknown = sorted(set(description) - {"kind", "parameters"})
    if unknown or not isinstance(kind, str):
        raise ConfigError(key, "a step as {kind, parameters}", dict(description))
    given = description.get("parameters", {})
    if not isinstance(given, Mapping):
        raise ConfigError(f"{key}.parameters", "settings by their names", given)
    cls = _class(kind, f"{key}.kind")
    parameters = {str(name): _value(value, f"{key}.parameters.{name}") for name, value in given.items()}
    try:
        estimator = cls(**parameters)
        check = getattr(estimator, "_validate_params", None)
        if check is not None:
            check()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}.parameters", f"parameters of {kind}", dict(given), str(error)) from error
    return estimator


def _class(kind: str, key: str) -> type[Any]:
    if ":" not in kind:
        known = _known()
        if kind not in known:
            raise ConfigError(key, EXPECTED, kind, meant(kind, list(known)))
        return known[kind]
    module, _, name = kind.partition(":")
    try:
        found: type[Any] = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise ConfigError(key, EXPECTED, kind, f"{type(error).__name__}: {error}") from error
    return found


def _value(value: object, key: str) -> Any:
    """Return a parameter with the estimators that it describes made."""
    if isinstance(value, Mapping):
        if "kind" in value:
            return made(value, key)
        if set(value) == {"tuple"}:
            return tuple(_value(one, key) for one in value["tuple"])
        return {name: _value(one, key) for name, one in value.items()}
    return [_value(one, key) for one in value] if isinstance(value, list | tuple) else value


def described(estimator: Any, key: str = "train") -> dict[str, object]:
    """Return an estimator as plain values: its class and the parameters that are not their defaults.

    Raises ConfigError for a parameter that has no plain value, such as a function.
    """
    cls = type(estimator)
    usual = _defaults(cls)
    given = {name: value for name, value in estimator.get_params(deep=False).items() if name != "verbose"}
    parameters = {
        name: _plain(value, f"{key}: {cls.__name__}.{name}")
        for name, value in given.items()
        if name not in usual or not _same(usual[name], value)
    }
    name = cls.__name__ if _known().get(cls.__name__) is cls else f"{cls.__module__}:{cls.__qualname__}"
    return {"kind": name, "parameters": parameters}


def _defaults(cls: type[Any]) -> dict[str, object]:
    import inspect

    return {p.name: p.default for p in inspect.signature(cls).parameters.values() if p.default is not p.empty}


def _same(usual: object, value: object) -> bool:
    """Return whether a parameter is its default."""
    if usual is value:
        return True
    return type(usual) is type(value) and isinstance(value, bool | int | float | str) and usual == value


def _plain(value: object, said: str) -> Any:
    if is_estimator(value):
        return described(value, said)
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return {"tuple": [_plain(one, said) for one in value]}
    if isinstance(value, list):
        return [_plain(one, said) for one in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(one, said) for name, one in value.items()}
    hint = "Write a function train(rows, labels, seed) that makes and fits it"
    raise ConfigError(said, "a value that a study can hold: numbers, text, lists, estimators", value, hint)
