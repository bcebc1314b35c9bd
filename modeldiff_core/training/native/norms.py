"""Root-mean-square normalization in compiled code: the call, and its gradient for torch."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from modeldiff_core.training.native.experts import LANES
from modeldiff_core.training.native.library import native_library


def root_mean_square_norm(x: Tensor, gain: Tensor) -> Tensor:
    """Return gain · x / √(mean of x² over the last axis + ε) with the ε of x's type, quickly where that is possible."""
    fits = x.device.type == "cpu" and x.dtype == gain.dtype == torch.float32 and x.shape[-1] % LANES == 0
    if not fits or native_library() is None:
        return F.rms_norm(x, gain.shape, gain)
    found: Tensor = _Norm.apply(x, gain)  # type: ignore[no-untyped-call]
    return found


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor) -> Tensor:
        x, library = x.contiguous(), native_library()
        assert library is not None
        width = x.shape[-1]
        out, scale = torch.empty_like(x), x.new_empty(x.numel() // width)
        pointers = (one.data_ptr() for one in (x, gain, out, scale))
        library.norm_forward(len(scale), width, torch.finfo(x.dtype).eps, *pointers)
        ctx.save_for_backward(x, gain, scale)
        return out

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, Tensor]:
        x, gain, scale = ctx.saved_tensors
        library = native_library()
        assert library is not None
        dx, d_gain, gradient = torch.empty_like(x), torch.zeros_like(gain), above[0].contiguous()
        pointers = (one.data_ptr() for one in (x, gain, scale, gradient, dx, d_gain))
        library.norm_backward(len(scale), x.shape[-1], *pointers)
        return dx, d_gain
