"""Mixtures of experts in compiled code: the call, and its gradient for torch."""

import ctypes
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modeldiff_core.training.native.library import native_library

LANES = 16
"""Floats of a vector; the width is made of whole ones, and W1 and V1 side by side are."""


def native_mixture_fits(x: Tensor, inner: Tensor) -> bool:
    """Return whether compiled code takes these: float32 on a CPU, width of sixteens, hidden size of eights."""
    width, hidden = inner.shape[1], inner.shape[2] // 2
    fits = x.device.type == "cpu" and x.dtype == inner.dtype == torch.float32
    return fits and width % LANES == 0 and 2 * hidden % LANES == 0 and native_library() is not None


def native_route(logits: Tensor, active: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return the experts of each token, the pairs of each expert and their order; None where torch has to choose.

    Of equal logits the first expert's comes first.
    """
    library = native_library() if logits.device.type == "cpu" and logits.dtype == torch.float32 else None
    if library is None:
        return None
    tokens, experts = logits.shape
    given = logits.detach().contiguous()
    chosen, counts, order = (
        torch.empty(size, dtype=torch.int64) for size in (tokens * active, experts, tokens * active)
    )
    pointers = (one.data_ptr() for one in (given, chosen, counts, order))
    if library.experts_route(tokens, experts, active, *pointers):
        raise MemoryError(f"no memory to route to {experts} experts")
    return chosen.view(tokens, active), counts, order


def native_mixture(x: Tensor, inner: Tensor, outer: Tensor, gates: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """Return Σ_k gates_k outer_e (silu(left) · right) over the experts of each token, with left, right = x inner_e.

    Args:
        x: Tokens [tokens, width].
        inner: [experts, width, 2 · hidden].
        outer: [experts, hidden, width].
        gates: [tokens, active].
        places: Pairs token · active + choice sorted by expert, and pairs of each expert.

    """
    found: Tensor = _Mixture.apply(x, inner, outer, gates, *places)  # type: ignore[no-untyped-call]
    return found


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        x, inner, outer, gates, order, counts = (one.contiguous() for one in given)
        both, outputs = x.new_empty(len(order), inner.shape[2]), x.new_empty(len(order), x.shape[1])
        out = torch.zeros_like(x)
        _called("experts_forward", (x, inner, outer, order, counts, gates), (both, outputs, out))
        ctx.save_for_backward(x, inner, outer, order, counts, gates, both, outputs)
        return out

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        *given, both, outputs = ctx.saved_tensors
        x, inner, outer, _, _, gates = given
        gradients = torch.zeros_like(x), torch.zeros_like(inner), torch.zeros_like(outer), torch.zeros_like(gates)
        _called("experts_backward", tuple(given), (both, outputs, above[0].contiguous(), *gradients))
        return *gradients, None, None


def _called(name: str, given: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> None:
    """Call a function of experts.c with its two structures and pointers to the other arrays."""
    library = native_library()
    assert library is not None
    x, inner, outer, *_ = given
    active = given[5].shape[-1]
    sizes = np.array([active, len(inner), x.shape[1], outer.shape[1]], np.int64)
    pointers = (ctypes.c_void_p * len(given))(*(one.data_ptr() for one in given))
    if getattr(library, name)(sizes.ctypes.data, ctypes.addressof(pointers), *(one.data_ptr() for one in others)):
        raise MemoryError(f"{name} found no memory for {len(given[3])} pairs")
