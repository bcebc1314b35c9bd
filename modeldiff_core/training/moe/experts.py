"""Mixtures of GLU experts: y = Σ_k g_k W2_e (silu(W1_e x) · (V1_e x)) over the chosen experts e of each token.

One computation by several ways that agree but for rounding: compiled code on a CPU, torch's grouped products on a GPU,
a product an expert elsewhere; and the plainest loop, which is what the others are held against.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.training.moe.routing import Routing
from modeldiff_core.training.native.experts import native_mixture, native_mixture_fits

GROUPED = getattr(F, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)
"""torch's grouped product, by the name that this version has for it; None if it has none."""

Way = Literal["quickest", "sorted", "loop"]
"""How to compute: by the quickest way there is, by sorted tokens in torch alone, or by the plain loop."""


def mixture(
    x: Float[Tensor, "tokens width"],
    inner: Float[Tensor, "experts width twice_hidden"],
    outer: Float[Tensor, "experts hidden width"],
    routing: Routing,
    way: Way = "quickest",
) -> Float[Tensor, "tokens width"]:
    """Return the gated sum of the chosen experts' outputs for each token.

    Args:
        x: The tokens.
        inner: W1 and V1 of each expert side by side.
        outer: W2 of each expert.
        routing: The experts of each token.
        way: How to compute.

    """
    if way == "loop":
        return looped(x, inner, outer, routing)
    if way == "quickest" and native_mixture_fits(x, inner):
        return native_mixture(x, inner, outer, routing.gates, (routing.order, routing.counts))
    halved = torch.is_autocast_enabled(x.device.type)
    rows = _sorted(x.to(torch.get_autocast_dtype(x.device.type)) if halved else x, routing)
    product = _product(rows, way)
    left, right = product(rows, inner, routing).chunk(2, 1)
    outputs = product(F.silu(left) * right, outer, routing)
    weighted = outputs * routing.gates.reshape(-1).index_select(0, routing.order)[:, None]
    return _summed(weighted.to(x.dtype), routing)


def _sorted(x: Tensor, routing: Routing) -> Tensor:
    """Return a row for each pair, sorted by expert.

    Each index is taken once, here and in `_summed`, so that a GPU adds nothing to one place from several threads, in an
    order of its own: the same work gives the same bits.
    """
    tokens, active = routing.chosen.shape
    return x[:, None].expand(tokens, active, x.shape[1]).reshape(tokens * active, -1).index_select(0, routing.order)


def _summed(rows: Tensor, routing: Routing) -> Tensor:
    """Return the sum of each token's rows."""
    return rows.index_select(0, routing.order.argsort()).view(*routing.chosen.shape, -1).sum(1)


def looped(x: Tensor, inner: Tensor, outer: Tensor, routing: Routing) -> Tensor:
    """Return what `mixture` returns by a loop over experts, each of which looks for its tokens."""
    found, hidden = torch.zeros_like(x), outer.shape[1]
    for expert, (both, last) in enumerate(zip(inner.unbind(0), outer.unbind(0), strict=True)):
        tokens, choices = torch.where(routing.chosen == expert)
        rows = x[tokens]
        outputs = (F.silu(rows @ both[:, :hidden]) * (rows @ both[:, hidden:])) @ last
        found = found.index_add(0, tokens, (outputs * routing.gates[tokens, choices, None]).to(x.dtype))
    return found


Product = Callable[[Tensor, Tensor, Routing], Tensor]


def _product(x: Tensor, way: Way) -> Product:
    """Return the quickest product of sorted rows with their experts' matrices."""
    if way == "quickest" and x.is_cuda and x.dtype == torch.bfloat16 and GROUPED is not None:
        return _on_gpu
    return _one_by_one


def _on_gpu(rows: Tensor, weights: Tensor, routing: Routing) -> Tensor:
    """Multiply by one launch of torch's grouped product, which takes sizes that are multiples of 8 (16 bytes)."""
    if weights.shape[1] % 8 or weights.shape[2] % 8:
        return _one_by_one(rows, weights, routing)
    ends = routing.counts.cumsum(0).to(torch.int32)
    assert GROUPED is not None
    product: Tensor = GROUPED(rows, weights.to(rows.dtype), offs=ends)
    return product


def _one_by_one(rows: Tensor, weights: Tensor, routing: Routing) -> Tensor:
    product: Tensor = _Grouped.apply(rows, weights.to(rows.dtype), routing.counts.tolist())  # type: ignore[no-untyped-call]
    return product


class _Grouped(torch.autograd.Function):
    """Products of consecutive rows with one matrix a group, written in place: autograd sees one operation."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor, counts: list[int]) -> Tensor:
        ctx.save_for_backward(rows, weights)
        ctx.counts = counts
        products = rows.new_empty(len(rows), weights.shape[2])
        for own, matrix, to in zip(rows.split(counts), weights.unbind(0), products.split(counts), strict=True):
            torch.mm(own, matrix, out=to)
        return products

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, weights = ctx.saved_tensors
        gradient, counts = gradients[0].contiguous(), ctx.counts
        to_rows, to_weights = torch.empty_like(rows), torch.empty_like(weights)
        groups = zip(
            rows.split(counts),
            gradient.split(counts),
            weights.transpose(1, 2).unbind(0),
            to_rows.split(counts),
            to_weights.unbind(0),
            strict=True,
        )
        for own, above, turned, to_own, to_matrix in groups:
            torch.mm(above, turned, out=to_own)
            torch.mm(own.t(), above, out=to_matrix)
        return to_rows, to_weights, None
