"""Tangents and cotangents of a fully connected network's weights through steps of its training, in compiled code."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from modeldiff_core.training.native.layout import padded
from modeldiff_core.training.native.library import native_library


class _Dense(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int64) for name in ("inputs", "outputs", "weight", "bias"))


class _Given(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in ("x", "active", "delta", "weight", "turned"))


class _Step(ctypes.Structure):
    _fields_ = (
        ("batch", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("images", "slope", "offset", "shares", "errors", "sizes")),
        *((name, ctypes.c_void_p) for name in ("change", "losses", "given")),
        *((name, ctypes.c_float) for name in ("rate", "momentum", "decay", "unit", "again", "scale")),
    )


@dataclass(frozen=True)
class Given:
    """What a layer's inputs and outputs are in the training itself; of the first layer `delta` alone is there.

    Attributes:
        delta: Derivatives of the batch's loss by what the layer gives before its ReLU.
        x: Its inputs.
        active: 1 where an input is above 0, else 0.
        weight: Its weight.

    """

    delta: Float[Tensor, "outputs batch"]
    x: Float[Tensor, "inputs batch"] | None = None
    active: Float[Tensor, "inputs batch"] | None = None
    weight: Float[Tensor, "outputs inputs"] | None = None


@dataclass(frozen=True)
class Outcome:
    """What the training itself predicts for a batch.

    Attributes:
        shares: Predicted probabilities.
        errors: Derivatives of each example's own loss by its logits.
        sizes: What an example's loss counts by.

    """

    shares: Float[Tensor, "classes batch"]
    errors: Float[Tensor, "classes batch"]
    sizes: Float[Tensor, " batch"]


@dataclass(frozen=True)
class Rule:
    """An update of directions: v ← momentum·v + H·(unit·w) + change + decay·w, w ← w − rate·v; `again`·w before."""

    rate: float
    momentum: float
    decay: float
    unit: float = 1.0
    again: float = 1.0


@dataclass(frozen=True)
class TangentStep:
    """One step; see the struct Step of tangents.c.

    Attributes:
        images: The batch's images.
        outcome: What is predicted for them.
        given: Of each layer.
        rule: The update.
        change: What is added of each example's gradient, for each direction.
        losses: Where the change of each example's loss along unit·w is written.

    """

    images: UInt8[Tensor, "batch features"]
    outcome: Outcome
    given: tuple[Given, ...]
    rule: Rule
    change: Float[Tensor, "directions batch"] | None = None
    losses: Float[Tensor, "directions batch"] | None = None


class TangentWalk:
    """Layers whose directions are kept in one array each, weights [inputs, padded outputs] and biases in turn."""

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        slope: Float[Tensor, " features"],
        offset: Float[Tensor, " features"],
        scale: float,
    ) -> None:
        """Lay the layers out.

        Args:
            sizes: Inputs and outputs of each layer.
            slope: An input of the first layer is slope·byte + offset.
            offset: See slope.
            scale: Factor of the last layer's outputs.

        """
        self.slope, self.offset, self.scale = slope, offset, scale
        self.sizes = list(sizes)
        self.places: list[tuple[int, int]] = []
        at = 0
        for inputs, outputs in sizes:
            bias = at + inputs * padded(outputs)
            self.places.append((at, bias))
            at = bias + padded(outputs)
        self.size = at
        layers = [_Dense(*size, *place) for size, place in zip(self.sizes, self.places, strict=True)]
        self._layers = (_Dense * len(layers))(*layers)

    def packed(self, tensors: Sequence[tuple[Tensor, Tensor]]) -> Float[Tensor, "directions size"]:
        """Return directions of (weight [directions, outputs, inputs], bias [directions, outputs]) of each layer."""
        flat = torch.zeros(len(tensors[0][0]), self.size)
        for (weight, bias), (into_weight, into_bias) in zip(tensors, self.views(flat), strict=True):
            into_weight.copy_(weight)
            into_bias.copy_(bias)
        return flat

    def views(self, flat: Float[Tensor, "directions size"]) -> list[tuple[Tensor, Tensor]]:
        """Return weight [directions, outputs, inputs] and bias [directions, outputs] of each layer as views."""
        found = []
        for (inputs, outputs), (at, bias) in zip(self.sizes, self.places, strict=True):
            weight = flat[:, at:bias].unflatten(1, (inputs, -1))[:, :, :outputs].transpose(1, 2)
            found.append((weight, flat[:, bias : bias + outputs]))
        return found

    def walk(
        self, steps: Sequence[TangentStep], w: Float[Tensor, "directions size"], v: Float[Tensor, "directions size"]
    ) -> None:
        """Take directions through some steps, in place.

        Raises:
            MemoryError: If there is no memory for the steps; nothing has changed then.

        """
        library = native_library()
        assert library is not None
        held: list[object] = []
        made = (_Step * len(steps))(*(self._described(step, held) for step in steps))
        pointers = _pointer(w, held), _pointer(v, held)
        if library.tangents_walk(self._layers, len(self.sizes), made, len(steps), len(w), self.size, *pointers):
            raise MemoryError(f"no memory for {len(steps)} steps of {len(steps[0].images)} examples")

    def _described(self, step: TangentStep, held: list[object]) -> _Step:
        """Return a step as compiled code reads it; what it points to is added to `held`."""
        given = (_Given * len(step.given))()
        for at, one in enumerate(step.given):
            turned = None if one.weight is None else one.weight.T
            kinds = one.x, one.active, one.delta, one.weight, turned
            given[at] = _Given(*(None if each is None else _pointer(_rows(each), held) for each in kinds))
        held.append(given)
        outcome, rule = step.outcome, step.rule
        tensors = step.images, self.slope, self.offset, _rows(outcome.shares), _rows(outcome.errors), outcome.sizes
        return _Step(
            len(step.images),
            *(_pointer(tensor, held) for tensor in tensors),
            *(None if tensor is None else _pointer(tensor, held) for tensor in (step.change, step.losses)),
            ctypes.addressof(given),
            *(rule.rate, rule.momentum, rule.decay, rule.unit, rule.again, self.scale),
        )


def _pointer(tensor: Tensor, held: list[object]) -> int:
    """Return where a tensor's numbers are, and hold it."""
    assert tensor.is_contiguous()
    held.append(tensor)
    return int(tensor.data_ptr())


def _rows(columns: Float[Tensor, "numbers batch"]) -> Float[Tensor, "batch padded"]:
    """Return columns as rows, padded to whole vectors."""
    rows = columns.new_zeros(columns.shape[1], padded(len(columns)))
    rows[:, : len(columns)] = columns.T
    return rows
