"""A handful of differentiated trainings of two algorithms, in memory, as `comparison.method=matrix_free` has them.

With at least LEAST_TESTED trainings of each, two others of each choose the basis; else all choose it and are compared.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from modeldiff_core.comparison.trainings import LEAST_TESTED
from modeldiff_core.metagradients import Point, Trajectory, forward_products, process_of, reverse_products
from modeldiff_core.metagradients.basis import common_basis, random_weightings
from modeldiff_core.metagradients.trajectory import default_slots, state_bytes
from modeldiff_core.stages.handful import BASIS_TRAININGS
from modeldiff_core.stages.products import AT_ONCE, STATES
from modeldiff_core.training import Execution, Task

Products = Float[np.ndarray, "targets q"]


def trajectory_of(task: Task, number: int) -> Trajectory:
    """Run training `number` at weight 0.5, with as many states kept as a comparison keeps."""
    process = process_of(task, Point.everywhere(len(task.train), 0.5), number, Execution())
    room = STATES // max(1, state_bytes(process.initial()))
    return Trajectory(process, max(default_slots(process.steps), min(room, process.steps)))


@dataclass(frozen=True)
class Basis:
    """A common basis, the products that it is made of, and the trainings that they went through by side and number."""

    vectors: Float[np.ndarray, "q train"]
    pooled: Float[np.ndarray, "probes train"]
    kept: dict[tuple[int, int], Trajectory]


@dataclass(frozen=True)
class Two:
    """Two algorithms whose trainings are differentiated.

    tasks: of A and of B, on the same targets and as many training examples. firsts: numbers of their first trainings.
    probes: reverse products of each training that chooses the basis. seed: of the weightings.
    """

    tasks: tuple[Task, Task]
    probes: int = 16
    firsts: tuple[int, int] = (0, 0)
    seed: int = 0

    def choosing(self, count: int) -> range:
        """Return the numbers of the trainings that choose the basis where `count` of each are compared."""
        return range(BASIS_TRAININGS if count >= LEAST_TESTED else count)

    def compared(self, count: int) -> range:
        """Return the numbers of those that are compared."""
        first = BASIS_TRAININGS if count >= LEAST_TESTED else 0
        return range(first, first + count)

    def basis(self, count: int) -> Basis:
        """Return the basis where `count` trainings of each are compared."""
        targets = len(self.tasks[0].targets)
        weightings = random_weightings(2 * self.probes, targets, self.seed).split(self.probes)
        kept, rows = {}, []
        for side, (task, first) in enumerate(zip(self.tasks, self.firsts, strict=True)):
            found = []
            for number in self.choosing(count):
                kept[side, number] = trajectory_of(task, first + number)
                parts = weightings[side].split(AT_ONCE)
                found.append(torch.cat([reverse_products(kept[side, number], part) for part in parts]))
            rows.append(torch.stack(found).double().sum(0))
        pooled = torch.cat(rows)
        vectors = common_basis(pooled, pooled[:1]).vectors.T.float()
        return Basis(vectors.numpy(), pooled.numpy(), kept)

    def along(self, basis: Basis, side: int, number: int) -> Products:
        """Return J·V of a training."""
        trajectory = basis.kept.get((side, number)) or trajectory_of(self.tasks[side], self.firsts[side] + number)
        parts = torch.from_numpy(basis.vectors).split(AT_ONCE)
        return torch.cat([forward_products(trajectory, part) for part in parts]).T.numpy()

    def products(self, basis: Basis, count: int) -> Float[np.ndarray, "sides trainings targets q"]:
        """Return J·V of `count` trainings of each."""
        return np.stack([[self.along(basis, side, number) for number in self.compared(count)] for side in (0, 1)])
