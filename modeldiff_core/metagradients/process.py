"""A training as a chain of differentiable steps: what derivatives through it need to know of an algorithm.

The state after step t depends on the state before it and on the weights of the examples in its batch,

    s_{t+1} = step(s_t, w[batch_t]),    t = 0, ..., steps − 1,

and the outputs of the targets on the last state. Everything random is fixed beforehand.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import jvp, vjp, vmap

State = dict[str, Tensor]
"""Everything that a step hands to the next one, by name: parameters, velocities, running statistics."""
Probes = dict[str, Tensor]
"""Tangents or cotangents of a state for many probes at once: tensors [probes, ...] by the state's names."""


class MadeOnce(Mapping[str, Tensor]):
    """Tensors by name, each made when it is first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Tensor]]) -> None:
        self._makers, self._made = dict(makers), dict[str, Tensor]()

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True)
class Batch:
    """The examples of one step.

    Attributes:
        members: Positions of the examples in the training set.
        data: Whatever else the step takes as constants, such as inputs and labels.
        rate: Learning rate of the step, for processes that have one.
        norm: What the weighted sum of losses is divided by: the sum of the weights at the point of the derivative.
        step: Number of the step; −1 where nobody asks.

    """

    members: Int[Tensor, " batch"]
    data: Mapping[str, Tensor] = field(default_factory=dict)
    rate: float = 0.0
    norm: float = 1.0
    step: int = -1


class Process(ABC):
    """One training of an algorithm with a weight on every example, as pure functions.

    A user's algorithm takes part by returning one (``DifferentiableAlgorithm``). ``step`` and ``outputs`` must be built
    of torch operations that ``torch.func`` differentiates and maps over, must not change their arguments, and must draw
    nothing at random. ``push``, ``pull``, ``carry`` and ``carry_back`` need not be overridden; they are where a process
    may be faster.

    Attributes:
        steps: Number of steps.
        units: Number of training examples.
        targets: Number of outputs.
        weights: Weight of every training example at which derivatives are taken.

    """

    steps: int
    units: int
    targets: int
    weights: Float[Tensor, " train"]

    @abstractmethod
    def initial(self) -> State:
        """Return the state before the first step."""

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Return the examples of a step; always the same for the same step."""

    @abstractmethod
    def step(self, state: State, weights: Float[Tensor, " batch"], batch: Batch) -> State:
        """Return the state after a step; the result has the names, shapes and types of `state`."""

    @abstractmethod
    def outputs(self, state: State, targets: slice) -> Float[Tensor, " chosen"]:
        """Return the outputs of some of the targets, such as their margins."""

    def targets_at_once(self, probes: int) -> int:
        """Return how many targets are evaluated together with so many probes."""
        return self.targets

    def push(self, state: State, batch: Batch, tangents: Probes, change: Float[Tensor, "probes batch"]) -> Probes:
        """Return the tangents after a step, ∂step/∂s·tangent + ∂step/∂w·change, for each probe.

        `tangents` are given away: they may be changed in place.
        """

        def one(tangent: State, direction: Tensor) -> State:
            primals = (state, self.weights[batch.members])
            moved: State = jvp(lambda s, w: self.step(s, w, batch), primals, (tangent, direction))[1]
            return moved

        pushed: Probes = vmap(one)(tangents, change)
        return pushed

    def pull(self, state: State, batch: Batch, cotangents: Probes) -> tuple[Probes, Float[Tensor, "probes batch"]]:
        """Return the cotangents before a step and those of the weights in its batch, for each probe.

        `cotangents` are given away: they may be changed in place.
        """
        back = vjp(lambda s, w: self.step(s, w, batch), state, self.weights[batch.members])[1]
        pulled: tuple[Probes, Tensor] = vmap(back)(cotangents)
        return pulled

    def push_outputs(self, state: State, tangents: Probes) -> Float[Tensor, "probes targets"]:
        """Return the change of every output along tangents of the last state."""

        def along(rows: slice) -> Callable[[State], Tensor]:
            return lambda tangent: jvp(lambda s: self.outputs(s, rows), (state,), (tangent,))[1]

        count = _count(tangents)
        return torch.cat([vmap(along(rows))(tangents) for rows in self.target_slices(count)], 1)

    def pull_outputs(self, state: State, probes: Float[Tensor, "probes targets"]) -> Probes:
        """Return the gradient of each weighted sum of outputs with respect to the last state."""
        total: Probes = {}
        for rows in self.target_slices(len(probes)):
            back = vjp(lambda s, rows=rows: self.outputs(s, rows), state)[1]
            (part,) = vmap(back)(probes[:, rows])
            total = {name: total[name] + value if total else value for name, value in part.items()}
        return total

    def carry(
        self, steps: Iterator[tuple[int, State]], tangents: Probes, directions: Float[Tensor, "probes train"]
    ) -> Probes:
        """Return the tangents after all steps, given in order with the states before them; see ``push``."""
        for step, state in steps:
            batch = self.batch(step)
            tangents = self.push(state, batch, tangents, directions[:, batch.members])
        return tangents

    def carry_back(
        self, steps: Iterator[tuple[int, State]], cotangents: Probes, gradient: Float[Tensor, "probes train"]
    ) -> None:
        """Take cotangents back through all steps, the last one first, and add those of the weights; see ``pull``."""
        for step, state in steps:
            batch = self.batch(step)
            cotangents, parts = self.pull(state, batch, cotangents)
            gradient.index_add_(1, batch.members, parts.detach())

    def target_slices(self, probes: int) -> list[slice]:
        """Return the parts in which the targets are evaluated with so many probes."""
        at_once = max(1, self.targets_at_once(probes))
        return [slice(at, min(at + at_once, self.targets)) for at in range(0, self.targets, at_once)]


def zeros_like(state: State, probes: int) -> Probes:
    """Return tangents of a state that are zero."""
    return {name: value.new_zeros((probes, *value.shape)) for name, value in state.items()}


def _count(tangents: Probes) -> int:
    return len(next(iter(tangents.values())))
