"""One network in compiled code: its working memory, and calls that check their arguments first."""

import ctypes
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from modeldiff_core.training.native.layout import Layout
from modeldiff_core.training.native.library import native_library


class _Table(ctypes.Structure):
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("slope", ctypes.c_void_p),
        ("offset", ctypes.c_void_p),
        ("features", ctypes.c_int64),
    )


@dataclass(frozen=True)
class Table:
    """Examples that batches are taken from: float32 network inputs, or bytes whose inputs are slope·byte + offset.

    Attributes:
        values: float32 without `slope` and `offset`, uint8 with them.
        slope: Factor of each feature.
        offset: Summand of each feature.
    """

    values: Num[Tensor, "examples features"]
    slope: Float[Tensor, " features"] | None = None
    offset: Float[Tensor, " features"] | None = None

    def checked(self, features: int) -> _Table:
        """Return the table as compiled code reads it; raise ValueError for other sizes or types."""
        constants = [value for value in (self.slope, self.offset) if value is not None]
        kind = torch.uint8 if constants else torch.float32
        _check(self.values, kind, (len(self.values), features))
        if len(constants) == 1:
            raise ValueError("slope and offset must be given together")
        for value in constants:
            _check(value, torch.float32, (features,))
        return _Table(
            self.values.data_ptr(),
            None if self.slope is None else self.slope.data_ptr(),
            None if self.offset is None else self.offset.data_ptr(),
            features,
        )


@dataclass(frozen=True)
class Rules:
    """The rules of an update, except for the learning rate of each step."""

    momentum: float
    weight_decay: float
    label_smoothing: float


@dataclass(frozen=True)
class Passes:
    """Steps of training: examples in the order in which they are seen, with their classes and learning rates.

    Attributes:
        table: The examples.
        rows: Row of the table of each example, in order.
        classes: Class of each example, in the same order.
        rates: Learning rate of each step.
        epoch: Examples of one pass over the subset. The last step of each pass, and the last of all, may be smaller.
    """

    table: Table
    rows: Int[np.ndarray, " steps_examples"]
    classes: Int[np.ndarray, " steps_examples"]
    rates: Float[np.ndarray, " steps"]
    epoch: int

    def check(self, n_classes: int, batch_size: int) -> None:
        """Raise ValueError for rows, classes or rates that do not fit the table, the head and the batch size."""
        count = len(self.rows)
        for name, array, bound in (("rows", self.rows, len(self.table.values)), ("classes", self.classes, n_classes)):
            if array.dtype != np.int64 or array.shape != (count,) or not array.flags.c_contiguous:
                raise ValueError(f"{name} are contiguous int64, one for each of {count} examples")
            if len(array) and (array.min() < 0 or array.max() >= bound):
                raise ValueError(f"{name} are in 0..{bound - 1}, not {array.min()}..{array.max()}")
        if self.epoch < 1:
            raise ValueError(f"an epoch has 1 example or more, not {self.epoch}")
        whole, rest = divmod(count, self.epoch)
        steps = whole * -(-self.epoch // batch_size) - (-rest // batch_size)
        if self.rates.dtype != np.float32 or self.rates.shape != (steps,) or not self.rates.flags.c_contiguous:
            raise ValueError(f"{steps} steps need as many contiguous float32 rates, not {self.rates.shape}")


class NativeNetwork:
    """The working memory of compiled code for networks of one layout, which use it one after the other.

    Args:
        layout: The networks.
        batch_size: Largest batch.
        half: Compute products of linear layers in bfloat16 where that is faster on this processor.

    Raises:
        MemoryError: If the memory cannot be allocated.
    """

    def __init__(self, layout: Layout, batch_size: int, half: bool = False) -> None:
        library = native_library()
        assert library is not None
        self.layout, self.batch_size, self._library = layout, batch_size, library
        self._handle = library.network_new(layout.layers, len(layout.layers), layout.size, batch_size, half)
        if not self._handle:
            raise MemoryError(f"no memory for batches of {batch_size}")

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            self._library.network_free(handle)

    def train(
        self,
        parameters: Float[Tensor, " parameters"],
        velocity: Float[Tensor, " parameters"],
        passes: Passes,
        rules: Rules,
    ) -> None:
        """Update parameters and velocity in place, step by step over the examples of `passes`.

        Raises:
            ValueError: For rows outside the table, classes outside the head, and arrays of the wrong type or size.
        """
        for tensor in (parameters, velocity):
            _check(tensor, torch.float32, (self.layout.size,))
        table = passes.table.checked(self.layout.features)
        passes.check(self.layout.classes, self.batch_size)
        self._library.network_train(
            self._handle,
            parameters.data_ptr(),
            velocity.data_ptr(),
            ctypes.byref(table),
            passes.rows.ctypes.data,
            passes.classes.ctypes.data,
            len(passes.rows),
            passes.epoch,
            passes.rates.ctypes.data,
            rules.momentum,
            rules.weight_decay,
            rules.label_smoothing,
        )

    def logits(self, parameters: Float[Tensor, " parameters"], table: Table) -> Float[Tensor, "examples classes"]:
        """Return the logits of all rows of the table; raise ValueError for arrays of the wrong type or size."""
        _check(parameters, torch.float32, (self.layout.size,))
        examples = len(table.values)
        checked, out = table.checked(self.layout.features), torch.empty(examples, self.layout.classes)
        self._library.network_evaluate(
            self._handle, parameters.data_ptr(), ctypes.byref(checked), examples, out.data_ptr()
        )
        return out


def _check(tensor: Tensor, kind: torch.dtype, shape: tuple[int, ...]) -> None:
    if tensor.device.type != "cpu" or tensor.dtype != kind or tensor.shape != shape or not tensor.is_contiguous():
        raise ValueError(
            f"expected a contiguous tensor of {kind} {shape} on the CPU, not {tensor.dtype} {tuple(tensor.shape)}"
        )
