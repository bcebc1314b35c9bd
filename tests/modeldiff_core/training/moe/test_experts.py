"""Routing and experts, held against a loop over tokens and experts that shares no code with them."""

import pytest
import torch
from torch import Tensor

from modeldiff_core.training.moe.experts import Way, mixture
from modeldiff_core.training.moe.routing import Routing, route
from modeldiff_core.training.native.experts import native_mixture_fits

SIZES = [
    (40, 16, 16, 8, 3),
    (30, 32, 16, 64, 1),
    (24, 48, 32, 4, 4),
    (33, 12, 10, 6, 2),
    (1, 16, 16, 8, 2),
    (45, 16, 8, 8, 2),
    (40, 32, 24, 4, 1),
]
"""Tokens, width, hidden size, experts, active: among them sizes that compiled code does not take."""


def weights(sizes: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    tokens, width, hidden, experts, _ = sizes
    drawn = torch.Generator().manual_seed(sum(sizes))
    shapes = (tokens, width), (width, experts), (experts, width, 2 * hidden), (experts, hidden, width)
    return tuple(torch.randn(shape, generator=drawn, dtype=dtype).requires_grad_() for shape in shapes)


def by_loop(x: Tensor, router: Tensor, inner: Tensor, outer: Tensor, active: int) -> Tensor:
    """Every token by itself: all experts, the best K of which count."""
    rows = []
    for token in x:
        probabilities = torch.exp(token @ router) / torch.exp(token @ router).sum()
        best = sorted(range(len(inner)), key=lambda expert: -float(probabilities[expert].detach()))[:active]
        total = torch.zeros_like(token)
        for expert in best:
            both = token @ inner[expert]
            left, right = both[: len(both) // 2], both[len(both) // 2 :]
            total = total + probabilities[expert] * ((left / (1 + torch.exp(-left)) * right) @ outer[expert])
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("way", ["quickest", "sorted", "loop"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_outputs_and_gradients_are_those_of_a_loop_over_tokens_and_experts(
    sizes: tuple[int, ...], way: Way, dtype: torch.dtype, bound: float
) -> None:
    given, active = weights(sizes, dtype), sizes[-1]
    x, router, inner, outer = given
    above = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    exact = tuple(one.detach().double().requires_grad_() for one in given)
    expected = by_loop(*exact, active)
    found = mixture(x, inner, outer, route(x @ router, active), way)
    assert expected.abs().max() > 0.1
    wanted = torch.autograd.grad((expected * above).sum(), exact)
    gradients = torch.autograd.grad((found * above).sum(), given)
    for one, other in zip((found, *gradients), (expected, *wanted), strict=True):
        assert (one - other).abs().max() <= bound * max(1.0, float(other.detach().abs().max()))


def test_compiled_code_takes_the_sizes_that_it_can() -> None:
    x, _, inner, _ = weights(SIZES[0], torch.float32)
    assert native_mixture_fits(x, inner)
    for sizes, dtype in ((SIZES[3], torch.float32), (SIZES[0], torch.float64)):
        x, _, inner, _ = weights(sizes, dtype)
        assert not native_mixture_fits(x, inner)


@pytest.mark.parametrize("skew", [0.0, 3.0, 1000.0])
def test_no_token_is_lost_at_any_skew(skew: float) -> None:
    drawn = torch.Generator().manual_seed(0)
    logits = torch.randn(300, 16, generator=drawn)
    logits[:, 5] += skew
    routing = route(logits, 2)
    assert int(routing.counts.sum()) == 600
    assert sorted(routing.order.tolist()) == list(range(600))
    if skew == 1000.0:
        assert int(routing.counts[5]) == 300
    x, inner, outer = (torch.randn(shape, generator=drawn) for shape in ((300, 16), (16, 16, 32), (16, 16, 16)))
    found = mixture(x, inner, outer, routing)
    torch.testing.assert_close(found, mixture(x, inner, outer, routing, "loop"), rtol=1e-5, atol=1e-5)
    assert (found.abs().sum(1) > 0).all()


def test_with_all_experts_active_it_is_the_dense_mixture() -> None:
    x, router, inner, outer = weights(SIZES[2], torch.float32)
    found = mixture(x, inner, outer, route(x @ router, 4))
    left, right = torch.einsum("td,edh->teh", x, inner).chunk(2, -1)
    outputs = torch.einsum("teh,ehd->ted", torch.nn.functional.silu(left) * right, outer)
    dense = (torch.softmax(x @ router, 1)[..., None] * outputs).sum(1)
    torch.testing.assert_close(found, dense, rtol=1e-5, atol=1e-5)


def test_normalized_gates_sum_to_one_and_others_do_not() -> None:
    logits = torch.randn(20, 8, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(route(logits, 3, True).gates.sum(1), torch.ones(20))
    assert (route(logits, 3).gates.sum(1) < 0.999).all()


def losses(logits: Tensor, active: int) -> Routing:
    return route(logits, active)


def test_balance_is_one_when_even_and_experts_when_one_takes_all() -> None:
    even = torch.eye(8).repeat(5, 1) * 50
    assert losses(even, 1).balance.item() == pytest.approx(1.0, abs=1e-5)
    one = torch.zeros(40, 8)
    one[:, 3] = 50
    assert losses(one, 1).balance.item() == pytest.approx(8.0, abs=1e-5)
    assert losses(torch.zeros(4, 8), 2).z.item() == pytest.approx(torch.log(torch.tensor(8.0)).item() ** 2, rel=1e-5)
