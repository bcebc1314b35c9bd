"""How all settings are validated: pydantic reads them, and the first problem is raised by its configuration key."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from modeldiff_core.errors import ConfigError, meant

T = TypeVar("T")
Read = Callable[[Any, object, str], Any]
"""Reads a value of a type at a key; raises ConfigError."""

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""No unknown keys, and only numbers that have a canonical encoding."""


EXACT = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
"""Values of the very type, so that the text '3' is no number and 1.5 no whole one; a whole number is a float."""


class Settings(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(**STRICT, frozen=True)


def build_settings(cls: type[T], values: dict[str, Any], key: str) -> T:
    """Return an instance of a settings dataclass; raises ConfigError with the key of the first problem.

    Unknown settings are refused in nested dataclasses too, as are numbers that are not finite.
    """
    _known_fields(cls, values, key)
    _check_kinds(cls, values, key)
    try:
        # Nested dataclasses take the adapter's configuration; one whose own type is a dataclass may have none.
        return TypeAdapter(dict[str, cls], config=STRICT).validate_python({key: values})[key]  # type: ignore[valid-type]
    except ValidationError as error:
        raise config_error(error) from error


def exact_settings(cls: type[Any], values: Mapping[str, object], key: str, read: Read) -> dict[str, Any]:
    """Return the arguments of a settings dataclass whose values have to be of the very types of its fields.

    Args:
        cls: The dataclass.
        values: Values by the names of fields.
        key: The key of the whole.
        read: What reads one value, such as `exact_value`.

    Raises ConfigError with the key of a value that is unknown, missing or of another type.

    """
    known, types = _known_fields(cls, values, key), get_type_hints(cls, include_extras=True)
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{key}.{name}", type_name(types[name]), None, "This parameter has no default.")
    return {name: read(types[name], value, f"{key}.{name}") for name, value in values.items()}


def _known_fields(cls: type[Any], values: Iterable[str], key: str) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields that may be given; raises ConfigError for any other name."""
    if not dataclasses.is_dataclass(cls):
        hint = "Its settings are its fields: write @dataclass(frozen=True) above the class"
        raise ConfigError(key, "settings of a class that is a dataclass", cls.__name__, hint)
    known = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for name in values:
        if name not in known:
            expected = f"one of {', '.join(sorted(known)) or 'no parameters'}"
            raise ConfigError(f"{key}.{name}", expected, name, meant(name, known))
    return known


def exact_value(annotation: Any, value: object, key: str) -> Any:
    """Return a value of that type, with lists made tuples; raises ConfigError that names the type it should have."""
    try:
        # Within a tuple, since a type of its own configuration may not be given another one.
        return TypeAdapter(tuple[annotation], config=EXACT).validate_python((_tuples(value),))[0]
    except ValidationError as error:
        problem = error.errors()[0]
        limited = problem["type"] == "value_error"
        raise ConfigError(key, _expected([problem]) if limited else type_name(annotation), value) from error


def type_name(annotation: Any) -> str:
    """Return a type as a message names it, without its limits: 'int', 'tuple[int, ...]'."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    plain = isinstance(annotation, type) and get_origin(annotation) is None
    return annotation.__name__ if plain else str(annotation)


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


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
    """Return the values of `kind` that the members of tuple[A | B, ...] have; empty for another type."""
    if get_origin(annotation) is not tuple:
        return []
    members = get_args(get_args(annotation)[0])
    if not members or not all(dataclasses.is_dataclass(member) for member in members):
        return []
    return [kind for member in members for kind in get_args(get_type_hints(member).get("kind"))]


def config_error(error: ValidationError, prefix: str = "") -> ConfigError:
    """Return the first problem of a failed validation, by its configuration key."""
    problems = _of_members_meant(error.errors())
    first, path = problems[0], _path(problems[0])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        # A dataclass checked itself: its key is complete, or pydantic's path leads to it and its key ends with its name
        # or with one of its fields.
        root, field = cause.key.split(".")[0], cause.key.rsplit(".", 1)[-1]
        key = ".".join(path if field in path else [*path, field])
        complete = not path or root == path[0]  # no path: the object as a whole was looked at
        return ConfigError(cause.key if complete else prefix + key, cause.expected, cause.got, cause.hint)
    same = [problem for problem in problems if _path(problem) == path]
    others = len(problems) - len(same)
    count = f" ({others} more problem{'s' if others > 1 else ''})" if others else ""
    return ConfigError(prefix + ".".join(path), _expected(same) + count, first["input"])


def _of_members_meant(problems: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out the problems of members of a union whose `kind` is not the one given."""
    wrong = [p["loc"][:-1] for p in problems if p["type"] == "literal_error" and p["loc"][-1] == "kind"]
    meant = [p for p in problems if not any(p["loc"][: len(member)] == member for member in wrong)]
    return meant or problems


def _path(problem: ErrorDetails) -> list[str]:
    """Return the keys that lead to a problem, without pydantic's names of union members: classes and plain types."""
    members = ("float", "int", "str", "bool")
    return [p for p in map(str, problem["loc"]) if not p[:1].isupper() and p not in members and "[" not in p]


def _expected(same: list[ErrorDetails]) -> str:
    """Return what one key should have held, from everything that was said of it."""
    if all(problem["type"] == "literal_error" for problem in same):
        return "one of " + ", ".join(problem.get("ctx", {})["expected"] for problem in same)
    unknown = dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), "no such setting")
    missing = dict.fromkeys(("missing", "missing_argument"), "a value")
    said = {**unknown, **missing}.get(same[0]["type"], same[0]["msg"])
    said = said.removeprefix("Value error, ").removeprefix("Input should be ")
    return said[0].lower() + said[1:]
