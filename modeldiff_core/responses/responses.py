"""Responses: what the rows of a design give, in shards of rows that are made and stored together."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.designs import Design
from modeldiff_core.identity import Tagged, digest
from modeldiff_core.identity.canonical import SHORT
from modeldiff_core.plan import Product, Reference
from modeldiff_core.store import ObjectStore, shard_key
from modeldiff_core.training import Execution

FOLDER = "responses"


@dataclass(frozen=True)
class Answers:
    """The outputs of some rows. Outputs of failed rows (diverged, not finite) are zero."""

    masks: Bool[np.ndarray, "rows units"]
    outputs: Float[np.ndarray, "rows ..."]
    failed: Bool[np.ndarray, " rows"]


class Responses(Tagged):
    """An intervention, a design, targets and an output: everything that decides the numbers of every row.

    The number of rows is no part of it, so that more rows need only new shards. A member is a frozen dataclass with a
    field ``kind``.

    Attributes:
        identity: The configuration that decides every number; each stored object carries it.
        home: The folder of these responses and of what is computed from them alone.
        folder: The folder that holds ``shards/``.
        shard_size: Rows that are made together.
        design: Which units each row has.
        targets: Number of targets of an output.

    """

    kind: str

    @classmethod
    def member(cls, kind: str) -> type["Responses"]:
        from modeldiff_core.responses import RESPONSES

        return RESPONSES.get(kind)

    if TYPE_CHECKING:  # at run time a property here would be taken for the default of a member's field of that name

        @property
        def identity(self) -> Mapping[str, Any]: ...

        @property
        def home(self) -> str: ...

        @property
        def folder(self) -> str: ...

        @property
        def shard_size(self) -> int: ...

        @property
        def design(self) -> Design: ...

        @property
        def targets(self) -> int: ...

    @cached_property
    def digest(self) -> str:
        """Digest of the identity."""
        return digest(self.identity)

    def reference(self, index: int) -> Reference:
        """Return the reference of a shard."""
        key = shard_key(self.folder, index)
        return Reference(key, self.digest, key)

    @abstractmethod
    def product(self, index: int) -> Product:
        """Return what the shard of that index is in a store."""

    @abstractmethod
    def make(self, store: ObjectStore, index: int, execution: Execution) -> None:
        """Compute a shard and store it in one step."""

    def rows(self, index: int) -> range:
        """Return the numbers of a shard's rows."""
        return range(index * self.shard_size, (index + 1) * self.shard_size)


class Named(Responses):
    """Responses with a folder of their own, which is called by their name and digest."""

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...

    @property
    def home(self) -> str:
        return f"{FOLDER}/{self.name}-{self.digest[:SHORT]}"

    @property
    def folder(self) -> str:
        return self.home


def shards_of(rows: int, shard_size: int) -> int:
    """Return ⌈rows/shard_size⌉, the shards that hold this many rows; the last one is made in full."""
    return -(-rows // shard_size)
