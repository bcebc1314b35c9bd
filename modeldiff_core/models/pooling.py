"""Convolution, 2×2 max pooling and ReLU as one step.

torch's max pooling on a CPU takes longer than the convolution before it: it writes an index for each pixel. Here it is
two maxima of whole rows and two differences, whose signs say where a gradient goes. The gradient of the bias, slow as a
part of the convolution's, is summed over the pooled pixels instead.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_masked = torch.ops.aten.threshold_backward
"""(gradient, x, 0): the gradient where x > 0, else 0."""


def convolve_pool_relu(
    x: Float[Tensor, "batch channels height width"],
    weight: Float[Tensor, "outputs inputs kernel kernel"],
    bias: Float[Tensor, " outputs"],
    padding: int,
) -> Float[Tensor, "batch outputs half_height half_width"]:
    """relu(max_pool(conv(x) + bias)) on a CPU, the last row and column left out where their number is odd.

    The gradient of a maximum goes to the first of equal pixels in reading order, as in torch. Memory: channels last.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    out: Tensor = _ConvolvePoolRelu.apply(x, weight, bias, padding, dtype)  # type: ignore[no-untyped-call]
    return out


class _ConvolvePoolRelu(torch.autograd.Function):
    """Channels last, so that the rows of maxima are contiguous in memory; only the convolution is in `dtype`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: int, dtype: torch.dtype) -> Tensor:
        x = x.to(dtype, memory_format=torch.channels_last)
        weight = weight.to(dtype, memory_format=torch.channels_last)
        y = torch.conv2d(x, weight, bias.to(dtype), padding=padding).float().permute(0, 2, 3, 1)
        n, height, width, channels = y.shape
        # Left and right first: of equal pixels the first in reading order is then the one that stays.
        pairs = y[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2 * 2, width // 2, 2, channels)
        left, right = pairs[:, :, :, 0], pairs[:, :, :, 1]
        rows = torch.maximum(left, right).view(n, height // 2, 2, width // 2, channels)
        top, bottom = rows[:, :, 0], rows[:, :, 1]
        out = torch.maximum(top, bottom).relu_()
        ctx.save_for_backward(x, weight, right - left, bottom - top, out)
        ctx.padding, ctx.size = padding, (height, width)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, right, bottom, out = ctx.saved_tensors
        n, half_height, half_width, channels = out.shape
        pooled = _masked(gradient.permute(0, 2, 3, 1), out, 0)
        rows = pooled.new_empty(n, half_height, 2, half_width, channels)
        _masked.grad_input(pooled, bottom, 0, grad_input=rows[:, :, 1])
        torch.sub(pooled, rows[:, :, 1], out=rows[:, :, 0])
        rows = rows.view(n, 2 * half_height, half_width, channels)
        pairs = pooled.new_empty(n, 2 * half_height, half_width, 2, channels)
        _masked.grad_input(rows, right, 0, grad_input=pairs[:, :, :, 1])
        torch.sub(rows, pairs[:, :, :, 1], out=pairs[:, :, :, 0])
        y = pairs.view(n, 2 * half_height, 2 * half_width, channels)
        height, width = ctx.size
        if height % 2 or width % 2:
            y = F.pad(y, (0, 0, 0, width % 2, 0, height % 2))
        dx, dw, _ = torch.ops.aten.convolution_backward(
            y.permute(0, 3, 1, 2).to(x.dtype),
            x,
            weight,
            None,
            [1, 1],
            [ctx.padding] * 2,
            [1, 1],
            False,
            [0, 0],
            1,
            [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False],
        )
        dx, dw = (None if change is None else change.float() for change in (dx, dw))
        return dx, dw, pooled.sum((0, 1, 2)), None, None
