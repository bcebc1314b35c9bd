"""Metagradients: datamodels from a few trainings, by differentiating each with respect to a weight on every example."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from modeldiff_core.datamodels.protocol import FromTrainings
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.errors import ConfigError
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
    """

    title: ClassVar[str] = "metagradients"
    version: ClassVar[int] = 2
    """2: products of fully connected networks in compiled code, whose sums run in another order."""

    trainings: int = 4
    batch_statistics: Literal["full", "weighted"] = "full"

    def __post_init__(self) -> None:
        if self.trainings < 1:
            raise ConfigError("regression.settings.metagradient.trainings", "1 or more", self.trainings)

    def check(self, algorithm: Algorithm, n_train: int, output: str, *, halves: bool) -> None:
        """Raise ConfigError for an algorithm or an output without derivatives, and for one training of two halves."""
        check_differentiable(algorithm, output, "")
        if halves and self.trainings < 2:
            hint = "A comparison takes directions from the even and from the odd trainings, too"
            raise ConfigError("trainings", "2 or more where the comparison rests on them", self.trainings, hint)

    def rows(self, task: Task, fraction: float, number: int, targets: slice, execution: Execution) -> Datamodels:
        """Return the derivatives of some targets through one training."""
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
        """Return a sentence on the number of trainings."""
        return f"They are a mean over {settings.get('trainings', cls.trainings)} trainings."
