"""Standard errors of weights are the spread of weights over masks drawn anew."""

import numpy as np
import pytest

from modeldiff_core.datamodels.least_squares import fit_least_squares
from modeldiff_core.datamodels.ridge import fit_ridge
from modeldiff_core.datamodels.standard_errors import weight_errors
from modeldiff_core.errors import ConfigError

UNITS, ROWS, NOISE = 12, 300, 0.5


def drawn(seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((rows, UNITS)) < 0.9
    weights = np.linspace(0, 2, UNITS)
    margins = (masks @ weights)[:, None] + NOISE * rng.standard_normal((rows, 3))
    return masks, margins.astype(np.float32)


@pytest.mark.parametrize("penalty", [0.0, 0.001])
def test_they_are_the_spread_over_masks_drawn_anew(penalty: float) -> None:
    weights, errors = [], []
    for seed in range(80):
        masks, margins = drawn(seed)
        fit = fit_ridge(masks, margins, penalties=(penalty,)) if penalty else fit_least_squares(masks, margins)
        weights.append(fit.weights)
        errors.append(weight_errors(masks, margins, fit))
    spread, claimed = np.std(weights, axis=0), np.mean(errors, axis=0)
    assert spread.min() > 0.05
    np.testing.assert_allclose(claimed.mean(), spread.mean(), rtol=0.05)
    np.testing.assert_allclose(claimed, spread, rtol=0.3)


def test_too_few_masks_are_refused() -> None:
    masks, margins = drawn(0, rows=6)
    with pytest.raises(ConfigError, match=r"ablation.rows: expected more than 13 rows"):
        weight_errors(masks, margins, fit_least_squares(masks, margins))
