"""Normalization and routing in compiled code, held against torch."""

import pytest
import torch
import torch.nn.functional as F

from modeldiff_core.training.native.experts import native_route
from modeldiff_core.training.native.norms import root_mean_square_norm


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((7, 16), torch.float32), ((3, 5, 48), torch.float32), ((4, 10), torch.float32), ((4, 16), torch.float64)],
)
def test_norms_and_their_gradients_are_those_of_torch(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    drawn = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(shape, generator=drawn, dtype=dtype)).requires_grad_()
    gain = torch.randn(shape[-1], generator=drawn, dtype=dtype).requires_grad_()
    above = torch.randn(shape, generator=drawn, dtype=dtype)
    found, expected = root_mean_square_norm(x, gain), F.rms_norm(x, gain.shape, gain)
    assert expected.abs().max() > 0.5
    gradients = (torch.autograd.grad((one * above).sum(), (x, gain)) for one in (found, expected))
    for one, other in ((found, expected), *zip(*gradients, strict=True)):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_rows_that_do_not_lie_one_after_the_other_are_normalized() -> None:
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1)).t()
    torch.testing.assert_close(root_mean_square_norm(x, torch.ones(16)), F.rms_norm(x, (16,)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("active", [1, 3, 8])
def test_the_experts_of_tokens_are_those_that_torch_chooses(active: int) -> None:
    logits = torch.randn(500, 8, generator=torch.Generator().manual_seed(2))
    found = native_route(logits, active)
    assert found is not None
    chosen, counts, order = found
    assert torch.equal(chosen, logits.topk(active, 1).indices)
    flat = chosen.reshape(-1)
    assert torch.equal(counts, torch.bincount(flat, minlength=8))
    assert torch.equal(order, flat.argsort(stable=True))


def test_of_equal_logits_the_first_is_chosen_and_other_types_are_left_to_torch() -> None:
    found = native_route(torch.zeros(5, 4), 2)
    assert found is not None
    assert found[0].tolist() == [[0, 1]] * 5
    assert native_route(torch.zeros(5, 4, dtype=torch.float64), 2) is None
