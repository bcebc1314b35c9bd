"""What the scripts on a handful of trainings compute, and how they tell it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import matrix_free_costs, planted_trainings, training_nulls
from benchmarks.handful import Two, trajectory_of
from benchmarks.planted_kinds import Sample
from modeldiff_core.metagradients import forward_products
from modeldiff_core.stages.regress import SECONDS
from modeldiff_core.training import Task
from tests.modeldiff_core.metagradients.cases import CLASSES, MLP, TARGETS, TRAIN, examples


@pytest.fixture(scope="module")
def two() -> Two:
    recipe = replace(MLP, epochs=2)
    a, b = (Task(recipe, 5, examples(TRAIN, seed), examples(TARGETS, 2), CLASSES) for seed in (0, 1))
    return Two((a, b), probes=2)


def test_trainings_that_are_compared_do_not_choose_the_basis_where_directions_are_tested(two: Two) -> None:
    assert (list(two.choosing(5)), list(two.compared(5))) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert (list(two.choosing(6)), list(two.compared(6))) == ([0, 1], [2, 3, 4, 5, 6, 7])
    basis = two.basis(6)
    assert set(basis.kept) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    np.testing.assert_allclose(basis.vectors @ basis.vectors.T, np.eye(4), atol=1e-5)
    found = two.products(basis, 6)
    assert found.shape == (2, 6, TARGETS, 4)
    assert found.any((2, 3)).all()


def test_kept_trainings_give_the_products_of_fresh_ones(two: Two, tmp_path: Path) -> None:
    vectors, pooled, first = planted_trainings.kept_products(two, 6, tmp_path)
    (tmp_path / "1-7.npz").unlink()
    again, _, products = planted_trainings.kept_products(two, 6, tmp_path)
    assert pooled.shape == (4, TRAIN)
    np.testing.assert_array_equal(vectors, again)
    np.testing.assert_array_equal(first, products)
    direct = forward_products(trajectory_of(two.tasks[1], 7), torch.from_numpy(vectors)).T.numpy()
    np.testing.assert_array_equal(products[1, 5], direct)


def test_nothing_is_found_among_no_truths_with_the_same_products_on_both_sides() -> None:
    draws = np.random.default_rng(0)
    shared = draws.standard_normal((TARGETS, 4))
    a, b = shared + 0.1 * draws.standard_normal((2, 8, TARGETS, 4))
    empty = examples(TARGETS, 0)
    result, leading = planted_trainings.judged(a, b, Sample(empty, empty, empty, ()), normalize=False)
    assert not leading
    assert min(result["p"]["a-b"] + result["p"]["b-a"]) > planted_trainings.LEVEL


def test_a_battery_has_every_kind_of_a_seed_before_the_next_seed() -> None:
    made = planted_trainings.battery(["digits", "fashion"], range(40, 42), 8, 16)
    assert len(made) == 2 * 2 * len(planted_trainings.KINDS)
    assert [one["seed"] for one in made] == sorted(one["seed"] for one in made)


def test_the_cost_of_a_comparison_is_that_of_its_parts() -> None:
    one = {"case": "fashion 10,000", "train": 10_000, "targets": 1000, "steps": 10, "models": 30_000}
    one |= {
        "unit": 0.1,
        "training": 1.0,
        "reverse": 3.0,
        "forward": 5.0,
        "short": (1.5, 2.5),
        "directions": 2.0,
        "held": 2**30,
        "formula": 2**30,
    }
    found = matrix_free_costs.totals(one)
    assert found["comparison"] == 20 * 1 + 4 * 3 + 16 * 5 + 2
    assert found["preview"] == pytest.approx((4 * 1 + 2 * 3 + 2 * 5) / 0.1)
    assert found["short preview"] == pytest.approx((4 * 1 + 2 * 4) / 0.1)
    assert found["regression"] == pytest.approx(6000 + 2 * SECONDS * 1000 * 1e8)
    assert "| fashion 10,000 | 10 | 100.0 | 10 |" in matrix_free_costs.table([one])


def test_the_table_of_null_studies_counts_alarms(tmp_path: Path) -> None:
    out = tmp_path / "nulls.jsonl"
    record = {"row": "digits", "of sides": {}, "common": [0.8, 0.8], "seconds": 1.0}
    with out.open("w") as file:
        for number, p in enumerate((0.0078, 0.05, 0.0546, 0.9)):
            file.write(json.dumps({**record, "study": number, "p": p}) + "\n")
    assert "| digits | 4 | 2 |" in training_nulls.table(out)
