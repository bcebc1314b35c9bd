"""Errors that a user can fix; each message says what was wrong, where, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


def meant(given: object, known: Iterable[str]) -> str:
    """Return a question after the name that was probably meant, such as ``Is models meant?``; empty if none is close.

    A dotted key is compared as a whole, and by its last part.
    """
    names, text = list(known), str(given)
    found = get_close_matches(text, names, 1, 0.75) or get_close_matches(text.lower(), names, 1, 0.6)
    if not found and "." in text:
        last = text.rpartition(".")[2]
        found = [name for name in names if name.rpartition(".")[2] == last][:1]
    return f"Is {found[0]} meant?" if found and found[0] != text else ""


class ModelDiffError(Exception):
    """Base class of every error that the platform raises on purpose."""


class ConfigError(ModelDiffError, ValueError):
    """A request that cannot be carried out as it is written.

    Retrying never helps, so tasks do not retry it and the command exits with 2.
    """

    def __init__(self, key: str, expected: str, got: object, hint: str = "") -> None:
        self.key = key
        self.expected = expected
        self.got = got
        self.hint = hint
        message = f"{key}: expected {expected}, got {got!r}"
        super().__init__(f"{message}. {hint}" if hint else message)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.key, self.expected, self.got, self.hint)


class Check:
    """Raises ConfigError for settings of one kind that do not hold, all under one configuration key."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def __call__(self, holds: bool, field: str, expected: str, got: object) -> None:
        """Raise ConfigError for `prefix.field` unless it holds; an empty field stands for the settings as a whole."""
        if not holds:
            raise ConfigError(f"{self.prefix}.{field}" if field else self.prefix, expected, got)


class DataError(ModelDiffError):
    """A dataset's source that is missing, truncated or holds values that no image has."""


class StoreError(ModelDiffError):
    """A failed operation of an object store; the message names the store, the object and the cause."""


class DamagedObject(StoreError):
    """A stored object whose bytes, digest, shape or values are not those that its name promises.

    Attributes:
        keys: Keys of the damaged objects, relative to the root of their store, so that the step that makes them can
            run again. Empty where no single object is known to be at fault. For an object inside a consolidated
            matrix it is the key of the matrix's record, ``<key>.json``: a matrix is always rewritten as a whole.
    """

    def __init__(self, message: str, *, keys: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.keys = keys  # kept by pickle and copy as every attribute of an exception is


class Outdated(DamagedObject):
    """A stored object that is whole and right, whose sentences another version of the platform wrote."""


class Diverged(ModelDiffError):
    """A shard in which too many models ended with margins that are not finite."""
