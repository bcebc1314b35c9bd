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


def within_classes(members: np.ndarray, has: np.ndarray) -> float:
    """Chance of as many members with a value, by summing over every way to spread them over the classes."""
    chances = {0: 1.0}
    for c in range(4):
        own = c == LABELS
        law = stats.hypergeom(own.sum(), (own & has).sum(), (own & members).sum())
        after: dict[int, float] = {}
        for so_far, chance in chances.items():
            for k in range((own & members).sum() + 1):
                after[so_far + k] = after.get(so_far + k, 0) + chance * law.pmf(k)
        chances = after
    return sum(chance for k, chance in chances.items() if k >= (members & has).sum())


def test_each_value_is_tested_within_classes_and_corrected_over_all() -> None:
    place = np.array(["sea", "land"])[(np.arange(N) // 4) % 2]
    found = enrichments(MEMBERS, LABELS, CLASSES, {"planted": PLANTED, "place": place})
    columns = {"class": np.array(CLASSES)[LABELS], "planted": np.where(PLANTED, "yes", "no"), "place": place}
    assert {(e.column, e.value) for e in found} == {
        *(("class", name) for name in CLASSES),
        ("planted", "yes"),
        ("place", "sea"),
        ("place", "land"),
    }
    for e in found:
        has = columns[e.column] == e.value
        fisher = stats.fisher_exact(table(MEMBERS, has), alternative="greater").pvalue
        assert e.p == pytest.approx(fisher if e.column == "class" else within_classes(MEMBERS, has))
        assert (e.inside, e.members, e.everywhere, e.examples) == ((MEMBERS & has).sum(), 10, has.sum(), N)
    values, classes = ([e for e in found if (e.column == "class") == of] for of in (False, True))
    assert found[0].column == "planted"
    assert found[0].inside == 7
    assert found[0].p < 1e-3
    for family in (values, classes):
        ps = [e.p for e in family]
        assert ps == sorted(ps)
        running = 0.0
        for rank, e in enumerate(family):
            running = max(running, min(1.0, ps[rank] * (len(ps) - rank)))
            assert e.p_adjusted == pytest.approx(running)


def test_without_classes_it_is_fishers_test() -> None:
    place = np.array(["sea", "land"])[(np.arange(N) // 4) % 2]
    found = enrichments(MEMBERS, None, (), {"planted": PLANTED, "place": place})
    assert len(found) == 3
    for e in found:
        has = PLANTED if e.column == "planted" else place == e.value
        assert e.p == pytest.approx(stats.fisher_exact(table(MEMBERS, has), alternative="greater").pvalue)


def test_a_column_that_only_follows_the_class_is_not_found() -> None:
    """A flag of 90 % of the ants and 10 % of the others, and members who are random ants: it was named every time."""
    rng = np.random.default_rng(3)
    ants = np.flatnonzero(LABELS == 0)
    flag = rng.random(N) < np.where(LABELS == 0, 0.9, 0.1)
    alarms = 0
    for _ in range(200):
        members = np.zeros(N, dtype=bool)
        members[rng.permutation(ants)[:20]] = True
        found = enrichments(members, LABELS, CLASSES, {"flag": flag})
        alarms += any(e.column == "flag" and e.p_adjusted <= 0.05 for e in found)
    assert alarms <= 20
    members = LABELS == 0
    members[ants[20:]] = False
    real = flag & ~members
    assert enrichments(real & (LABELS == 0) | members, LABELS, CLASSES, {"flag": flag})[0].column == "class"


def test_whole_numbers_may_be_codes_or_quantities() -> None:
    """A hospital numbered 7 of 25 is named by its number, a large age by its quarter, also where one is unknown."""
    rng = np.random.default_rng(4)
    hospital, age = rng.integers(0, 25, N), rng.integers(20, 90, N)
    of_seven = (hospital == 7) | (np.arange(N) < 4)
    for column in (hospital, np.where(np.arange(N) == 150, np.nan, hospital)):
        found = enrichments(of_seven, LABELS, CLASSES, {"hospital": column})
        assert (found[0].column, found[0].value, found[0].interval) == ("hospital", "7", False)
    found = enrichments(age > 75, LABELS, CLASSES, {"age": age})
    assert found[0].interval
    assert found[0].value.startswith("> ")


def test_values_that_could_not_be_found_do_not_cost_correction() -> None:
    """A name held by one member of 10 in 200 has p = 0.05: it was tested 200 times over, and the flag paid for it."""
    names = np.array([f"image {n}" for n in range(N)])
    for members in (MEMBERS, MEMBERS | (np.arange(N) == 2)):
        alone = enrichments(members, None, (), {"planted": PLANTED})
        assert len(alone) == 1
        assert enrichments(members, None, (), {"planted": PLANTED, "file": names}) == alone
        numbered = enrichments(members, None, (), {"number": np.arange(N)})
        assert all(e.interval for e in numbered), "a number that nobody shares is a quantity alone"
    flag = np.isin(np.arange(N), [0, 4, 30, 40, 50, 60, 70, 80])
    (alone,) = enrichments(MEMBERS, None, (), {"flag": flag})
    assert 0.01 < alone.p_adjusted < 0.1
    assert alone in enrichments(MEMBERS, None, (), {"flag": flag, "file": names})


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
