"""Runs of the published law with little noise, and its fit, made once."""

import numpy as np
import pytest

from harness.planted_laws import BUDGETS, SPARSITIES, Planted, grid
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.law import FittedLaw, Options, fit_law

NOISE = 0.004


@pytest.fixture(scope="session")
def planted_runs() -> Runs:
    """126 runs: 3 budgets, 6 sizes, 7 sparsities."""
    cells = grid(np.geomspace(1e8, 3e10, 6), SPARSITIES, BUDGETS[::2])
    return Planted().runs(cells, NOISE, np.random.default_rng(0))


@pytest.fixture(scope="session")
def planted_law(planted_runs: Runs) -> FittedLaw:
    return fit_law(planted_runs, options=Options(draws=60))
