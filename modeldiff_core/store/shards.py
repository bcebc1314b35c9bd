"""Shards: margins and masks of K models, the unit of work, of retry and of storage."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.errors import DamagedObject
from modeldiff_core.store.objects import ObjectStore
from modeldiff_core.store.tensors import TensorObject, decode, write_tensors

READERS = 8
"""Threads that fetch shards before they are used."""


@dataclass(frozen=True)
class Shard:
    """Margins of K models and the masks that they were trained with.

    Attributes:
        first: Number of the first model; row r is model first + r.
        masks: Training examples of each model.
        margins: Margins of each model; zeros for a diverged one.
        diverged: Whether a model ended with margins that are not finite.
    """

    first: int
    masks: Bool[np.ndarray, "models train"]
    margins: Float[np.ndarray, "models targets"]
    diverged: Bool[np.ndarray, " models"]


def shard_key(prefix: str, index: int) -> str:
    """Return the key of the shard of that index under ``<training>/subsets`` or ``<training>/ensemble``."""
    return f"{prefix}/shards/{index:06d}.safetensors"


def write_shard(store: ObjectStore, prefix: str, index: int, shard: Shard, identity: Mapping[str, object]) -> None:
    """Write a shard in one step; masks are packed eight to a byte, margins stay float16 or become float32."""
    arrays: dict[str, np.ndarray] = {
        "margins": shard.margins.astype(np.float16 if shard.margins.dtype == np.float16 else np.float32, copy=False),
        "masks": np.packbits(shard.masks, axis=1),
        "diverged": shard.diverged,
    }
    facts = {"index": index, "first": shard.first, "n_train": shard.masks.shape[1]}
    write_tensors(store, shard_key(prefix, index), TensorObject(arrays, identity, facts))


def read_shard(store: ObjectStore, prefix: str, index: int, identity: Mapping[str, object]) -> Shard:
    """Return a shard after checking its bytes, identity, index, shapes and values.

    Raises:
        DamagedObject: If one of these is wrong; the message holds the object's address and the reason.
        FileNotFoundError: If the shard does not exist.
    """
    key = shard_key(prefix, index)
    return _decoded(store.read(key), store, key, index, identity)


def _decoded(data: bytes, store: ObjectStore, key: str, index: int, identity: Mapping[str, object]) -> Shard:
    source, keys = store.url(key), (key,)
    content = decode(data, source, identity, keys=keys)
    if content.facts.get("index") != index:
        raise DamagedObject(f"{source}: holds shard {content.facts.get('index')}", keys=keys)
    missing = {"margins", "masks", "diverged"} - content.arrays.keys()
    if missing:
        raise DamagedObject(f"{source}: lacks {', '.join(sorted(missing))}", keys=keys)
    margins, packed, diverged = content.arrays["margins"], content.arrays["masks"], content.arrays["diverged"]
    n_train = int(str(content.facts["n_train"]))
    if len(margins) != len(packed) or len(margins) != len(diverged) or packed.shape[1] != -(-n_train // 8):
        shapes = f"{margins.shape}, {packed.shape}, {diverged.shape}"
        raise DamagedObject(f"{source}: shapes {shapes} do not fit together", keys=keys)
    if not np.isfinite(margins).all():
        raise DamagedObject(f"{source}: holds margins that are not finite", keys=keys)
    masks = np.unpackbits(packed, axis=1, count=n_train).view(bool)
    return Shard(int(str(content.facts["first"])), masks, margins, diverged.astype(bool))


def read_shards(
    store: ObjectStore, prefix: str, indices: Iterable[int], identity: Mapping[str, object]
) -> Iterator[tuple[int, Shard | DamagedObject | FileNotFoundError]]:
    """Yield each index with its shard, or with the error that the shard raised, in the given order.

    READERS threads fetch shards ahead. The consuming thread checks them one by one: checks in the fetching threads
    would hold the interpreter lock against the thread that talks to an S3 server, and reading would take half as long
    again. Memory: the bytes of 2·READERS shards.

    Raises:
        StoreError: If the store itself fails.
    """
    ahead: deque[tuple[int, Future[bytes]]] = deque()

    def oldest() -> tuple[int, Shard | DamagedObject | FileNotFoundError]:
        index, fetched = ahead.popleft()
        try:
            return index, _decoded(fetched.result(), store, shard_key(prefix, index), index, identity)
        except (DamagedObject, FileNotFoundError) as error:
            return index, error

    with ThreadPoolExecutor(READERS, thread_name_prefix="shards") as threads:
        try:
            for index in indices:
                ahead.append((index, threads.submit(store.read, shard_key(prefix, index))))
                if len(ahead) >= 2 * READERS:
                    yield oldest()
            while ahead:
                yield oldest()
        finally:  # the reader may stop early
            threads.shutdown(wait=False, cancel_futures=True)
