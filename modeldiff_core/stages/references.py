"""References: what passes between stages instead of arrays."""

from dataclasses import asdict, dataclass
from typing import Any

from modeldiff_core.identity import digest, short_digest
from modeldiff_core.store import ObjectStore, StoreSettings


@dataclass(frozen=True)
class Reference:
    """A stored result: its key under the store's root, the digest of what made it, and the object whose existence
    says that it is complete.
    """

    key: str
    digest: str
    record: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, for Prefect."""
        return asdict(self)

    def complete(self, store: ObjectStore) -> bool:
        """Whether the result is there."""
        return store.exists(self.record)


def refer(folder: str, name: str, identity: object, record: str = "{key}.json") -> Reference:
    """The reference of what this identity makes: ``<folder>/<name>-<digest8>``."""
    key = f"{folder}/{name}-{short_digest(identity)}"
    return Reference(key, digest(identity), record.format(key=key))


def open_store(settings: dict[str, Any]) -> ObjectStore:
    """The store of settings that came as plain values."""
    return ObjectStore(StoreSettings(**settings))
