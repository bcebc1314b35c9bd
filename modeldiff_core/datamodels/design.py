"""The centered second moments of masks as an operator: from counts that lie in memory, or from the masks' bits.

Rows are multiplied in groups of one size, the last filled up with zeros, so that what comes out for a target does not
depend, to the bit, on the targets beside it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from jaxtyping import Float, Int, Int8, UInt8
from torch import Tensor

from modeldiff_core.datamodels.gram import counts_of

GROUP = {"cpu": 32, "cuda": 2048}
"""Rows that are multiplied at once: enough for the full speed of the product."""
BLOCK = 4096
"""Rows of the counts that are converted to another precision at once."""
MODELS = 2048
"""Models whose masks are unpacked at once."""
POWER_ITERATIONS = 50


def in_groups(
    function: Callable[[Float[Tensor, "group inner"]], Float[Tensor, "group columns"]],
    rows: Float[Tensor, "rows inner"],
) -> Float[Tensor, "rows columns"]:
    """Return the function of the rows, applied to groups of them, all of one size."""
    size = GROUP.get(rows.device.type, GROUP["cpu"])
    lack = -len(rows) % size
    padded = torch.cat([rows, rows.new_zeros(lack, rows.shape[1])]) if lack else rows
    parts = [function(group) for group in padded.split(size)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[: len(rows)]


def rough_precision(device: torch.device) -> torch.dtype:
    """Bfloat16 where the device multiplies it faster than float32."""
    if device.type == "cuda":
        quick = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        quick = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if quick else torch.float32


class Design(ABC):
    """(XᵀX)/m − x̄ x̄ᵀ of m 0/1 masks X with column means x̄."""

    models: int
    mask_mean: Float[Tensor, " train"]

    @abstractmethod
    def without(self, x: Int8[Tensor, "models train"], held: Int[Tensor, " held"]) -> "Design":
        """Return the design of the models that are not held out; x are the masks of all."""

    @abstractmethod
    def counted(self, rows: Float[Tensor, "rows train"]) -> Float[Tensor, "rows train"]:
        """Rows times XᵀX, in the precision of the rows."""

    @abstractmethod
    def rough_product(self, rows: Float[Tensor, "rows train"]) -> Float[Tensor, "rows train"]:
        """Rows times the matrix, to two or three digits where that is faster."""

    @abstractmethod
    def apply(self, vector: Float[Tensor, " train"]) -> Float[Tensor, " train"]:
        """XᵀX times one vector."""

    def product(self, rows: Float[Tensor, "rows train"]) -> Float[Tensor, "rows train"]:
        """Rows times the matrix, in the precision of the rows."""
        mean = self.mask_mean.to(rows.dtype)
        return self.counted(rows).div_(self.models).sub_(in_groups(lambda group: group @ mean[:, None], rows) * mean)

    @cached_property
    def curvature(self) -> float:
        """An upper estimate of the largest eigenvalue by power iterations from a fixed start, 2 % added."""
        mean = self.mask_mean.float()
        vector = torch.linspace(0.5, 1.5, len(mean), device=mean.device)
        value = 0.0
        for _ in range(POWER_ITERATIONS):
            vector = self.apply(vector) / self.models - mean * (mean @ vector)
            value = float(vector.norm())
            if value == 0:
                break
            vector = vector / value
        return value * 1.02


class GramDesign(Design):
    """From XᵀX, exact counts."""

    def __init__(self, models: int, counts: Float[Tensor, "train train"]) -> None:
        self.models, self.counts = models, counts
        self.mask_mean = counts.diagonal().double() / models

    @cached_property
    def _rough(self) -> Float[Tensor, "train train"]:
        return self.gram(rough_precision(self.counts.device))

    def gram(self, precision: torch.dtype) -> Float[Tensor, "train train"]:
        """Return the matrix itself, rounded once."""
        rows = zip(self.counts.split(BLOCK), self.mask_mean.split(BLOCK), strict=True)
        return torch.cat([(c.double() / self.models - torch.outer(x, self.mask_mean)).to(precision) for c, x in rows])

    def without(self, x: Int8[Tensor, "models train"], held: Int[Tensor, " held"]) -> "GramDesign":
        return GramDesign(self.models - len(held), self.counts - counts_of(x[held]))

    def counted(self, rows: Float[Tensor, "rows train"]) -> Float[Tensor, "rows train"]:
        parts = []
        for counts in self.counts.split(BLOCK):
            block = counts.to(rows.dtype)
            parts.append(in_groups(lambda group, block=block: group @ block.T, rows))  # type: ignore[misc]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def rough_product(self, rows: Float[Tensor, "rows train"]) -> Float[Tensor, "rows train"]:
        return in_groups(self._rough_group, rows.to(self._rough.dtype)).to(rows.dtype)

    def _rough_group(self, group: Float[Tensor, "group train"]) -> Float[Tensor, "group train"]:
        # oneDNN multiplies few columns from the right half as fast again as few rows from the left.
        return (self._rough @ group.T).T.contiguous()

    def apply(self, vector: Float[Tensor, " train"]) -> Float[Tensor, " train"]:
        return self.counts @ vector


class PackedDesign(Design):
    """From the bits of the masks: two products with X instead of one with XᵀX, and no matrix [train, train]."""

    def __init__(self, models: int, bits: UInt8[Tensor, "models bytes"], mask_mean: Float[Tensor, " train"]) -> None:
        self.models, self.bits, self.mask_mean = models, bits, mask_mean

    @classmethod
    def pack(cls, x: Int8[Tensor, "models train"]) -> "PackedDesign":
        """Eight entries of a mask a byte."""
        place = (2 ** torch.arange(8, device=x.device)).to(torch.uint8)
        bits = []
        for part in x.split(MODELS):
            filled = torch.nn.functional.pad(part, (0, -part.shape[1] % 8)).view(len(part), -1, 8)
            bits.append((filled * place).sum(2, dtype=torch.uint8))
        return cls(len(x), torch.cat(bits), x.sum(0).double() / len(x))

    def without(self, x: Int8[Tensor, "models train"], held: Int[Tensor, " held"]) -> "PackedDesign":
        keep = torch.ones(len(x), dtype=torch.bool, device=x.device)
        keep[held] = False
        models = len(x) - len(held)
        return PackedDesign(models, self.bits[keep], x[keep].sum(0).double() / models)

    def _masks(self, precision: torch.dtype) -> Iterator[Float[Tensor, "some train"]]:
        """Yield the masks of MODELS models at a time."""
        values = torch.arange(256, device=self.bits.device)[:, None]
        table = (values >> torch.arange(8, device=self.bits.device) & 1).to(precision)
        for bits in self.bits.split(MODELS):
            yield torch.nn.functional.embedding(bits.int(), table).view(len(bits), -1)[:, : len(self.mask_mean)]

    def counted(self, rows: Float[Tensor, "rows train"]) -> Float[Tensor, "rows train"]:
        total = torch.zeros_like(rows)
        for masks in self._masks(rows.dtype):
            total += in_groups(lambda group, x=masks: (group @ x.T) @ x, rows)  # type: ignore[misc]
        return total

    def rough_product(self, rows: Float[Tensor, "rows train"]) -> Float[Tensor, "rows train"]:
        precision = rough_precision(rows.device)
        if precision == rows.dtype:
            return self.product(rows)
        # The means are taken off before anything is rounded to few digits: they would drown the rest.
        mean = self.mask_mean.to(rows.dtype)
        rough = rows.to(precision)
        shift = in_groups(lambda group: group @ mean[:, None], rough.to(rows.dtype))
        total, left = torch.zeros_like(rows), torch.zeros_like(shift)
        for masks in self._masks(precision):
            seen = (in_groups(_times(masks.T), rough).to(rows.dtype) - shift).to(precision)
            total += in_groups(_times(masks), seen).to(rows.dtype)
            left += row_sums(seen.to(rows.dtype))[:, None]
        return total.sub_(left * mean).div_(self.models)

    def apply(self, vector: Float[Tensor, " train"]) -> Float[Tensor, " train"]:
        total = torch.zeros_like(vector)
        for masks in self._masks(vector.dtype):
            total += masks.T @ (masks @ vector)
        return total


def row_sums(values: Float[Tensor, "rows columns"]) -> Float[Tensor, " rows"]:
    """Row sums; a single row is added up in the order in which it would be among others."""
    return values.sum(1) if len(values) > 1 else values.expand(2, -1).sum(1)[:1]


def _times(matrix: Float[Tensor, "inner columns"]) -> Callable[[Tensor], Tensor]:
    return lambda group: group @ matrix
