"""One network in compiled code: the memory it works in, and calls whose arguments are checked before they are made."""

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
    """Examples that batches are taken from: float32 inputs of the network, or bytes for slope·byte + offset."""

    values: Num[Tensor, "examples features"]
    slope: Float[Tensor, " features"] | None = None
    offset: Float[Tensor, " features"] | None = None

    def checked(self, features: int) -> _Table:
        """As compiled code takes it; raises ValueError for other sizes or kinds than it reads."""
        constants = [value for value in (self.slope, self.offset) if value is not None]
        kind = torch.uint8 if constants else torch.float32
        _check(self.values, kind, (len(self.values), features))
        if len(constants) == 1:
            raise ValueError("a slope goes with an offset")
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
    """How weights change, but for the rate of each step."""

    momentum: float
    weight_decay: float
    label_smoothing: float


class NativeNetwork:
    """Memory for networks of a layout, one after the other, in batches of at most that size.

    half: products of linear layers in bfloat16, where the processor is quicker at them.
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
        table: Table,
        order: Int[np.ndarray, " steps_examples"],
        targets: Int[np.ndarray, " steps_examples"],
        rates: Float[np.ndarray, " steps"],
        rules: Rules,
        epoch: int,
    ) -> None:
        """Steps in place over rows of the table in that order, the classes being `targets`.

        epoch: examples of a pass over the subset; the last step of a pass, and of all, may be smaller. Raises
        ValueError for rows that the table has not, classes that the head has not, and arrays that do not fit.
        """
        for tensor in (parameters, velocity):
            _check(tensor, torch.float32, (self.layout.size,))
        given = table.checked(self.layout.features)
        for name, array, bound in (("rows", order, len(table.values)), ("classes", targets, self.layout.classes)):
            if array.dtype != np.int64 or array.shape != (len(order),) or not array.flags.c_contiguous:
                raise ValueError(f"{name} are contiguous int64, one for each of {len(order)} examples")
            if len(array) and (array.min() < 0 or array.max() >= bound):
                raise ValueError(f"{name} are in 0..{bound - 1}, not {array.min()}..{array.max()}")
        if epoch < 1:
            raise ValueError(f"an epoch has 1 example or more, not {epoch}")
        passes, rest = divmod(len(order), epoch)
        steps = passes * -(-epoch // self.batch_size) - (-rest // self.batch_size)
        if rates.dtype != np.float32 or rates.shape != (steps,) or not rates.flags.c_contiguous:
            raise ValueError(f"{steps} steps need as many contiguous float32 rates, not {rates.shape}")
        self._library.network_train(
            self._handle, parameters.data_ptr(), velocity.data_ptr(), ctypes.byref(given), order.ctypes.data,
            targets.ctypes.data, len(order), epoch, rates.ctypes.data, rules.momentum, rules.weight_decay,
            rules.label_smoothing,
        )  # fmt: skip

    def logits(self, parameters: Float[Tensor, " parameters"], table: Table) -> Float[Tensor, "examples classes"]:
        """Logits of all rows of the table; raises ValueError for arrays that do not fit."""
        _check(parameters, torch.float32, (self.layout.size,))
        given, out = table.checked(self.layout.features), torch.empty(len(table.values), self.layout.classes)
        self._library.network_evaluate(
            self._handle, parameters.data_ptr(), ctypes.byref(given), len(table.values), out.data_ptr()
        )
        return out


def _check(tensor: Tensor, kind: torch.dtype, shape: tuple[int, ...]) -> None:
    if tensor.device.type != "cpu" or tensor.dtype != kind or tensor.shape != shape or not tensor.is_contiguous():
        raise ValueError(f"a contiguous tensor of {kind} {shape} in memory, not {tensor.dtype} {tuple(tensor.shape)}")
