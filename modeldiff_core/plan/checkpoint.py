"""Checkpoints in the middle of a step's work, in the store, so that any machine can go on from them."""

from collections.abc import Mapping
from dataclasses import dataclass

from modeldiff_core.errors import DamagedObject
from modeldiff_core.plan.products import Tensors
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors, write_tensors
from modeldiff_core.store.tensors import Arrays


@dataclass(frozen=True)
class Checkpoint:
    """The latest state of some work; one object, replaced as a whole whenever it is saved.

    Attributes:
        prefix: What the step names as its ``scratch``, so that the checkpoint is removed once the work is over.
        identity: The configuration of the work; the state of another one is not loaded.

    """

    prefix: str
    identity: Mapping[str, object]

    @classmethod
    def of(cls, product: Tensors) -> "Checkpoint":
        """Return the checkpoint of the work that makes a product."""
        return cls(f"{product.reference.key}/", product.identity)

    @property
    def key(self) -> str:
        """Key of the object."""
        return f"{self.prefix}checkpoint.safetensors"

    def save(self, store: ObjectStore, position: int, arrays: Arrays) -> None:
        """Store the state after this many steps or rounds of the work, replacing an earlier one."""
        write_tensors(store, self.key, TensorObject(arrays, self.identity, {"position": position}))

    def load(self, store: ObjectStore) -> tuple[int, Arrays]:
        """Return the position and the state; 0 and no arrays if none was saved or what was saved is damaged."""
        try:
            found = read_tensors(store, self.key, self.identity)
        except (FileNotFoundError, DamagedObject):
            return 0, {}
        return int(str(found.facts["position"])), found.arrays
