"""Interactions of groups are found where they are, and none where there is none."""

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.interactions import explained_by_pairs

GROUPS = np.array([0] * 6 + [1] * 8 + [2] * 4)


def drawn(seed: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((800, len(GROUPS))) < 0.8
    lacking = [(~masks[:, group == GROUPS]).sum(1) for group in range(3)]
    product = (lacking[0] - 1.2) * (lacking[1] - 1.6)
    noise = rng.standard_normal((800, 2))
    return masks, (strength * product[:, None] * [1.0, -2.0] + noise).astype(np.float32)


def test_a_planted_pair_explains_what_it_is_worth() -> None:
    fresh = drawn(2, 1.0)
    found = explained_by_pairs(GROUPS, drawn(1, 1.0), fresh)
    expected = 1 - 2 * 800 / np.square(fresh[1] - fresh[1].mean(0)).sum()
    assert expected > 0.5
    assert found == pytest.approx(expected, abs=0.05)


def test_noise_is_not_explained() -> None:
    assert -0.05 < explained_by_pairs(GROUPS, drawn(1, 0.0), drawn(2, 0.0)) < 0.02


def test_too_few_rows_are_refused() -> None:
    masks, residuals = drawn(1, 1.0)
    with pytest.raises(ConfigError, match="more than 7, for 6 pairs of layers"):
        explained_by_pairs(GROUPS, (masks[:7], residuals[:7]), (masks, residuals))
