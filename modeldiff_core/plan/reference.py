"""References: what passes between steps instead of arrays."""

from dataclasses import dataclass

from modeldiff_core.identity import digest, short_digest


@dataclass(frozen=True)
class Reference:
    """A result in a store.

    Attributes:
        key: Its name under the store's root, without the ending of any one object.
        digest: Digest of the configuration that made it.
        record: Key of the object whose existence says that the result is complete.

    """

    key: str
    digest: str
    record: str


def refer(folder: str, name: str, identity: object, record: str = "{key}.json") -> Reference:
    """Return the reference of what this identity makes: ``<folder>/<name>-<digest8>``."""
    key = f"{folder}/{name}-{short_digest(identity)}"
    return Reference(key, digest(identity), record.format(key=key))
