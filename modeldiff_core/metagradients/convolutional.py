"""Products through convolutional networks in compiled code.

Pooling and ReLU choose in the training itself what is multiplied, once for all probes (`native/windows.c`).
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.metagradients.networks import ImageInputs
from modeldiff_core.metagradients.process import Batch, Probes, State
from modeldiff_core.metagradients.sgd import SgdProcess, parts_of, state_of
from modeldiff_core.models.stacks import from_module, to_module
from modeldiff_core.training.native import Curvature, Layout, Move, WeightedBatch, native_library

EVALUATED = 2**18
"""Most numbers, over probes and targets, in the inputs of one evaluation: all layers of it stay in a cache."""
Steps = Iterator[tuple[int, State]]


@dataclass(frozen=True)
class _Pass:
    """The pass that compiled code holds: the state's parameters by one of them, the step, and the examples' weights."""

    key: weakref.ref[Tensor]
    step: int
    weights: Tensor
    gradient: State

    def is_of(self, key: Tensor, step: int, weights: Tensor) -> bool:
        """Return whether it was made with this."""
        return self.key() is key and self.step == step and torch.equal(self.weights, weights)


class ConvolutionalProcess(SgdProcess):
    """An ``SgdProcess`` of a ``ConvNet``, all of whose parameters are trained, whose steps and products are compiled.

    Both products need H·U, H being the Hessian of the batch's loss and U a direction of the parameters, and the change
    of each example's loss along U, which one more pass forward and backward gives for each probe (Pearlmutter, 1994).
    Compiled code takes float32 on a CPU, unless ``runner.native=false``; anything else goes by torch.

    Attributes:
        layout: The network as compiled code sees it; None where torch computes everything.
        scale: Factor of the last layer's outputs.

    """

    layout: Layout | None = None
    scale: float = 1.0
    _memory: Curvature | None = None
    _latest: _Pass | None = None

    @property
    def compiled(self) -> bool:
        """Whether compiled code takes steps and products."""
        plain = self.weights.device.type == "cpu" and self.weights.dtype == torch.float32
        return bool(self.layout and plain and isinstance(self.data.inputs, ImageInputs) and native_library())

    def targets_at_once(self, probes: int) -> int:
        """Return how many targets are evaluated together with so many probes."""
        most = super().targets_at_once(probes)
        return min(most, max(1, EVALUATED // (self._pixels * (probes + 1)))) if self.compiled else most

    def step(self, state: State, weights: Float[Tensor, " batch"], batch: Batch) -> State:
        """Return the state after a step."""
        if not self.compiled:
            return super().step(state, weights, batch)
        values, velocities, _ = parts_of(state)
        gradient = self._run(values, weights, batch)
        return self.moved(values, velocities, gradient, batch.rate)

    def carry(self, steps: Steps, tangents: Probes, directions: Float[Tensor, "probes train"]) -> Probes:
        if not self.compiled:
            return super().carry(steps, tangents, directions)
        w, v = self._packed(tangents)
        recipe = self.recipe
        for number, state in steps:
            batch = self.batch(number)
            self._run(parts_of(state)[0], self.weights[batch.members], batch)
            change = (directions[:, batch.members] / batch.norm).contiguous()
            self._curvature.walk(w, v, Move(batch.rate, recipe.momentum, recipe.weight_decay, change=change))
        return self._unpacked(w, v)

    def carry_back(self, steps: Steps, cotangents: Probes, gradient: Float[Tensor, "probes train"]) -> None:
        if not self.compiled:
            super().carry_back(steps, cotangents, gradient)
            return
        w, v = self._packed(cotangents)
        recipe = self.recipe
        for number, state in steps:
            batch = self.batch(number)
            self._run(parts_of(state)[0], self.weights[batch.members], batch)
            losses = torch.empty(len(w), len(batch.members))
            self._curvature.walk(w, v, Move(batch.rate, recipe.momentum, recipe.weight_decay, losses=losses))
            gradient.index_add_(1, batch.members, losses / batch.norm)

    @cached_property
    def _pixels(self) -> int:
        return self.data.inputs.evaluation(slice(0, 1), False).numel()

    @property
    def _curvature(self) -> Curvature:
        if self._memory is None:
            assert self.layout is not None
            most = max(part.stop - part.start for part in self.slices)
            self._memory = Curvature(self.layout, most, self.scale)
        return self._memory

    def _run(self, values: State, weights: Float[Tensor, " batch"], batch: Batch) -> State:
        """Return the gradient of a batch's loss; compiled code then holds its pass and makes none twice in a row."""
        assert self.layout is not None
        key = next(iter(values.values()))
        if self._latest is not None and self._latest.is_of(key, batch.step, weights):
            return self._latest.gradient
        self._latest = None
        images = batch.data["x"].permute(0, 2, 3, 1).contiguous()
        sizes = (weights / batch.norm).contiguous()
        flat = self.layout.packed(from_module(values))
        found = self._curvature.run(flat, WeightedBatch(images, batch.data["y"], sizes, self.recipe.label_smoothing))
        gradient = to_module(self.layout.unpacked(found))
        if batch.step >= 0:
            self._latest = _Pass(weakref.ref(key), batch.step, weights, gradient)
        return gradient

    def _packed(self, probes: Probes) -> tuple[Float[Tensor, "probes parameters"], Float[Tensor, "probes parameters"]]:
        """Return directions of parameters and of velocities, each in one array."""
        values, velocities, _ = parts_of(probes)
        assert self.layout is not None
        layout, count = self.layout, len(next(iter(values.values())))

        def flat(part: State, at: int) -> Tensor:
            return layout.packed(from_module({name: one[at] for name, one in part.items()}))

        w, v = (torch.stack([flat(part, at) for at in range(count)]) for part in (values, velocities))
        return w, v

    def _unpacked(self, w: Float[Tensor, "probes parameters"], v: Float[Tensor, "probes parameters"]) -> Probes:
        """Return the reverse of ``_packed``."""
        assert self.layout is not None
        layout = self.layout

        def named(flat: Tensor) -> State:
            rows = [to_module(layout.unpacked(row)) for row in flat]
            return {name: torch.stack([row[name] for row in rows]) for name in self.start[0]}

        return state_of(named(w), named(v), {})
