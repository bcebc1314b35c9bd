"""The range finder finds what the trainings have in common and says what it misses."""

import pytest
import torch
from torch import Tensor

from modeldiff_core.errors import ConfigError
from modeldiff_core.metagradients.basis import common_basis, missed_by_others, random_weightings


def jacobian(rank: int) -> Tensor:
    """A matrix [targets, train] whose rank is known, with falling singular values."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, rank, generator=generator).double()).Q for n in (40, 50))
    return left * torch.logspace(0, -2, rank, dtype=torch.float64) @ right.T


def test_enough_probes_find_the_whole_range() -> None:
    matrix = jacobian(5)
    basis = common_basis(random_weightings(12, 40, 0) @ matrix, random_weightings(4, 40, 1) @ matrix)
    assert basis.vectors.shape == (50, 5)
    torch.testing.assert_close(basis.vectors.T @ basis.vectors, torch.eye(5).double())
    assert basis.missed < 1e-12
    torch.testing.assert_close(matrix @ basis.vectors @ basis.vectors.T, matrix)


def test_what_is_missed_is_measured_by_other_probes() -> None:
    matrix = jacobian(30)
    probes = random_weightings(200, 40, 1) @ matrix
    misses = [common_basis(random_weightings(q, 40, 0) @ matrix, probes).missed for q in (2, 8, 20)]
    assert misses == sorted(misses, reverse=True)
    assert misses[0] > 0.1 > misses[2] > 0
    basis = common_basis(random_weightings(8, 40, 0) @ matrix, probes)
    rest = probes - probes @ basis.vectors @ basis.vectors.T
    assert basis.missed == pytest.approx(float(rest.square().sum() / probes.square().sum()))


def test_a_tolerance_leaves_out_the_weakest() -> None:
    matrix = jacobian(30)
    rows = random_weightings(20, 40, 0) @ matrix
    whole, some = common_basis(rows, rows), common_basis(rows, rows, 0.05)
    assert whole.vectors.shape[1] == 20
    count = some.vectors.shape[1]
    assert 1 < count < 20
    assert whole.shares[:count].sum() >= 0.95 > whole.shares[: count - 1].sum()


def test_weightings_are_centered_and_repeatable() -> None:
    one = random_weightings(3, 40, 7)
    torch.testing.assert_close(one, random_weightings(3, 40, 7), rtol=0, atol=0)
    torch.testing.assert_close(one.mean(1), torch.zeros(3).double())
    assert not torch.allclose(one, random_weightings(3, 40, 8))


def test_products_that_are_not_finite_are_refused() -> None:
    bad = torch.full((2, 5), torch.nan)
    for rows in (bad, torch.zeros(2, 5)):
        with pytest.raises(ConfigError, match=r"products that are zero or not finite.*recipe.learning_rate"):
            common_basis(rows, rows)


def test_what_a_product_more_would_find_needs_no_further_product() -> None:
    matrix = jacobian(30)
    rows = random_weightings(8, 40, 0) @ matrix
    outside = 0.0
    for at in range(8):
        others = torch.linalg.qr(torch.cat([rows[:at], rows[at + 1 :]]).T).Q
        outside += float((rows[at] - others @ (others.T @ rows[at])).square().sum())
    told = missed_by_others(rows.numpy())
    assert 0.05 < told < 1
    assert told == pytest.approx(outside / float(rows.square().sum()))
    assert missed_by_others((random_weightings(12, 40, 0) @ jacobian(5)).numpy()) < 1e-6
