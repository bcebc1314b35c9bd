"""p by exchange of members: exact where a normal approximation is not, and sure where nothing else varies."""

import numpy as np
import pytest
from scipy.special import ndtri

from modeldiff_core.statistics import exchange, within_classes
from modeldiff_core.statistics.exchange import exchanged

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [40, 50, 30])


def some(count: int) -> np.ndarray:
    members = np.zeros(len(LABELS), dtype=bool)
    members[RNG.permutation(len(LABELS))[:count]] = True
    return members


def test_rarely_bright_pixels_do_not_make_random_members_stand_out() -> None:
    pixels = np.where(RNG.random((len(LABELS), 64)) < 0.03, 255, 0).astype(np.uint8)
    runs, alarms, normal = 200, 0, 0
    for _ in range(runs):
        members = some(8)
        alarms += exchanged(pixels, members, LABELS, 99).min() <= 0.05
        found = within_classes(pixels, members.astype(float), LABELS)
        assert found is not None
        normal += np.abs(found.t).max() >= -ndtri(0.05 / 2 / 64)
    assert normal > 0.3 * runs, "by Student's t with Bonferroni's level most of such members would"
    assert 0 < alarms <= 10 + 4 * np.sqrt(runs * 0.05 * 0.95)


def test_p_is_the_share_of_exchanges_whose_largest_t_is_as_large() -> None:
    values = RNG.exponential(size=(len(LABELS), 2, 3)) + LABELS[:, None, None]
    members = some(30)
    values[members, 1, 2] += 1
    p = exchanged(values, members, LABELS, 499)

    def t(of: np.ndarray) -> np.ndarray:
        found = within_classes(values, of.astype(float), LABELS)
        assert found is not None
        return np.abs(found.t)

    largest = []
    for _ in range(499):
        drawn = np.zeros(len(LABELS), dtype=bool)
        for c in range(3):
            place = np.flatnonzero(c == LABELS)
            drawn[RNG.permutation(place)[: members[place].sum()]] = True
        largest.append(t(drawn).max())
    expected = (1 + (np.array(largest)[:, None, None] >= t(members)).sum(0)) / 500
    assert expected.min() < 0.1
    assert expected.max() > 0.5
    assert np.abs(p - expected).max() < 5 * np.sqrt(2 * 0.25 / 499)


def test_a_difference_without_any_spread_is_the_surest_and_what_a_class_shares_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = RNG.integers(0, 256, (len(LABELS), 9), dtype=np.uint8)
    members = some(12)
    values[:, 4] = np.where(members, 255, 0)
    values[:, 7] = 50 * LABELS
    p = exchanged(values, members, LABELS, 99)
    assert p[4] == 0.01
    assert p[7] == 1
    assert np.delete(p, 4).min() > 0.01
    monkeypatch.setattr(exchange, "VALUES", 2 * len(LABELS))
    np.testing.assert_array_equal(exchanged(values, members, LABELS, 99), p)
