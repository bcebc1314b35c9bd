"""Enrichments against scipy's Fisher test, Holm by hand, and a false-alarm rate over random members."""

import numpy as np
import pytest
from scipy import stats

from modeldiff_core.subpopulations import enrichments, furthest

RNG = np.random.default_rng(0)
N = 200
LABELS = np.arange(N) % 4
CLASSES = ("ant", "bee", "cat", "dog")
MEMBERS = np.zeros(N, dtype=bool)
MEMBERS[[0, 4, 8, 12, 16, 20, 24, 1, 5, 3]] = True
PLANTED = (LABELS == 0) & (np.arange(N) < 60)


def table(members: np.ndarray, has: np.ndarray) -> list[list[int]]:
    return [
        [int((members & has).sum()), int((members & ~has).sum())],
        [int((~members & has).sum()), int((~members & ~has).sum())],
    ]


def test_each_value_is_tested_as_fisher_would_and_corrected_over_all() -> None:
    place = np.array(["sea", "land"])[(np.arange(N) // 4) % 2]
    found = enrichments(MEMBERS, LABELS, CLASSES, {"planted": PLANTED, "place": place})
    assert {(e.column, e.value) for e in found} == {
        *(("class", name) for name in CLASSES),
        ("planted", "yes"),
        ("place", "sea"),
        ("place", "land"),
    }
    columns = {"class": np.array(CLASSES)[LABELS], "planted": np.where(PLANTED, "yes", "no"), "place": place}
    ps = []
    for e in found:
        has = columns[e.column] == e.value
        expected = stats.fisher_exact(table(MEMBERS, has), alternative="greater").pvalue
        assert e.p == pytest.approx(expected)
        assert (e.inside, e.members, e.everywhere, e.examples) == ((MEMBERS & has).sum(), 10, has.sum(), N)
        ps.append(expected)
    assert found[0].column == "planted"
    assert found[0].inside == 7
    assert found[0].p < 1e-5
    assert ps == sorted(ps)
    running = 0.0
    for rank, e in enumerate(found):
        running = max(running, min(1.0, ps[rank] * (len(ps) - rank)))
        assert e.p_adjusted == pytest.approx(running)


def test_values_that_could_not_be_found_do_not_cost_correction() -> None:
    names = np.array([f"image {n}" for n in range(N)])
    alone = enrichments(MEMBERS, LABELS, CLASSES, {"planted": PLANTED})
    with_names = enrichments(MEMBERS, LABELS, CLASSES, {"planted": PLANTED, "file": names})
    assert len(alone) == 5
    # A name held by one of 10 members of 200 has p = 0.05 at least, so it is tested; with 11 members it cannot be.
    assert [e for e in with_names if e.column != "file"] != []
    more = MEMBERS | (np.arange(N) == 2)
    assert [e.column for e in enrichments(more, LABELS, CLASSES, {"file": names})].count("file") == 0


def test_many_numbers_are_cut_at_quartiles_and_masks_are_no_category() -> None:
    size = RNG.normal(size=N)
    size[3] = np.nan
    members = furthest(np.nan_to_num(size), 0.1)
    found = enrichments(members, LABELS, CLASSES, {"size": size, "mask": np.zeros((N, 2, 2), dtype=bool)})
    assert found[0].column == "size"
    assert found[0].value.startswith("> ")
    assert found[0].inside == found[0].members == 20
    assert not [e for e in found if e.column == "mask"]


def test_random_members_are_rarely_said_to_share_anything() -> None:
    flags = {f"flag {n}": RNG.random(N) < 0.3 for n in range(5)}
    alarms = 0
    for _ in range(400):
        members = np.zeros(N, dtype=bool)
        members[RNG.permutation(N)[:20]] = True
        alarms += enrichments(members, LABELS, CLASSES, flags)[0].p_adjusted <= 0.05
    # Exact tests are conservative; four standard deviations above 5 %.
    assert 0 < alarms <= 20 + 4 * np.sqrt(400 * 0.05 * 0.95)


def test_no_members_or_nothing_but_members_share_nothing() -> None:
    assert enrichments(np.zeros(N, dtype=bool), LABELS, CLASSES, {}) == ()
    assert enrichments(np.ones(N, dtype=bool), LABELS, CLASSES, {}) == ()


def test_the_furthest_are_positive_and_the_largest() -> None:
    values = np.array([3.0, -1, 0, 2, 5, 1])
    assert np.flatnonzero(furthest(values, 0.5)).tolist() == [0, 3, 4]
    assert np.flatnonzero(furthest(values, 0.01)).tolist() == [0, 4]
    assert np.flatnonzero(furthest(-values, 0.5)).tolist() == [1]
