"""The contract of a dataset's source, and the registry of those that ship and those that users add.

A source is a frozen dataclass of settings with one method, ``load() -> Dataset``; users register theirs under the
entry-point group ``modeldiff.datasets``. One that reads files may say which, with ``files() -> list[Path]``.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from modeldiff_core.data.block_images import BlockImages
from modeldiff_core.data.built import Built
from modeldiff_core.data.cifar10 import Cifar10
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.docstrings import Docstrings
from modeldiff_core.data.dominoes import Dominoes
from modeldiff_core.data.examples import Dataset
from modeldiff_core.data.fashion_mnist import FashionMnist
from modeldiff_core.data.image_folder import ImageFolder
from modeldiff_core.data.living17 import Living17
from modeldiff_core.data.mnist_idx import MnistIdx
from modeldiff_core.data.npz import Npz
from modeldiff_core.data.one_hot import OneHot
from modeldiff_core.data.scenes import Scenes
from modeldiff_core.data.shortcut_digits import ShortcutDigits
from modeldiff_core.data.slabs import Slabs
from modeldiff_core.data.tables import Csv, SklearnTable
from modeldiff_core.data.waterbirds import Waterbirds
from modeldiff_core.registry import Registry


@runtime_checkable
class Source(Protocol):
    """What a dataset's settings must be able to do."""

    def load(self) -> Dataset:
        """Read, check and split the examples."""
        ...


@runtime_checkable
class FileSource(Source, Protocol):
    """A source whose files can be named, so that a manifest can hold their checksums."""

    def files(self) -> list[Path]:
        """Every file that ``load`` reads."""
        ...


SHIPPED: dict[str, type[Source]] = {
    "block_images": BlockImages,
    "built": Built,
    "cifar10": Cifar10,
    "csv": Csv,
    "digits": Digits,
    "docstrings": Docstrings,
    "dominoes": Dominoes,
    "fashion_mnist": FashionMnist,
    "image_folder": ImageFolder,
    "living17": Living17,
    "mnist_idx": MnistIdx,
    "npz": Npz,
    "one_hot": OneHot,
    "scenes": Scenes,
    "shortcut_digits": ShortcutDigits,
    "sklearn_table": SklearnTable,
    "slabs": Slabs,
    "waterbirds": Waterbirds,
}

SOURCES: Registry[type[Source]] = Registry("modeldiff.datasets", "dataset.kind", SHIPPED)
"""Sources of data by ``dataset.kind``; others register under the entry-point group ``modeldiff.datasets``."""
