"""Every row of a design is a pure function of (seed, row); the same masks as ever; bad settings name their key."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.designs import (
    DESIGNS,
    Bernoulli,
    ComplementPairs,
    Design,
    Everything,
    FixedSize,
    GroupedSize,
    LeaveOneOut,
    Listed,
    Repeated,
    Without,
)
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import digest, generator, plain, restore
from modeldiff_core.subsets import SubsetSampler

UNITS = 23
ALL: dict[str, Design] = {
    "bernoulli": Bernoulli(UNITS, 0.3, 5),
    "complement_pairs": ComplementPairs(UNITS, 5),
    "everything": Everything(UNITS),
    "fixed_size": FixedSize(UNITS, 0.4, 5),
    "leave_one_out": LeaveOneOut(UNITS),
    "grouped_size": GroupedSize(UNITS, 0.4, 5, groups=tuple(unit // 2 for unit in range(UNITS))),
    "listed": Listed(UNITS, tuple(tuple(range(i, UNITS, 3)) for i in range(60))),
    "repeated": Repeated(Bernoulli(UNITS, 0.3, 5), 3),
    "without": Without(FixedSize(UNITS, 0.4, 5), (1, 4, 22)),
}
SEEDED: dict[str, Callable[[int], Design]] = {
    "bernoulli": lambda seed: Bernoulli(UNITS, 0.3, seed),
    "complement_pairs": lambda seed: ComplementPairs(UNITS, seed),
    "fixed_size": lambda seed: FixedSize(UNITS, 0.4, seed),
    "repeated": lambda seed: Repeated(FixedSize(UNITS, 0.4, seed), 2),
    "without": lambda seed: Without(FixedSize(UNITS, 0.4, seed), (1,)),
}


def test_every_registered_design_is_tested_here() -> None:
    assert set(ALL) == set(DESIGNS.names())
    assert all(design.kind == kind and type(design) is DESIGNS.get(kind) for kind, design in ALL.items())


@pytest.mark.parametrize("kind", ALL)
@given(numbers=st.lists(st.integers(0, 59), min_size=1, max_size=8))
def test_a_row_is_the_same_whatever_else_is_asked_for(kind: str, numbers: list[int]) -> None:
    design = ALL[kind]
    found, alone = design.masks(numbers), [design.masks([number])[0] for number in numbers]
    assert found.dtype == bool
    np.testing.assert_array_equal(found, np.stack(alone))
    np.testing.assert_array_equal(found, design.masks(range(60))[numbers])
    np.testing.assert_array_equal(found, design.masks(np.array(numbers)))
    np.testing.assert_array_equal(design.weights(numbers), found.astype(np.float32))
    assert len(design.seeds(numbers)) == len(design.costs(numbers)) == len(numbers)
    assert design.units == UNITS


@pytest.mark.parametrize("kind", SEEDED)
def test_another_seed_gives_other_rows(kind: str) -> None:
    one, other = (SEEDED[kind](seed).masks(range(20)) for seed in (0, 1))
    assert one.any()
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("kind", ALL)
def test_a_design_travels_as_plain_json(kind: str) -> None:
    back = restore(Design, json.loads(json.dumps(plain(ALL[kind]))))
    assert back == ALL[kind]
    assert digest(back) == digest(ALL[kind])


@pytest.mark.parametrize(("units", "fraction", "seed"), [(23, 0.4, 5), (200, 0.5, 0), (61, 0.75, 1_000_003)])
def test_fixed_sizes_are_the_subsets_of_every_study_there_was(units: int, fraction: float, seed: int) -> None:
    found = FixedSize(units, fraction, seed).masks(range(30))
    np.testing.assert_array_equal(found, SubsetSampler(units, fraction, seed).masks(range(30)))
    assert set(found.sum(axis=1)) == {round(fraction * units)}
    expected = generator("mask", seed, 7).permutation(units)[: round(fraction * units)]
    np.testing.assert_array_equal(np.flatnonzero(found[7]), np.sort(expected))


def test_without_some_units_the_next_of_the_random_order_take_their_place() -> None:
    whole, removed = FixedSize(UNITS, 0.4, 5), (1, 4, 22)
    found, before = Without(whole, removed).masks(range(40)), whole.masks(range(40))
    assert before[:, removed].any()
    assert not found[:, removed].any()
    assert set(found.sum(axis=1)) == {9}
    for number in range(40):
        kept = [unit for unit in generator("mask", 5, number).permutation(UNITS) if unit not in removed]
        np.testing.assert_array_equal(np.flatnonzero(found[number]), np.sort(kept[:9]))
        stays = before[number].copy()
        stays[list(removed)] = False
        assert found[number][stays].all(), "what was in and is not removed stays in"
    np.testing.assert_array_equal(Without(whole, ()).masks(range(40)), before)


@pytest.mark.parametrize("units", [22, 23])
def test_pairs_are_complements(units: int) -> None:
    masks = ComplementPairs(units, 3).masks(range(20))
    np.testing.assert_array_equal(masks[0::2], ~masks[1::2])
    assert set(masks[0::2].sum(axis=1)) == {units // 2}
    assert len({mask.tobytes() for mask in masks[0::2]}) == 10


def test_units_are_kept_independently_with_their_probability() -> None:
    masks = Bernoulli(50, 0.3, 0).masks(range(2000))
    assert abs(masks.mean() - 0.3) < 0.01
    assert len(set(masks.sum(axis=1))) > 10, "sizes differ"
    together = (masks[:, 0] & masks[:, 1]).mean()
    assert abs(together - 0.09) < 0.02


def test_a_repeated_row_has_one_mask_and_several_seeds() -> None:
    base = FixedSize(UNITS, 0.4, 5)
    design = Repeated(base, 3)
    np.testing.assert_array_equal(design.masks(range(9)), np.repeat(base.masks(range(3)), 3, axis=0))
    assert design.seeds(range(7)) == [0, 1, 2, 0, 1, 2, 0]
    assert base.seeds(range(7)) == [0] * 7


def test_everything_and_listed_rows() -> None:
    assert Everything(4).masks(range(3)).all()
    np.testing.assert_array_equal(Listed(4, ((0, 2), (), (3,))).masks([2, 0]), [[0, 0, 0, 1], [1, 0, 1, 0]])


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: Bernoulli(5, 0.0, 0), "design.keep"),
        (lambda: Bernoulli(5, 1.0, 0), "design.keep"),
        (lambda: Repeated(Everything(5), 0), "design.times"),
        (lambda: Listed(5, ((0,), (5,))), "design.rows.1"),
        (lambda: Listed(5, ((0,),)).masks([1]), "design.rows"),
        (lambda: FixedSize(5, 1.5, 0), "subsets.fraction"),
        (lambda: FixedSize(5, 0.01, 0), "subsets.fraction"),
    ],
)
def test_what_is_no_design_is_refused(build: Callable[[], object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build()
    assert caught.value.key == key
