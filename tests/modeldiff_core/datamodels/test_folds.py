"""Which models are held out."""

import numpy as np
import pytest

from modeldiff_core.datamodels.folds import held_out
from modeldiff_core.datamodels.moments import validation_split
from modeldiff_core.errors import ConfigError
from modeldiff_core.statistics.replicates import Replicates


@pytest.mark.parametrize(("models", "folds"), [(10, 2), (11, 3), (7, 7), (100, 5)])
def test_every_model_is_held_out_once(models: int, folds: int) -> None:
    parts = held_out(Replicates.single(models), folds, 0.1, 3)
    assert len(parts) == folds
    assert sorted(np.concatenate(parts)) == list(range(models))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all((np.diff(part) > 0).all() for part in parts)


def test_folds_are_drawn_from_the_seed() -> None:
    first, again, other = (held_out(Replicates.single(50), 5, 0.1, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)
    assert set(first) != set(range(10))


def test_no_folds_hold_out_a_share() -> None:
    (part,) = held_out(Replicates.single(50), 0, 0.2, 4)
    np.testing.assert_array_equal(part, validation_split(Replicates.single(50), 0.2, 4)[1])


@pytest.mark.parametrize(("folds", "words"), [(1, "or 2 or more"), (-2, "or 2 or more"), (9, "the 8 different masks")])
def test_other_numbers_of_folds_are_refused(folds: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        held_out(Replicates.single(8), folds, 0.1, 0)
    assert caught.value.key == "regression.folds"
