"""Products through fully connected networks in closed form: few large matrix products instead of traced ones."""

import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from modeldiff_core.metagradients.compiled import BLOCK, compiled_products
from modeldiff_core.metagradients.process import Batch, Probes, State
from modeldiff_core.metagradients.sgd import Parts, SgdProcess, parts_of

PASSES = 2**26
"""Bytes of passes of batches through the network that are kept beside the states that they belong to."""
RECENT = 2 * BLOCK
"""Latest passes, which are kept in any case: a step and the products through it need the same one."""


@dataclass(frozen=True)
class _Pass:
    """One batch through the network, forward and backward; examples are the last axis, so that probes can be rows.

    Attributes:
        activations: Inputs of each layer [features, batch].
        active: 1 where an input of a layer but the first is above 0, else 0 [features, batch].
        deltas: Derivatives of the loss by what each layer gives before its ReLU [features, batch].
        shares: Predicted probabilities [classes, batch].
        errors: Derivatives of each example's own loss by its logits [classes, batch].

    """

    activations: list[Tensor]
    active: list[Tensor]
    deltas: list[Tensor]
    shares: Tensor
    errors: Tensor

    @property
    def bytes(self) -> int:
        """Memory of all of it."""
        tensors = (*self.activations, *self.active, *self.deltas, self.shares, self.errors)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True)
class _Kept:
    """A pass with the step and the weights of the examples that it was made with."""

    step: int
    weights: Tensor
    run: _Pass


