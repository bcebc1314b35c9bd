"""Products with the centered second moments of masks, from counts and from bits, against NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from modeldiff_core.datamodels import design as module
from modeldiff_core.datamodels.design import Design, GramDesign, PackedDesign, in_groups
from modeldiff_core.datamodels.gram import counts_of, on_device


def both(masks: np.ndarray) -> list[Design]:
    x = on_device(masks, "cpu")
    return [GramDesign(len(masks), counts_of(x)), PackedDesign.pack(x)]


def matrix(masks: np.ndarray) -> np.ndarray:
    return np.cov(masks.astype(float), rowvar=False, bias=True)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of models and of columns, several groups of rows."""
    monkeypatch.setattr(module, "MODELS", 32)
    monkeypatch.setattr(module, "BLOCK", 11)
    monkeypatch.setitem(module.GROUP, "cpu", 4)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("train", [16, 21])
def test_products_are_those_of_numpy(planted: Callable[..., Any], fraction: float, train: int) -> None:
    masks = planted(100, train, fraction).masks
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(6, train)))
    expected = rows.numpy() @ matrix(masks)
    scale = np.abs(expected).max()
    assert scale > 0.1
    for design in both(masks):
        np.testing.assert_allclose(design.mask_mean.numpy(), masks.mean(0), rtol=1e-14)
        np.testing.assert_allclose(design.product(rows).numpy(), expected, atol=1e-14)
        single = design.product(rows.float())
        assert single.dtype == torch.float32
        np.testing.assert_allclose(single.numpy(), expected, atol=1e-5 * scale)
        rough = design.rough_product(rows.float())
        assert rough.dtype == torch.float32
        np.testing.assert_allclose(rough.numpy(), expected, atol=0.02 * scale)
        largest = np.linalg.eigvalsh(matrix(masks))[-1]
        assert largest < design.curvature < 1.03 * largest


def test_the_design_of_some_models(planted: Callable[..., Any]) -> None:
    masks = planted(90, 13).masks
    held = torch.arange(0, 90, 7)
    keep = np.arange(90) % 7 != 0
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 13)))
    expected = rows.numpy() @ matrix(masks[keep])
    assert np.abs(expected - rows.numpy() @ matrix(masks)).max() > 1e-3
    for design, fresh in zip(both(masks), both(masks[keep]), strict=True):
        part = design.without(on_device(masks, "cpu"), held)
        assert part.models == keep.sum()
        np.testing.assert_allclose(part.product(rows).numpy(), expected, atol=1e-14)
        assert torch.equal(part.product(rows), fresh.product(rows))


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_a_row_gives_the_same_bits_alone_and_among_others(
    planted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, precision: torch.dtype
) -> None:
    monkeypatch.setitem(module.GROUP, "cpu", 32)
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(150, 200))).to(precision)
    for design in both(planted(300, 200).masks):
        for product in (design.product, design.rough_product):
            together = product(rows)
            assert together.any(1).all()
            for chosen in ([7], [149, 3, 60], list(range(40, 140))):
                assert torch.equal(product(rows[chosen]), together[chosen])


def test_groups_cover_all_rows() -> None:
    sizes = []

    def double(group: torch.Tensor) -> torch.Tensor:
        sizes.append(len(group))
        return 2 * group

    rows = torch.arange(10.0)[:, None]
    assert torch.equal(in_groups(double, rows), 2 * rows)
    assert sizes == [4, 4, 4]


def test_shapes_of_the_inner_loops_are_checked_here() -> None:
    """The tests of other packages leave these checks out: see tests/conftest.py."""
    with pytest.raises(TypeCheckError, match="rows"):
        in_groups(lambda group: group, torch.zeros(3))
