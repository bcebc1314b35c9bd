"""Metagradients: datamodels from a few trainings, by differentiating each with respect to a weight on every example."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch

from modeldiff_core.datamodels.protocol import FromTrainings
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.limits import Limit, check_limits
from modeldiff_core.metagradients import (
    Calculus,
    Point,
    Trajectory,
    check_differentiable,
    process_of,
    reverse_products,
)
from modeldiff_core.metagradients.trajectory import default_slots, state_bytes
from modeldiff_core.training import Algorithm, Execution, Task
from modeldiff_core.training.devices import available_device, fast_arithmetic
from modeldiff_core.training.sgd import Sgd

AT_ONCE = 32
"""Targets whose derivatives are carried through a training together."""
STATES = 2**28
"""Bytes of a training's states that are kept where they fit; else about 2√steps of them are."""


@dataclass(frozen=True)
class Metagradient(FromTrainings):
    """The mean over trainings of the derivative of a target's output with respect to each example's weight.

    w(target, train) = mean_s ∂ output_s(target)/∂ weight(train) at weight `fraction` on every example, through all
    steps (Engstrom et al., 2025); b = mean_s output_s(target) − fraction·Σ w. Costs a reverse product a target and
    training.

    trainings: how many are differentiated. batch_statistics: whether an example counts 'full' in the statistics of
    batch normalization, or is 'weighted' there too, so that its part in them is a part of its derivative.
    learning_rate_factor: what the recipe's learning rate is multiplied by for the trainings that are differentiated,
    above 0 and at most 1. Below 1 they are those of a smoother copy, whose derivatives say more of a training that is
    too rough for its own, and are biased towards the copy (docs/metagradients.md).
    """

    title: ClassVar[str] = "metagradients"
    version: ClassVar[int] = 3
    """2: products of fully connected networks in compiled code, whose sums run in another order."""

    trainings: int = 4
    batch_statistics: Literal["full", "weighted"] = "full"
    learning_rate_factor: Annotated[float, Limit(above=0, most=1)] = 1.0

    def __post_init__(self) -> None:
        if self.trainings < 1:
            raise ConfigError("regression.settings.metagradient.trainings", "1 or more", self.trainings)
        check_limits(self, Check("regression.settings.metagradient"))

    def identity(self) -> dict[str, object]:
        """Return all settings, and the factor of the learning rate, which was added later, only where it is not 1."""
        settings = super().identity()
        return {name: value for name, value in settings.items() if name != "learning_rate_factor" or self._is_of_a_copy}

    @property
    def _is_of_a_copy(self) -> bool:
        return self.learning_rate_factor != 1

    def check(self, algorithm: Algorithm, n_train: int, output: str, *, halves: bool) -> None:
        """Raise ConfigError for an algorithm or an output without derivatives, and for one training of two halves."""
        check_differentiable(algorithm, output, "")
        if self._is_of_a_copy and not isinstance(algorithm, Sgd):
            hint = "Lower the learning rate of an algorithm of your own where it is stated"
            raise ConfigError("learning_rate_factor", "1 for other kinds than sgd", self.learning_rate_factor, hint)
        if halves and self.trainings < 2:
            hint = "A comparison takes directions from the even and from the odd trainings, too"
            raise ConfigError("trainings", "2 or more where the comparison rests on them", self.trainings, hint)

    def rows(self, task: Task, fraction: float, number: int, targets: slice, execution: Execution) -> Datamodels:
        """Return the derivatives of some targets through one training."""
        if self._is_of_a_copy:
            assert isinstance(task.algorithm, Sgd)
            rate = task.algorithm.learning_rate * self.learning_rate_factor
            task = replace(task, algorithm=replace(task.algorithm, learning_rate=rate))
        point = Point.everywhere(len(task.train), fraction)
        process = process_of(task, point, number, execution, Calculus(batch_statistics=self.batch_statistics))
        room = STATES // max(1, state_bytes(process.initial()))
        weights, missing = [], np.full(targets.stop - targets.start, np.nan, np.float32)
        with fast_arithmetic(available_device(execution.device)):
            trajectory = Trajectory(process, max(default_slots(process.steps), min(room, process.steps)))
            outputs = process.outputs(trajectory.last, targets).detach().cpu().numpy()
            for at in range(targets.start, targets.stop, AT_ONCE):
                chosen = torch.arange(at, min(at + AT_ONCE, targets.stop))
                probes = torch.zeros(len(chosen), process.targets).index_put_(
                    (torch.arange(len(chosen)), chosen), torch.ones(())
                )
                weights.append(reverse_products(trajectory, probes).cpu().numpy())
        found = np.concatenate(weights).astype(np.float32)
        bias = (outputs - fraction * found.sum(1, dtype=np.float64)).astype(np.float32)
        return Datamodels(found, bias, missing, missing, missing)

    @classmethod
    def note(cls, settings: Mapping[str, object]) -> str:
        """Return a sentence on the number of trainings, and one on a copy's learning rate."""
        said = f"They are a mean over {settings.get('trainings', cls.trainings)} trainings."
        factor = settings.get("learning_rate_factor", 1)
        return said if factor == 1 else f"{said[:-1]} at {factor} times the algorithm's learning rate, a smoother copy."