class DenseProcess(SgdProcess):
    """An ``SgdProcess`` of layers with ReLU between them, whose derivatives are written out.

    With U a direction of the parameters, both products need H·U (H the Hessian of the batch's loss) and the change of
    each example's loss along U, which one more pass forward and backward gives for all probes (Pearlmutter, 1994).

    Passes of the batches themselves, without any probe, are kept as long as the states that they start from, PASSES
    bytes at most: the training and every block of products walk through the same ones.

    Attributes:
        layers: Names of the layers in order, '' for a layer alone.
        scale: Factor of the last layer's outputs.
        passes: Bytes of passes that are kept.
        native: Whether compiled code may take the products; see ``compiled_products``.

    """

    layers: tuple[str, ...] = ()
    scale: float = 1.0
    passes: int = PASSES
    native: bool = True

    def gradient(
        self, values: State, statistics: State, weights: Float[Tensor, " batch"], batch: Batch
    ) -> tuple[State, State]:
        """Return the gradient of the batch's loss without weight decay, and no running statistics."""
        run = self.run(values, weights, batch)
        found: State = {}
        for at, (delta, activation) in enumerate(zip(run.deltas, run.activations, strict=True)):
            weight, bias = self.names(at)
            found[weight] = delta @ activation.T
            if bias in values:
                found[bias] = delta.sum(1)
        return found, {}

    def step(self, state: State, weights: Float[Tensor, " batch"], batch: Batch) -> State:
        """Return the state after a step; the same sums as any ``SgdProcess``, all tensors at once."""
        values, velocities, _ = parts_of(state)
        gradient, _ = self.gradient(values, {}, weights, batch)
        return self.moved(values, velocities, gradient, batch.rate)

    def carry(
        self, steps: Iterator[tuple[int, State]], tangents: Probes, directions: Float[Tensor, "probes train"]
    ) -> Probes:
        compiled = compiled_products(self)
        if compiled is None:
            return super().carry(steps, tangents, directions)
        return compiled.forward(steps, tangents, directions)

    def carry_back(
        self, steps: Iterator[tuple[int, State]], cotangents: Probes, gradient: Float[Tensor, "probes train"]
    ) -> None:
        compiled = compiled_products(self)
        if compiled is None:
            super().carry_back(steps, cotangents, gradient)
        else:
            compiled.back(steps, cotangents, gradient)

    def push_gradient(
        self, state: State, batch: Batch, tangents: Parts, change: Float[Tensor, "probes batch"]
    ) -> Parts:
        return self._curved(parts_of(state)[0], batch, tangents[0], change)[0], {}

    def pull_gradient(
        self, state: State, batch: Batch, cotangents: Parts
    ) -> tuple[Parts, Float[Tensor, "probes batch"]]:
        gradient, losses = self._curved(parts_of(state)[0], batch, cotangents[0], None)
        return (gradient, {}), losses / batch.norm

    def _curved(
        self, values: State, batch: Batch, along: State, change: Tensor | None
    ) -> tuple[State, Float[Tensor, "probes batch"]]:
        """Return H·U + Σ_i change_i·∇ℓ_i/norm, and the change of each example's loss along U."""
        weights = self.weights[batch.members]
        run, top = self.run(values, weights, batch), len(self.layers) - 1
        moved = self._moved(values, along, run)
        logits = moved[-1]
        losses = (run.errors * logits).sum(1)
        mean = (run.shares * logits).sum(1, keepdim=True)
        delta = run.shares * (logits - mean) * (weights * (self.scale / batch.norm))
        if change is not None:
            delta = delta + run.errors * (change[:, None] * (self.scale / batch.norm))
        gradient: State = {}
        # Tensors of probes × features × batch leave the cache, so each is written once and changed in place.
        for at in range(top, -1, -1):
            weight, bias = self.names(at)
            lines = delta.flatten(0, 1) @ run.activations[at].T
            product = lines.unflatten(0, delta.shape[:2])
            if at:
                product.baddbmm_(run.deltas[at].expand(len(delta), -1, -1), moved[at - 1].transpose(1, 2))
            gradient[weight] = product
            if bias in values:
                gradient[bias] = delta.sum(2)
            if at:
                turned = along[weight].transpose(1, 2).flatten(0, 1) @ run.deltas[at]
                below = turned.unflatten(0, (len(delta), -1))
                delta = below.baddbmm_(values[weight].T.expand(len(delta), -1, -1), delta).mul_(run.active[at - 1])
        return {name: gradient[name] for name in values}, losses

    def run(self, values: State, weights: Float[Tensor, " batch"], batch: Batch) -> _Pass:
        """Return the batch's way through the network and back, the one that was kept if it is there."""
        key = values[self.names(0)[0]]
        latest = (kept for known, kept in self._recent if known() is key)
        kept = self._runs.get(key) or next(latest, None)
        if kept is not None and kept.step == batch.step and torch.equal(kept.weights, weights):
            found: _Pass = kept.run
            return found
        run = self._through(values, weights, batch)
        if batch.step >= 0:
            kept = _Kept(batch.step, weights, run)
            self._recent.append((weakref.ref(key), kept))
            if (len(self._runs) + 1) * run.bytes <= self.passes:
                self._runs[key] = kept
        return run

    @cached_property
    def _runs(self) -> WeakTensorKeyDictionary:
        """Passes by the first layer's weight in the state that they start from; they go with it."""
        return WeakTensorKeyDictionary()

    @cached_property
    def _recent(self) -> deque[tuple[weakref.ref[Tensor], _Kept]]:
        """The latest passes, by the same weight."""
        return deque(maxlen=RECENT)

    def _through(self, values: State, weights: Float[Tensor, " batch"], batch: Batch) -> _Pass:
        x = self._flat(batch.data["x"]).T
        activations, top = [x], len(self.layers) - 1
        for at in range(top + 1):
            weight, bias = self.names(at)
            x = values[weight] @ activations[at]
            x = x + values[bias][:, None] if bias in values else x
            if at < top:
                activations.append(x.relu())
        shares = (x if self.scale == 1 else x * self.scale).softmax(0)
        wanted = torch.zeros_like(shares).scatter_(0, batch.data["y"][None], 1)
        if smoothing := self.recipe.label_smoothing:
            wanted = wanted * (1 - smoothing) + smoothing / len(shares)
        errors = shares - wanted
        deltas = [errors * (weights * (self.scale / batch.norm))]
        active = [(activation > 0).to(shares) for activation in activations[1:]]
        for at in range(top, 0, -1):
            deltas.insert(0, (values[self.names(at)[0]].T @ deltas[0]).mul_(active[at - 1]))
        return _Pass(activations, active, deltas, shares, errors)

    def _moved(self, values: State, along: State, run: _Pass) -> list[Float[Tensor, "probes features batch"]]:
        """Return the change along U of each layer's result, after its ReLU where there is one; logits scaled."""
        moved: list[Tensor] = []
        for at in range(len(self.layers)):
            weight, bias = self.names(at)
            rows, (probes, features) = along[weight].flatten(0, 1), along[weight].shape[:2]
            if bias in values:
                change = torch.addmm(along[bias].flatten()[:, None], rows, run.activations[at])
            else:
                change = rows @ run.activations[at]
            change = change.unflatten(0, (probes, features))
            if at:
                change.baddbmm_(values[weight].expand(probes, -1, -1), moved[at - 1])
            last = at == len(self.layers) - 1
            moved.append(change.mul_(self.scale) if last else change.mul_(run.active[at]))
        return moved

    def _flat(self, x: Tensor) -> Float[Tensor, "batch inputs"]:
        """Return inputs as the first layer takes them: pixels in the order height, width, channels."""
        return x.permute(0, 2, 3, 1).flatten(1) if x.ndim == 4 else x

    def names(self, at: int) -> tuple[str, str]:
        """Return the names of a layer's weight [outputs, inputs] and bias."""
        prefix = f"{self.layers[at]}." if self.layers[at] else ""
        return f"{prefix}weight", f"{prefix}bias"
