"""Products through fully connected networks in compiled code: one probe after the other, some steps at a time.

A probe's tangents of all weights, 400 KB for 784 pixels and 64 units, stay in a processor's cache for BLOCK steps, and
pixels that are 0 are not multiplied. The sums are those of ``DenseProcess`` in another order.

Going back, with cotangents x of the parameters and v of the velocities, a step is u = v − η·x, x ← x + H·u + λ·u,
v ← μ·u. Compiled code knows one rule, v ← m·v + H·(unit·w) + d·w, w ← w − r·v, of which that is a case: v is x there,
m = 1, u = unit·w, d = λ·unit and r = η'/(μ·unit), η' being the rate of the step before; `unit` falls by μ with each
step, and is multiplied into w again once it is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.metagradients.networks import ImageInputs
from modeldiff_core.metagradients.process import Batch, Probes, State
from modeldiff_core.metagradients.sgd import parts_of, state_of
from modeldiff_core.training.native import Given, Outcome, Rule, TangentStep, TangentWalk, as_bytes, native_library

if TYPE_CHECKING:
    from modeldiff_core.metagradients.dense import DenseProcess

BLOCK = 8
"""Steps that a probe takes before the next one does."""
SMALL = 0.05
"""`unit` below which it is multiplied into w."""
Steps = Iterator[tuple[int, State]]


class CompiledProducts:
    """Walks of probes through a ``DenseProcess``; see the module."""

    def __init__(self, process: DenseProcess, inputs: ImageInputs) -> None:
        """Take a process for which ``compiled_products`` holds, and its inputs."""
        self.process = process
        values = process.start[0]
        sizes = [(values[weight].shape[1], values[weight].shape[0]) for weight, _ in self._names]
        table = as_bytes(process.batch(0).data["bytes"], inputs.normalization)
        assert table.slope is not None
        assert table.offset is not None
        self._walk = TangentWalk(sizes, table.slope, table.offset, process.scale)

    @property
    def _names(self) -> list[tuple[str, str]]:
        return [self.process.names(at) for at in range(len(self.process.layers))]

    def forward(self, steps: Steps, tangents: Probes, directions: Float[Tensor, "probes train"]) -> Probes:
        """Return the tangents after all steps, in their order."""
        values, velocities, _ = parts_of(tangents)
        w, v = self._packed(values), self._packed(velocities)
        recipe = self.process.recipe
        while block := list(islice(steps, BLOCK)):
            made = []
            for number, state in block:
                batch = self.process.batch(number)
                change = directions[:, batch.members] * (self.process.scale / batch.norm)
                rule = Rule(batch.rate, recipe.momentum, recipe.weight_decay)
                made.append(self._step(state, batch, rule, change=change.contiguous()))
            self._walk.walk(made, w, v)
        return state_of(self._unpacked(w), self._unpacked(v), {})

    def back(self, steps: Steps, cotangents: Probes, gradient: Float[Tensor, "probes train"]) -> None:
        """Add the products' gradient over the training set; steps are given the last one first."""
        process, recipe = self.process, self.process.recipe
        values, velocities, _ = parts_of(cotangents)
        w, v = self._packed(velocities), self._packed(values)
        w.sub_(v, alpha=process.batch(process.steps - 1).rate)
        unit, again = 1.0, 1.0
        while block := list(islice(steps, BLOCK)):
            made: list[TangentStep] = []
            places: list[tuple[Batch, Tensor]] = []
            for number, state in block:
                batch, after = process.batch(number), recipe.momentum * unit
                rate = process.batch(number - 1).rate / after if number else 0.0
                losses = torch.empty(len(v), len(batch.members))
                rule = Rule(rate, 1.0, recipe.weight_decay * unit, unit, again)
                made.append(self._step(state, batch, rule, losses=losses))
                places.append((batch, losses))
                unit, again = (after, 1.0) if after > SMALL else (1.0, after)
            self._walk.walk(made, w, v)
            for batch, losses in places:
                gradient.index_add_(1, batch.members, losses / batch.norm)

    def _step(
        self, state: State, batch: Batch, rule: Rule, change: Tensor | None = None, losses: Tensor | None = None
    ) -> TangentStep:
        """Return what compiled code needs of a step."""
        process, weights = self.process, self.process.weights[batch.members]
        values = parts_of(state)[0]
        run = process.run(values, weights, batch)
        given = [Given(run.deltas[0])]
        for at in range(1, len(process.layers)):
            given.append(Given(run.deltas[at], run.activations[at], run.active[at - 1], values[self._names[at][0]]))
        images = batch.data["bytes"].flatten(1).contiguous()
        outcome = Outcome(run.shares, run.errors, weights * (process.scale / batch.norm))
        return TangentStep(images, outcome, tuple(given), rule, change, losses)

    def _packed(self, tensors: State) -> Float[Tensor, "probes size"]:
        return self._walk.packed([(tensors[weight], tensors[bias]) for weight, bias in self._names])

    def _unpacked(self, flat: Float[Tensor, "probes size"]) -> State:
        found: State = {}
        for (weight, bias), (own_weight, own_bias) in zip(self._names, self._walk.views(flat), strict=True):
            found |= {weight: own_weight.contiguous(), bias: own_bias.contiguous()}
        return {name: found[name] for name in self.process.start[0]}


def compiled_products(process: DenseProcess) -> CompiledProducts | None:
    """Return the compiled walks of a process, None where torch has to compute them.

    Compiled code takes float32 on a CPU, layers with biases, momentum, and images that are bytes after augmentation,
    unless ``runner.native=false``.
    """
    inputs, values = process.data.inputs, process.start[0]
    biased = all(bias in values for _, bias in (process.names(at) for at in range(len(process.layers))))
    plain = process.weights.device.type == "cpu" and process.weights.dtype == torch.float32
    if not (process.native and plain and biased and process.recipe.momentum and process.steps):
        return None
    if not isinstance(inputs, ImageInputs) or not inputs.bytes_stay or native_library() is None:
        return None
    return CompiledProducts(process, inputs)
