"""The contract of a dataset's source, and the registry of those that ship and those that users add.

A source is a frozen dataclass of settings with one method, ``load() -> Dataset``; users register theirs under the
entry-point group ``modeldiff.datasets``.
"""

from typing import Protocol, runtime_checkable

from modeldiff_core.data.digits import Digits
from modeldiff_core.data.examples import Dataset
from modeldiff_core.data.fashion_mnist import FashionMnist
from modeldiff_core.data.npz import Npz
from modeldiff_core.registry import Registry


@runtime_checkable
class Source(Protocol):
    """What a dataset's settings must be able to do."""

    def load(self) -> Dataset:
        """Read, check and split the examples."""
        ...


SOURCES: Registry[type[Source]] = Registry(
    "modeldiff.datasets", "dataset.kind", {"digits": Digits, "fashion_mnist": FashionMnist, "npz": Npz}
)
