"""The contract of a learning algorithm.

An algorithm is a frozen dataclass whose fields are its identity, with the methods below. Register its class in the
entry-point group ``modeldiff.algorithms`` and configurations can name it as ``kind``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.kinds import Inputs


@dataclass(frozen=True)
class Execution:
    """Settings of how to compute, none of which changes a result beyond rounding.

    Attributes:
        device: A torch device.
        stack: Maximum of models trained in one launch; with 1 each is an ordinary torch module.
        compiled: Train ordinary modules through torch.compile, once a process.
        stack_batch_norm: Also launch networks with batch normalization together. They fill a GPU alone unless they are
            small, so a measurement should decide this.
        resident_share: Largest share of the device's memory that a dataset with a beton may take; beyond it FFCV reads
            the images, and models are trained one by one.
        ffcv_workers: Threads of FFCV.
        native: Train small networks on a CPU in compiled code, one after the other, where this machine has a C
            compiler.
        tuned: Take `stack` and `compiled` from the measurement in the store, if one exists.
        processes: Numbers of processes sharing one device that the measurement tries.
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

    def logits(self, images: Inputs) -> Float[np.ndarray, "models targets classes"]:
        """Return float32 logits of every model on every image, without augmentation; predictions of numbers as one."""
        ...

    def weights(self) -> dict[str, Float[np.ndarray, "models ..."]]:
        """Return the arrays from which ``load`` restores the models; empty if they can only be trained again."""
        ...


@runtime_checkable
class Algorithm(Protocol):
    """A way to train models on subsets."""

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Raise ConfigError, with a key that starts with ``recipe.``, for images it cannot be trained on."""
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

        Args:
            examples: The training set.
            n_classes: Number of classes.
            masks: Examples that each model sees.
            models: Number of each model.
            seed: Seed of the algorithm.
            execution: How to compute.
        """
        ...

    def load(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> TrainedModels:
        """Return the models with these stored ``weights``; never called with an empty mapping."""
        ...


@runtime_checkable
class SizedAlgorithm(Algorithm, Protocol):
    """An algorithm that cannot be trained on every number of examples."""

    def check_size(self, image_shape: tuple[int, int, int], n_classes: int, size: int) -> None:
        """Raise ConfigError, with a key that starts with ``recipe.``, for subsets of a size it cannot be trained on."""
        ...


@runtime_checkable
class KnowsData(Protocol):
    """An algorithm that takes other examples than images, or predicts numbers; it is made ready for a data set first.

    Algorithms without it are given images of classes and nothing else.
    """

    def on(self, data: Dataset) -> Algorithm:
        """Return the algorithm for these examples; raises ConfigError, ``recipe.``, for those it cannot take."""
        ...
