"""Margins as whole numbers, so that their sums are exact too."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int8, Int64
from torch import Tensor

from modeldiff_core.datamodels.gram import whole_product

BITS = 38
"""A margin's distance from the first model's is rounded to 2⁻³⁸ of the largest such distance; float32 has 24 bits."""
DIGITS = 5
"""Whole numbers of BITS bits are multiplied in digits of 8."""
HALF = 19


@dataclass(frozen=True)
class Scale:
    """margin[model, target] = offset[target] + unit[target]·number[target, model], |number| ≤ 2³⁸."""

    unit: Float[Tensor, " targets"]
    offset: Float[Tensor, " targets"]

    @classmethod
    def of(cls, margins: Float[Tensor, "models targets"]) -> "Scale":
        """Return a unit for each target, a power of two, and the first model's margins."""
        offset = margins[0].double()
        _, exponent = np.frexp((margins.double() - offset).abs().amax(0).cpu().numpy())
        return cls(torch.from_numpy(np.ldexp(1.0, exponent - BITS)).to(margins.device), offset)

    def numbers(self, margins: Float[Tensor, "models targets"]) -> Int64[Tensor, "targets models"]:
        """Margins of some or all models in these units."""
        return ((margins.double() - self.offset) / self.unit).T.round().long().contiguous()


@dataclass(frozen=True)
class Sums:
    """Sums over models: XᵀY, Y, and Y² as Σa², Σab, Σb² of number = a·2¹⁹ + b."""

    products: Float[Tensor, "targets train"]
    total: Int64[Tensor, " targets"]
    squares: Int64[Tensor, "3 targets"]

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.products - other.products, self.total - other.total, self.squares - other.squares)

    def power(self, models: int) -> Float[np.ndarray, " targets"]:
        """Mean squared distance from the mean, in squared units, rounded once; exactly 0 for equal margins."""
        a, ab, b = self.squares.cpu().numpy().astype(object)
        total = self.total.cpu().numpy().astype(object)
        squares = (a << 2 * HALF) + (ab << HALF + 1) + b
        return np.asarray((models * squares - total**2) / models**2, np.float64)


def sums(x: Int8[Tensor, "models train"], numbers: Int64[Tensor, "targets models"]) -> Sums:
    """All that a linear regression needs to know of the margins."""
    # The bytes of a number that is raised by 128 in each of its digits are the signed digits, each raised by 128.
    raised = numbers + sum(128 << 8 * digit for digit in range(DIGITS))
    digits = (raised.view(torch.uint8).view(*numbers.shape, 8)[..., :DIGITS] ^ 128).view(torch.int8)
    parts = whole_product(digits.permute(2, 0, 1).reshape(-1, len(x)), x).view(DIGITS, len(numbers), -1)
    products = torch.zeros(parts.shape[1:], dtype=torch.float64, device=x.device)
    for part in parts.flip(0):
        products = products * 256 + part
    high = numbers >> HALF
    low = numbers - (high << HALF)
    squares = torch.stack([(high * high).sum(1), (high * low).sum(1), (low * low).sum(1)])
    return Sums(products, numbers.sum(1), squares)
