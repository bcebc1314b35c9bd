"""Which shards a store holds."""

import re

from modeldiff_core.store import ObjectStore


def done_shards(store: ObjectStore, prefix: str) -> set[int]:
    """Return the indices of the shards that exist, by one listing."""
    pattern = re.compile(re.escape(f"{prefix}/shards/") + r"(\d{6,})\.safetensors$")
    return {int(match[1]) for key in store.sizes(f"{prefix}/shards") if (match := pattern.fullmatch(key))}
