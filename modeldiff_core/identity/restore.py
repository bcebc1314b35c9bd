"""Rebuild frozen values from the plain JSON that ``plain`` made of them."""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from modeldiff_core.identity.canonical import UnstableValueError

T = TypeVar("T")


class Tagged:
    """Base of a family of frozen dataclasses of which a field may hold any member.

    A member is a dataclass with a field ``kind`` that names it. The family itself says which members there are: its
    ``member`` returns the class of a kind, usually from a ``Registry``, so that JSON can name registered classes only.
    """

    @classmethod
    def member(cls, kind: str) -> type["Tagged"]:
        """Return the class of that kind; raises ConfigError if there is none."""
        raise NotImplementedError(f"{cls.__name__} does not say which members it has")


def restore(cls: type[T], value: object, path: str = "$") -> T:
    """Return the value of type `cls` whose ``plain`` form is `value`.

    Numbers keep their JSON type, so that a restored value has the digest of the original. Dataclasses, tuples, lists,
    mappings, unions, literals, pydantic models and members of a ``Tagged`` family are rebuilt; anything annotated as
    ``Any`` or ``object`` is kept as it is.

    Raises UnstableValueError, naming the path, for a value that does not fit its type.
    """
    return cast(T, _restore(cls, value, path))


def _restore(cls: Any, value: Any, path: str) -> Any:
    origin, parameters = get_origin(cls), get_args(cls)
    if cls is Any or cls is object or isinstance(cls, TypeVar):
        return value
    if origin is Literal:
        return _checked(value in parameters, value, path, cls)
    if origin in (Union, types.UnionType):
        return _any_of(parameters, value, path)
    if origin is tuple:
        return _tuple(parameters, value, path)
    if origin is not None and issubclass(origin, Mapping):
        _checked(isinstance(value, Mapping), value, path, cls)
        return {key: _restore(parameters[1], item, f"{path}.{key}") for key, item in value.items()}
    if origin is not None and issubclass(origin, Sequence):
        _checked(isinstance(value, Sequence) and not isinstance(value, str), value, path, cls)
        return [_restore(parameters[0], item, f"{path}[{i}]") for i, item in enumerate(value)]
    if origin is not None and hasattr(origin, "__metadata__"):
        return _restore(parameters[0], value, path)
    if not isinstance(cls, type):
        return value
    if hasattr(cls, "model_validate"):
        return cls.model_validate(value)
    if issubclass(cls, Tagged) and not dataclasses.is_dataclass(cls):
        _checked(isinstance(value, Mapping) and isinstance(value.get("kind"), str), value, path, cls)
        return _restore(cls.member(value["kind"]), value, path)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, value, path)
    if isinstance(value, bool) and cls is not bool:
        return _checked(False, value, path, cls)  # a bool is an int in Python, and another value in JSON
    numeric = cls is float and isinstance(value, int)
    return _checked(numeric or isinstance(value, cls), value, path, cls)


def _dataclass(cls: Any, value: Any, path: str) -> Any:
    _checked(isinstance(value, Mapping), value, path, cls)
    hints, fields = _hints(cls), {field.name for field in dataclasses.fields(cls) if field.init}
    unknown = sorted(value.keys() - fields)
    if unknown:
        raise UnstableValueError(f"{path}: a {cls.__name__} has no field {', '.join(unknown)}")
    return cls(**{name: _restore(hints[name], item, f"{path}.{name}") for name, item in value.items()})


@lru_cache(maxsize=256)
def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


def _tuple(parameters: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    _checked(isinstance(value, Sequence) and not isinstance(value, str), value, path, tuple)
    if len(parameters) == 2 and parameters[1] is Ellipsis:
        return tuple(_restore(parameters[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    _checked(not parameters or len(parameters) == len(value), value, path, tuple)
    kinds = parameters or (Any,) * len(value)
    return tuple(_restore(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _any_of(members: tuple[Any, ...], value: Any, path: str) -> Any:
    """Return the value as the first member of a union that takes it, exact types first."""
    if value is None and type(None) in members:
        return None
    if any(isinstance(member, type) and type(value) is member for member in members):
        return value
    problems = []
    for member in members:
        if member is type(None):
            continue
        try:
            return _restore(member, value, path)
        except (UnstableValueError, ValueError, TypeError) as error:
            problems.append(str(error))
    raise UnstableValueError(f"{path}: {value!r} is none of {members} ({'; '.join(problems)})")


def _checked(fits: bool, value: Any, path: str, cls: Any) -> Any:
    if not fits:
        raise UnstableValueError(f"{path}: {value!r} is no {getattr(cls, '__name__', cls)}")
    return value
