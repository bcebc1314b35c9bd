"""Named implementations: those that ship, and those that installed packages register as entry points.

A configuration can name nothing else, so it can never name arbitrary code.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from modeldiff_core.errors import ConfigError, meant

T = TypeVar("T")


class Registry(Generic[T]):
    """Looks a name up among built-ins first, then in an entry-point group; `key` is the configuration key."""

    def __init__(self, group: str, key: str, builtin: Mapping[str, T]) -> None:
        self.group = group
        self.key = key
        self._builtin = dict(builtin)

    def names(self) -> list[str]:
        """Every name that can be asked for."""
        return sorted(self._builtin.keys() | {point.name for point in entry_points(group=self.group)})

    def get(self, name: str) -> T:
        """Return the implementation of that name; raises ConfigError that lists the names there are."""
        if name in self._builtin:
            return self._builtin[name]
        for point in entry_points(group=self.group):
            if point.name == name:
                try:
                    return cast(T, point.load())
                except Exception as error:
                    expected = f"an entry point {point.value} that can be imported"
                    raise ConfigError(self.key, expected, name, f"{type(error).__name__}: {error}") from error
        hint = f"Others are registered as Python entry points of the group {self.group}."
        hint = f"{meant(name, self.names())} {hint}".strip()
        raise ConfigError(self.key, f"one of {', '.join(self.names())}", name, hint)
