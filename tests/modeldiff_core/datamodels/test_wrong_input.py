"""Masks and margins that no datamodel can be made of are refused by every estimator, and the key says which it is."""

from collections.abc import Callable

import numpy as np
import pytest

from modeldiff_core.datamodels import ESTIMATORS, FromMasks
from modeldiff_core.datamodels.lasso import fit_lasso
from modeldiff_core.datamodels.least_squares import fit_least_squares
from modeldiff_core.datamodels.means import fit_difference_in_means
from modeldiff_core.datamodels.ridge import fit_ridge
from modeldiff_core.errors import ConfigError

RNG = np.random.default_rng(0)
MASKS = RNG.random((20, 6)) < 0.5
MARGINS = RNG.normal(size=(20, 2)).astype(np.float32)
BAD = np.where(np.arange(20)[:, None] == 7, np.float32("nan"), MARGINS)

FITS = {
    "lasso": fit_lasso,
    "ridge": fit_ridge,
    "least_squares": fit_least_squares,
    "difference_in_means": fit_difference_in_means,
}


def test_every_estimator_from_masks_is_here() -> None:
    assert {kind for kind in ESTIMATORS.names() if issubclass(ESTIMATORS.get(kind), FromMasks)} == set(FITS)
    for fit in FITS.values():
        assert fit(MASKS, MARGINS).weights.any()


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize(
    ("masks", "margins", "key", "words"),
    [
        (MASKS, MARGINS[1:], "margins", "a row for each of 20 masks, got 19"),
        (MASKS[1:], MARGINS, "margins", "a row for each of 19 masks, got 20"),
        (np.zeros_like(MASKS), MARGINS, "masks", "some training example left in by some model"),
        (MASKS, BAD, "margins", "model 7 with values that are not finite"),
        (
            MASKS,
            np.where(np.isnan(BAD), -np.inf, BAD).astype(np.float32),
            "margins",
            "model 7 with values that are not finite",
        ),
        (MASKS[:3], MARGINS[:3], "masks", "at least 4 models, got 3"),
    ],
    ids=["one margin less", "one mask less", "masks all false", "not a number", "infinite", "three models"],
)
def test_it_is_refused(
    fit: Callable[..., object], masks: np.ndarray, margins: np.ndarray, key: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        fit(masks, margins)
    assert caught.value.key == key
    assert words in str(caught.value)
