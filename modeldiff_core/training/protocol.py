"""The contract of a learning algorithm.

An algorithm is a frozen dataclass whose fields are its identity, with the methods below. Register a class under the
entry-point group ``modeldiff.algorithms`` and configurations can name it as ``kind``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from modeldiff_core.data import Examples


@dataclass(frozen=True)
class Execution:
    """How to compute, never what: no number here changes a result beyond rounding.

    device: a torch device. stack: most models trained in one launch; with 1 each is an ordinary torch module.
    compiled: train ordinary modules through torch.compile, once a process.
    stack_batch_norm: also launch networks with batch normalisation together; they fill a GPU alone unless they are
    small, so this is for a measurement to decide.
    resident_share: largest share of the device's memory that a dataset with a beton may take; beyond it FFCV reads the
    images, with ffcv_workers threads, and models are trained one by one.
    native: train small networks on a CPU in compiled code, one after the other, where this machine has a C compiler.
    tuned: take stack and compiled from the measurement in the store, where there is one.
    processes: how many processes at once on one device that measurement tries.
    """

    device: str = "cpu"
    stack: int = 32
    compiled: bool = False
    stack_batch_norm: bool = False
    resident_share: float = 0.5
    ffcv_workers: int = 1
    native: bool = True
    tuned: bool = False
    processes: tuple[int, ...] = (1,)


@runtime_checkable
class TrainedModels(Protocol):
    """Models that were trained together."""

    def logits(
        self, images: UInt8[np.ndarray, "targets height width channels"]
    ) -> Float[np.ndarray, "models targets classes"]:
        """float32 logits of every model on every image, without augmentation."""
        ...

    def weights(self) -> dict[str, Float[np.ndarray, "models ..."]]:
        """What ``load`` needs to give the same logits again; empty if it can only be had by training again."""
        ...


@runtime_checkable
class Algorithm(Protocol):
    """A way to train a model from a subset."""

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Raise ConfigError, with a key that starts with ``recipe.``, for images that it cannot be trained on."""
        ...

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> TrainedModels:
        """Train model ``models[r]`` on the examples that ``masks[r]`` leaves in, for every row r.

        A model must be a pure function of (self, examples, its mask, its number, seed).
        """
        ...

    def load(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> TrainedModels:
        """The models whose ``weights`` were stored; never called with an empty mapping."""
        ...


@runtime_checkable
class SizedAlgorithm(Algorithm, Protocol):
    """An algorithm that cannot be trained on every number of examples."""

    def check_size(self, image_shape: tuple[int, int, int], n_classes: int, size: int) -> None:
        """Raise ConfigError, with a key that starts with ``recipe.``, for subsets of a size that it cannot take."""
        ...
