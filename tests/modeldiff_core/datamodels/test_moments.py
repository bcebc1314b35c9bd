"""Second moments against NumPy in float64, and the split."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from modeldiff_core.datamodels.moments import Moments, moments, validation_split
from modeldiff_core.errors import ConfigError
from modeldiff_core.statistics.replicates import Replicates


def of(problem: Any) -> Moments:
    return moments(torch.from_numpy(problem.masks).float(), torch.from_numpy(problem.margins))


@pytest.mark.parametrize("block", [7, 4096])
def test_moments_are_those_of_numpy(planted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("modeldiff_core.datamodels.design.BLOCK", block)
    problem = planted(120, 30, 0.9)
    x, y = problem.masks.astype(float), problem.margins.astype(float) + 0
    xc, yc = x - x.mean(0), y - y.mean(0)
    data = of(problem)
    weights = np.random.default_rng(0).normal(size=(30, 4))
    gram = xc.T @ xc / 120
    np.testing.assert_array_equal(data.counts.numpy(), x.T @ x)
    np.testing.assert_allclose(data.cross.numpy(), xc.T @ yc / 120, atol=1e-9)
    np.testing.assert_allclose(data.power.numpy(), y.var(0), rtol=1e-9)
    np.testing.assert_allclose(data.mask_mean.numpy(), x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(data.margin_mean.numpy(), y.mean(0), rtol=1e-14)
    np.testing.assert_allclose(data.gram().numpy(), gram, rtol=1e-6, atol=1e-16)
    np.testing.assert_allclose(data.product(torch.from_numpy(weights)).numpy(), gram @ weights, atol=1e-14)
    single = data.product(torch.from_numpy(weights).float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), gram @ weights, atol=1e-5)
    np.testing.assert_allclose(
        data.bias(torch.from_numpy(weights[:, :3])).numpy(), y.mean(0) - x.mean(0) @ weights[:, :3], rtol=1e-12
    )


def test_some_targets_have_their_own_moments(planted: Callable[..., Any]) -> None:
    problem = planted(50, 10, targets=4)
    part = of(problem).select(torch.tensor([3, 1]))
    alone = moments(torch.from_numpy(problem.masks).float(), torch.from_numpy(problem.margins[:, [3, 1]]))
    for name in ("counts", "cross", "power", "mask_mean", "margin_mean"):
        torch.testing.assert_close(getattr(part, name), getattr(alone, name))


@pytest.mark.parametrize("value", [0.1, 3.3, -1e6, 1e-30])
def test_a_constant_margin_has_moments_of_exactly_zero(value: float) -> None:
    masks = torch.from_numpy(np.random.default_rng(0).random((37, 9)) < 0.5).float()
    data = moments(masks, torch.full((37, 1), value))
    assert not data.cross.any()
    assert not data.power.any()
    assert data.margin_mean.item() == np.float32(value)


@pytest.mark.parametrize(("models", "fraction", "held"), [(100, 0.1, 10), (4, 0.01, 1), (4, 0.99, 3), (10, 0.25, 2)])
def test_the_split_covers_every_model_once(models: int, fraction: float, held: int) -> None:
    fit, validation = validation_split(Replicates.single(models), fraction, 3)
    assert len(validation) == held
    assert sorted([*fit, *validation]) == list(range(models))
    np.testing.assert_array_equal(validation, validation_split(Replicates.single(models), fraction, 3)[1])


def test_the_split_follows_the_seed() -> None:
    assert len({tuple(validation_split(Replicates.single(100), 0.1, seed)[1]) for seed in range(5)}) == 5


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_held_out_share_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError) as caught:
        validation_split(Replicates.single(10), fraction, 0)
    assert caught.value.key == "regression.validation_fraction"
