"""A fixed choice of training and test examples from a larger collection."""

from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Int

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator


def stratified(
    labels: Int[np.ndarray, " examples"], sizes: tuple[int, ...], seed: int, keys: tuple[str, ...]
) -> tuple[Int[np.ndarray, " chosen"], ...]:
    """Disjoint random index sets of the given sizes with the class shares of the whole.

    Classes get round-robin turns in proportion to their size, so that every prefix is balanced too.
    keys: the configuration keys of the sizes, for messages. Raises ConfigError if the collection is too small.
    """
    total = 0
    for size, key in zip(sizes, keys, strict=True):
        total += size
        if size < 1 or total > len(labels):
            raise ConfigError(key, f"between 1 and {len(labels) - (total - size)} examples", size)
    rng = generator("split", seed)
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        position[rng.permutation(members)] = (np.arange(len(members)) + rng.random()) / len(members)
    order = np.argsort(position, kind="stable")
    parts, start = [], 0
    for size in sizes:
        parts.append(np.sort(order[start : start + size]))
        start += size
    return tuple(parts)


L = TypeVar("L", bound="Labeled")


@runtime_checkable
class Labeled(Protocol):
    """Anything with a class index for each of its examples that can be reduced to some of them."""

    @property
    def labels(self) -> Int[np.ndarray, " examples"]: ...

    def select(self: L, index: Int[np.ndarray, " chosen"]) -> L: ...


def chosen(whole: L, size: int | None, seed: int, key: str) -> L:
    """Return a stratified choice of `size` examples in their order, or all of them if no size is given."""
    return whole if size is None else whole.select(*stratified(whole.labels, (size,), seed, (key,)))
