"""Exact counts against NumPy's whole numbers, with and without integer products."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from modeldiff_core.datamodels import gram
from modeldiff_core.datamodels.gram import check_gram, co_occurrence, on_device, whole_product
from modeldiff_core.errors import ConfigError


@pytest.fixture(params=[True, False], ids=["integers", "float32"])
def either_product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to multiply, in blocks of 13 terms."""
    supported = torch.cpu._is_vnni_supported()
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: request.param and supported)
    monkeypatch.setattr(gram, "INNER", 13)


@pytest.mark.usefixtures("either_product")
def test_products_of_whole_numbers_are_exact() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(-128, 128, (5, 70)), rng.integers(-128, 128, (70, 9))
    got = whole_product(torch.from_numpy(left).to(torch.int8), torch.from_numpy(right).to(torch.int8))
    assert np.abs(left @ right).max() > 10_000
    np.testing.assert_array_equal(got.numpy(), left @ right)


@pytest.mark.usefixtures("either_product")
@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_co_occurrences_are_counted(planted: Callable[..., Any], fraction: float) -> None:
    masks = planted(101, 17, fraction).masks
    counts = co_occurrence(masks)
    assert counts.dtype == torch.float32
    for first, second in [(0, 0), (3, 11), (16, 2)]:
        assert counts[first, second] == sum(bool(mask[first] and mask[second]) for mask in masks)
    np.testing.assert_array_equal(counts.numpy(), masks.T.astype(int) @ masks.astype(int))


def test_masks_in_any_layout(planted: Callable[..., Any]) -> None:
    masks = planted(60, 12).masks
    np.testing.assert_array_equal(co_occurrence(np.asfortranarray(masks)).numpy(), co_occurrence(masks).numpy())


def test_more_models_than_can_be_counted_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram, "MOST_MODELS", 10)
    assert len(co_occurrence(np.ones((9, 2), dtype=bool))) == 2
    with pytest.raises(ConfigError, match="fewer than 10 models, got 10"):
        co_occurrence(np.ones((10, 2), dtype=bool))


def test_counts_of_other_masks_are_refused(planted: Callable[..., Any]) -> None:
    masks = planted(50, 8).masks
    counts, x = co_occurrence(masks), on_device(masks, "cpu")
    check_gram(counts, x)
    with pytest.raises(ConfigError, match=r"counts of shape \(8, 8\), got \(7, 7\)"):
        check_gram(counts[:7, :7], x)
    with pytest.raises(ConfigError, match="all models that are fitted"):
        check_gram(co_occurrence(masks[:-1]), x)
