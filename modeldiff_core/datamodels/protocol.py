"""The contract of an estimator of attributions.

An estimator is a frozen dataclass whose fields are its settings: they decide its identity, with its `version`. It
fits masks and margins (FromMasks), looks into models trained on all data (FromCheckpoints), or runs a few trainings of
its own (FromTrainings). Register a class under
the entry-point group ``modeldiff.estimators`` and configurations can name it as regression.estimator.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.identity import plain
from modeldiff_core.training import Algorithm, Execution, Task

Masks = Bool[np.ndarray, "models train"]
Margins = Float[np.ndarray, "models targets"]
Counts = Float[Tensor, "train train"]
"""How many masks leave two examples in together, Xᵀ X: whole numbers."""
Fit = Callable[[Margins], Datamodels]
"""Margins of some targets to their datamodels."""
Refit = Callable[[Masks, Margins, Counts | None], Float[np.ndarray, "targets train"]]
"""Masks, margins and co-occurrence counts (if they are known) to weights."""
Weights = Mapping[str, Float[np.ndarray, "_models ..."]]
"""Of some models by name; how many they are may vary from one shard to the next."""


class Estimator:
    """Anything that gives attributions.

    version: raised by hand when a change of the code changes what it gives.
    title: its name in prose, if that is not its kind.
    """

    version: ClassVar[int] = 1
    title: ClassVar[str] = ""

    def identity(self) -> dict[str, object]:
        """Return the settings that decide its numbers, every default spelled out."""
        settings = plain(self)
        assert isinstance(settings, dict)
        return settings

    def named(self, kind: str) -> dict[str, object]:
        """Return the part of a regression's identity that names the estimator, registered under that kind."""
        return {"estimator": {"kind": kind, "version": self.version, "settings": self.identity()}}

    @classmethod
    def note(cls, settings: Mapping[str, object]) -> str:
        """Return a sentence for the methods section of a report on how it was fitted with these settings, or ''."""
        return ""


class FromMasks(Estimator, ABC):
    """An estimator from masks and margins.

    uses_counts: wants the co-occurrence counts, which all targets share. chunk: targets that are fitted in one call,
    whatever the block, since products of other shapes are rounded otherwise; None if a target's bits are its own.
    """

    uses_counts: ClassVar[bool] = False
    chunk: ClassVar[int | None] = 100

    @abstractmethod
    def prepare(self, masks: Masks, counts: Counts | None) -> Fit:
        """Do once what depends on the masks alone; the result fits any targets.

        counts: of these masks, or None where they have not been computed.
        """

    def common(self, a: Datamodels, b: Datamodels) -> Refit:
        """Return the estimator with everything it chose for A's and B's targets fixed at one value for both.

        Algorithms that do not differ are then fitted alike, whichever margins belong to which (comparison.permutation).
        One that chooses nothing simply fits again.
        """
        return lambda masks, margins, counts: self.prepare(masks, counts)(margins).weights


class FromCheckpoints(Estimator, ABC):
    """An estimator from the weights of models trained on all data."""

    @abstractmethod
    def check(self, algorithm: Algorithm, n_train: int) -> None:
        """Raise ConfigError for an algorithm that it cannot look into; its key is that of the setting at fault."""

    @abstractmethod
    def attribute(self, task: Task, checkpoints: Iterable[Weights]) -> Datamodels:
        """Datamodels of all the task's targets from weights, some models at a time."""


class FromTrainings(Estimator, ABC):
    """An estimator from trainings that it runs itself, whose datamodels are a mean over them.

    trainings: how many; each is a pure function of the task and its number, from 0 on.
    """

    trainings: int

    @abstractmethod
    def check(self, algorithm: Algorithm, n_train: int, output: str, *, halves: bool) -> None:
        """Raise ConfigError for what it cannot be applied to; its key is that of the setting at fault.

        halves: whether the even and the odd trainings each have to give datamodels.
        """

    @abstractmethod
    def rows(self, task: Task, fraction: float, number: int, targets: slice, execution: Execution) -> Datamodels:
        """Return what one training says of some targets; values that are not finite if it diverged.

        fraction: share of the training examples in a subset.
        """

    def identity_of_rows(self) -> dict[str, object]:
        """Return the settings that decide what one training says."""
        return {name: value for name, value in self.identity().items() if name != "trainings"}
