"""The rules of the benchmark of a small grid: what is inside, how runs are resampled, when a sign holds."""

import numpy as np
import pytest

from benchmarks.moe_small import changes, inside, resampled, surfaces, verdict
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.law import cells_of
from modeldiff_core.scaling.optima import Window

SIZES, BUDGETS, LEVELS = (1e4, 2e4, 4e4, 8e4), (1e11, 2e11, 4e11), (0.0, 0.5, 0.75, 0.875, 0.9375, 0.96875)


def planted(noise: float, along_size: float = 0.3, along_budget: float = -0.3) -> Runs:
    """Return runs of four seeds whose s* is 1.5 in the middle and moves by so much a doubling of size and budget."""
    rng, rows = np.random.default_rng(0), []
    for i, size in enumerate(SIZES):
        for j, budget in enumerate(BUDGETS):
            for level in LEVELS:
                best = 1.5 + along_size * (i - 1.5) + along_budget * (j - 1)
                loss = 2 + 0.05 * (-np.log1p(-level) - best) ** 2
                tokens = budget / (6 * (1 - level) * size)
                rows += [(size, tokens, level, budget, loss + noise * rng.standard_normal()) for _ in range(4)]
    return Runs(*np.array(rows).T)


def test_planted_optima_and_signs_are_found() -> None:
    found, kept, _ = surfaces(planted(0.002), np.array(SIZES), 50)
    assert found.shape == (51, 4, 3)
    assert kept.all()
    rises, falls = changes(found[1:], kept, 0), -changes(found[1:], kept, 1)
    assert rises.mean() == pytest.approx(0.3, abs=0.06)
    assert falls.mean() == pytest.approx(0.3, abs=0.06)
    assert verdict("it rises", rises, 4).endswith(": holds.")


def test_the_wrong_sign_does_not_hold_and_noise_is_not_decided() -> None:
    rng = np.random.default_rng(1)
    assert "does not hold" in verdict("it rises", rng.normal(-1, 0.1, 1000), 4)
    # The mean is one standard deviation from zero: 4 x 1.645^2 = 10.8 seeds.
    told = verdict("it rises", (lambda draws: (draws - draws.mean()) / draws.std() + 1)(rng.normal(size=1000)), 4)
    assert "not decided; 11 seeds would decide" in told
    assert verdict("it rises", np.empty(0), 4) == "it rises: no two neighbors are inside."


def test_an_edge_is_in_no_mean() -> None:
    assert inside(np.array([0.0, 1.5, 3.0]), Window((0.0, 3.0), (0.0, 1.0))).tolist() == [False, True, False]
    found = np.array([[[1.0], [1.5], [9.0]]])
    assert changes(found, np.array([[True], [True], [False]]), 0).tolist() == [0.5]
    assert not len(changes(found, np.array([[True], [False], [True]]), 0))


def test_runs_are_resampled_within_cells() -> None:
    runs = planted(0.01)
    (one, other) = resampled(runs, 2)
    assert np.array_equal(np.bincount(cells_of(one)), np.bincount(cells_of(runs)))
    assert set(one.loss) < set(runs.loss)
    assert not np.array_equal(np.sort(one.loss), np.sort(other.loss))
