"""The rules of the benchmark of a small grid: where an optimum is, and what counts as a sign."""

import math

import pytest

from benchmarks.moe_grid import best_sparsity, signs

LEVELS = [0.0, 0.5, 0.75, 0.875, 0.9375]


def test_an_optimum_is_the_lowest_point_of_a_parabola_or_an_end() -> None:
    def cells(best: float) -> list[dict[str, float]]:
        at = -math.log(1 - best)
        return [{"sparsity": level, "loss": 2 + (-math.log(1 - level) - at) ** 2} for level in LEVELS]

    value, censored = best_sparsity(cells(0.7))
    assert value == pytest.approx(0.7)
    assert not censored
    assert best_sparsity(cells(0.99)) == (0.9375, True)
    assert best_sparsity(cells(0.01)) == (0.0, True)


def test_optima_at_an_end_are_in_no_comparison() -> None:
    inside, end = (0.5, False), (0.9, True)
    assert signs([(inside, (0.6, False)), (inside, (0.4, False)), (inside, end), (end, inside)]) == (1, 1, 2)
