"""Fast arithmetic stays float32, and leaves torch's settings as they were."""

import pytest
import torch

from modeldiff_core.training import devices
from modeldiff_core.training.devices import fast_arithmetic, out_of_memory, peak_memory

MATMUL = torch.backends.mkldnn.matmul


def test_products_stay_float32_and_the_setting_is_put_back() -> None:
    before = MATMUL.fp32_precision
    torch.manual_seed(0)
    a, b = torch.randn(3, 50, 784), torch.randn(3, 784, 64)
    with fast_arithmetic(torch.device("cpu")):
        product = torch.bmm(a, b)
    assert MATMUL.fp32_precision == before
    exact = torch.bmm(a.double(), b.double())
    assert (product - exact).abs().max() < 1e-5 * exact.abs().max()
    rounded = torch.bmm(a.bfloat16().double(), b.bfloat16().double())
    assert (rounded - exact).abs().max() > 1e-4 * exact.abs().max(), "bfloat16 would be seen"


def test_a_processor_that_rounds_to_bfloat16_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.bmm

    def rounding(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if a.dtype == torch.float32 and MATMUL.fp32_precision == "bf16":
            return real(a.bfloat16().float(), b.bfloat16().float())
        return real(a, b)

    devices._onednn_is_exact.cache_clear()
    monkeypatch.setattr(torch, "bmm", rounding)
    try:
        assert not devices._onednn_is_exact()
        with fast_arithmetic(torch.device("cpu")):
            assert MATMUL.fp32_precision != "bf16"
    finally:
        devices._onednn_is_exact.cache_clear()


def test_the_setting_is_put_back_after_an_error() -> None:
    before = MATMUL.fp32_precision
    with pytest.raises(ZeroDivisionError), fast_arithmetic(torch.device("cpu")):
        raise ZeroDivisionError
    assert MATMUL.fp32_precision == before


def test_what_counts_as_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(caught.value)
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError())
    assert not out_of_memory(RuntimeError("shapes do not match"))


def test_peak_memory_counts_what_was_taken_up() -> None:
    before = peak_memory(torch.device("cpu"))
    held = torch.ones(before + 2**26, dtype=torch.uint8)
    assert peak_memory(torch.device("cpu")) >= len(held)
