"""Grids of factors: every combination once a seed, its cost, and shards that cost nearly the same."""

import json
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.designs import Factor, Grid, balanced
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import digest, plain, restore

RATE = Factor("rate", (0.1, 0.01, 1.0), (1.0, 2.0, 4.0))
KIND = Factor("kind", ("small", "large"), (1.0, 5.0))
FLAG = Factor("flag", (True, False))
GRID = Grid((RATE, KIND, FLAG), seeds=2)


def test_every_combination_comes_once_a_seed_and_the_last_factor_varies_fastest() -> None:
    assert len(GRID) == 3 * 2 * 2 * 2
    cells = [(*GRID.cell(i).values(), GRID.seed(i)) for i in range(len(GRID))]
    assert cells == [(*cell, seed) for cell in product(RATE.levels, KIND.levels, FLAG.levels) for seed in (0, 1)]
    assert len(set(cells)) == len(GRID)
    assert list(GRID.cell(5)) == ["rate", "kind", "flag"]


def test_a_row_costs_the_product_of_its_levels() -> None:
    costs = GRID.costs(range(len(GRID)))
    for number, cost in enumerate(costs):
        cell = GRID.cell(number)
        rate, kind = RATE.levels.index(cell["rate"]), KIND.levels.index(cell["kind"])
        assert cost == RATE.cost[rate] * KIND.cost[kind]
    assert (min(costs), max(costs)) == (1.0, 20.0)
    assert GRID.costs([7, 0]) == [costs[7], costs[0]], "whatever else is asked for"


def test_a_grid_travels_as_plain_json() -> None:
    back = restore(Grid, json.loads(json.dumps(plain(GRID))))
    assert back == GRID
    assert digest(back) == digest(GRID)
    assert [type(level) for factor in back.factors for level in factor.levels] == [float] * 3 + [str] * 2 + [bool] * 2


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=40), st.integers(1, 8))
def test_shards_cost_at_most_four_thirds_of_the_best(costs: list[float], shards: int) -> None:
    dealt = balanced(costs, shards)
    assert sorted(row for shard in dealt for row in shard) == list(range(len(costs)))
    assert all(shard and shard == sorted(shard) for shard in dealt)
    assert len(dealt) == min(shards, len(costs))
    largest = max(sum(costs[row] for row in shard) for shard in dealt)
    ordered = sorted(costs, reverse=True)
    best_at_least = max(sum(costs) / shards, ordered[0])
    if len(costs) > shards:  # two of the shards + 1 largest rows share a shard
        best_at_least = max(best_at_least, ordered[shards - 1] + ordered[shards])
    assert largest <= 4 / 3 * best_at_least * (1 + 1e-9)


def test_one_row_of_twenty_times_the_cost_has_a_shard_to_itself() -> None:
    dealt = balanced([1.0] * 20 + [20.0], 2)
    assert [20] in dealt


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: Factor("rate", ()), "grid.rate"),
        (lambda: Factor("rate", (1.0, 1.0)), "grid.rate"),
        (lambda: Factor("rate", (1.0, 2.0), (1.0,)), "grid.rate.cost"),
        (lambda: Factor("rate", (1.0, 2.0), (1.0, 0.0)), "grid.rate.cost"),
        (lambda: Grid(()), "grid"),
        (lambda: Grid((RATE, RATE)), "grid"),
        (lambda: Grid((RATE,), seeds=0), "grid.seeds"),
    ],
)
def test_what_is_no_grid_is_refused(build: Callable[[], object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build()
    assert caught.value.key == key
