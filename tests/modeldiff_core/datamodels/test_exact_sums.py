"""Sums over margins as whole numbers against Python's integers."""

import numpy as np
import pytest
import torch

from modeldiff_core.datamodels.exact_sums import BITS, Scale, sums

RNG = np.random.default_rng(0)
MASKS = RNG.random((60, 7)) < 0.5
MARGINS = np.stack(
    [RNG.normal(size=60), 1e6 + RNG.normal(size=60), 1e-30 * RNG.normal(size=60), np.full(60, 0.1)], 1
).astype(np.float32)


def test_numbers_stand_for_the_margins() -> None:
    margins = torch.from_numpy(MARGINS)
    scale = Scale.of(margins)
    numbers = scale.numbers(margins)
    spread = np.abs(MARGINS.astype(float) - MARGINS[0].astype(float)).max(0)
    assert numbers.abs().max() > 2 ** (BITS - 2)
    back = (scale.offset + scale.unit * numbers.T).numpy()
    assert (np.abs(back - MARGINS.astype(float)) <= 2.0**-BITS * spread + 1e-46).all()
    assert not numbers[3].any()


@pytest.mark.parametrize("rows", [slice(None), slice(10, 37)])
def test_sums_are_those_of_python(rows: slice) -> None:
    margins = torch.from_numpy(MARGINS)
    numbers = Scale.of(margins).numbers(margins)[:, rows]
    x = torch.from_numpy(MASKS[rows]).to(torch.int8)
    got = sums(x, numbers.contiguous())
    for target in range(4):
        values = [int(number) for number in numbers[target]]
        assert got.total[target] == sum(values)
        for example in range(7):
            wanted = sum(v for v, left_in in zip(values, MASKS[rows, example], strict=True) if left_in)
            assert int(got.products[target, example]) == wanted
        m = len(values)
        power = (m * sum(v * v for v in values) - sum(values) ** 2) / m**2
        assert got.power(m)[target] == power
    assert got.power(len(values))[3] == 0
    assert (got.power(len(values))[:3] > 0).all()


def test_sums_over_some_models_are_the_difference() -> None:
    margins = torch.from_numpy(MARGINS)
    scale = Scale.of(margins)
    x = torch.from_numpy(MASKS).to(torch.int8)
    held = np.arange(60) % 3 == 0
    part = sums(x, scale.numbers(margins)) - sums(x[held], scale.numbers(margins[held]))
    rest = sums(x[~held], scale.numbers(margins[~held]))
    assert part.products.any()
    for name in ("products", "total", "squares"):
        assert torch.equal(getattr(part, name), getattr(rest, name))
