"""The errors that a user can mend, each saying what was wrong, where, and what to do."""


class ModelDiffError(Exception):
    """Root of every error that the platform raises on purpose."""


class ConfigError(ModelDiffError, ValueError):
    """A request that cannot be carried out as it was written.

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


class DataError(ModelDiffError):
    """A dataset's source is missing, cut short or holds values that no image has."""


class StoreError(ModelDiffError):
    """An object store refused an operation; names the store, the object and the cause."""


class DamagedObject(StoreError):
    """An object is there but is not what its name promises: bytes, digest, shape or values."""


class Diverged(ModelDiffError):
    """Too many models of a shard ended with margins that are not finite."""
