"""The fused convolution, pooling and ReLU against torch's own, values and gradients."""

import pytest
import torch
from torch.nn import functional as F

from modeldiff_core.models.pooling import convolve_pool_relu


def both(images: torch.Tensor, outputs: int, kernel: int, padding: int) -> list[list[torch.Tensor]]:
    """Output and gradients of x, weight and bias: ours, then torch's."""
    torch.manual_seed(1)
    given = [images, torch.randn(outputs, images.shape[1], kernel, kernel), torch.randn(outputs)]
    results = []
    for ours in (True, False):
        x, weight, bias = (tensor.clone().requires_grad_() for tensor in given)
        if ours:
            out = convolve_pool_relu(x, weight, bias, padding)
        else:
            out = F.max_pool2d(F.conv2d(x, weight, bias, padding=padding), 2).relu()
        signal = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
        results.append([out, *torch.autograd.grad((out * signal).sum(), (x, weight, bias))])
    return results


@pytest.mark.parametrize(
    ("shape", "outputs", "kernel", "padding"),
    [((3, 1, 8, 8), 4, 3, 1), ((2, 3, 9, 8), 5, 3, 1), ((2, 2, 7, 11), 3, 5, 2), ((4, 6, 14, 14), 16, 5, 0)],
)
def test_values_and_gradients_are_torch_s(
    shape: tuple[int, int, int, int], outputs: int, kernel: int, padding: int
) -> None:
    ours, theirs = both(torch.randn(shape, generator=torch.Generator().manual_seed(0)), outputs, kernel, padding)
    assert 0.02 < (theirs[0] == 0).float().mean() < 0.95, "some pixels should be cut off by the ReLU and some not"
    for got, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_the_gradient_goes_to_the_first_of_equal_pixels() -> None:
    """On flat images all pixels of a window are equal; a shared gradient would change every pixel of x."""
    ours, theirs = both(torch.ones(2, 1, 8, 8), 2, 1, 0)
    assert theirs[1].abs().sum() > 0
    assert (theirs[1] == 0).float().mean() >= 0.75
    for got, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
