"""The form in which a training function is given images: that in which its user gave them.

A data set holds bytes [examples, height, width, channels]. A user's own function gets them as arrays or tensors of
the type, the order of axes and the range that its author works with.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modeldiff_core.data.frames import as_frame
from modeldiff_core.data.kinds import Inputs, Table

Axes = Literal["nhwc", "nchw", "nhw", "nf", "table", "tokens"]


@dataclass(frozen=True)
class Form:
    """How images are given to a function.

    Attributes:
        library: Arrays of numpy, or tensors of torch.
        dtype: Name of the type, such as float32.
        axes: Their order; ``nf``: a row of numbers for each example, without height and width; ``table``: a data frame;
            ``tokens``: a row of ids for each text.
        low: What the byte 0 stands for, with a type of floats or where the range is given.
        high: What the byte 255 stands for.
    """

    library: Literal["numpy", "torch"] = "numpy"
    dtype: str = "uint8"
    axes: Axes = "nhwc"
    low: float = 0.0
    high: float = 255.0

    def __str__(self) -> str:
        kind = "a torch tensor" if self.library == "torch" else "an array"
        order = {"nf": "examples, numbers", "nhw": "examples, height, width"}
        if self.axes == "table":
            return "a data frame"
        if self.axes == "tokens":
            return f"{kind} of ids in {self.dtype} [texts, length]"
        axes = order.get(self.axes) or (
            "examples, height, width, channels" if self.axes == "nhwc" else "examples, channels, height, width"
        )
        return f"{kind} of {self.dtype} in {self.low:g}..{self.high:g} [{axes}]"

    @property
    def bytes(self) -> bool:
        """Whether values are the bytes themselves."""
        return (self.low, self.high) == (0.0, 255.0)

    def values(self, images: Inputs) -> Any:
        """Return images as an array of the form; always a copy.

        A value is ``low + byte/255·(high − low)``, in the type of the form; in 0..1 it is ``byte/255``, as division of
        bytes by 255 in that type gives it.
        """
        if self.axes == "tokens":
            return np.ascontiguousarray(images[:, 0, :, 0])
        dtype = np.dtype(self.dtype)
        if self.bytes or dtype.kind == "b":
            out = (images > 127) if dtype.kind == "b" else images.astype(dtype)
        elif dtype.kind == "f":
            out = images.astype(dtype) / dtype.type(255)
            if (self.low, self.high) != (0.0, 1.0):
                out = (out * dtype.type(self.high - self.low) + dtype.type(self.low)).astype(dtype)
        else:
            out = np.round(images / 255 * (self.high - self.low) + self.low).astype(dtype)
        if self.axes == "nf":
            return np.ascontiguousarray(out.reshape(len(out), -1))
        if self.axes == "nhw":
            return np.ascontiguousarray(out[..., 0])
        return np.ascontiguousarray(np.moveaxis(out, -1, 1)) if self.axes == "nchw" else out

    def give(self, images: Inputs) -> Any:
        """Return images as the function is given them; its own copy."""
        return self.wrapped(self.values(images))

    def wrapped(self, array: Any) -> Any:
        """Return an array in the library of the form."""
        if self.library == "numpy":
            return array
        import torch

        return torch.from_numpy(array)


NO_COLUMNS = Table(())


@dataclass(frozen=True)
class TableForm(Form):
    """Rows of a table whose columns are known, as a data frame."""

    axes: Axes = "table"
    table: Table = NO_COLUMNS

    def values(self, images: Inputs) -> Any:
        """Return rows as a data frame, categories as text of pandas' type ``category``."""
        return as_frame(self.table, images)
