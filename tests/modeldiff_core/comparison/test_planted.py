"""A slice of benchmarks/planted.py: two plants that are found, two null studies in which nothing is, and its rule."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.planted import battery, judged, study, table
from benchmarks.planted_kinds import KINDS, Sample, Truth, sample
from benchmarks.planted_ways import Outcome

WAYS = ["ridge-pca"]


@pytest.mark.parametrize("kind", ["patch", "tint"])
def test_plants_are_found(kind: str) -> None:
    record = study({"data": "digits", "kind": kind, "seed": 0, "null": None}, WAYS, 500)
    assert record["accuracy"]["a"] > 0.8
    assert record["ways"]["ridge-pca"]["found"]


@pytest.mark.parametrize("design", ["paired", "independent"])
def test_nothing_is_found_in_nothing(design: str) -> None:
    record = study({"data": "digits", "kind": "patch", "seed": 1000, "null": design}, WAYS, 300)
    assert record["accuracy"]["a"] != record["accuracy"]["b"], "other models"
    assert record["ways"]["ridge-pca"]["significant"] == [0, 0]
    assert record["ways"]["ridge-pca"]["noise"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_and_b_differ_in_the_cue_alone(kind: str) -> None:
    made = sample("digits", kind, 0)
    changed = (made.train_a.images != made.train_b.images).any((1, 2, 3))
    carries = made.train_a.metadata["planted"]
    assert 0 < changed.sum() < len(changed)
    assert not changed[~carries].any()
    assert changed[carries].mean() > 0.95
    np.testing.assert_array_equal(made.train_a.labels, made.train_b.labels)
    for truth in made.truths:
        among = truth.carries[truth.among]
        assert 0 < among.sum() < len(among), "some of the class carry the cue and some do not"


def made_up() -> tuple[Outcome, Sample]:
    """Three directions, of which the second tells the carriers of the only cue apart."""
    base = sample("digits", "patch", 0)
    targets = len(base.test)
    carries = np.arange(targets) % 2 == 0
    truth = Truth(base.truths[0].planting, carries, np.arange(targets) < 40)
    projections = np.random.default_rng(0).normal(size=(targets, 3))
    projections[:, 1] = -5.0 * carries
    p = np.array([[0.01, 0.01, 0.5], [0.9, 0.9, 0.9]])
    return Outcome(1 - p, p, p, p, projections, 0.01, 1.0), replace(base, truths=(truth,))


def test_the_rule() -> None:
    tested, made = made_up()
    found = judged(tested, made)
    assert found["auc"][0][1] == 1.0, "either sign counts"
    assert max(found["auc"][0][0], found["auc"][0][2]) < 0.9
    assert found["found"]
    assert found["significant"] == [2, 0]
    chance = replace(tested, p_adjusted=np.array([[0.01, 0.2, 0.01], [0.9, 0.9, 0.9]]))
    assert not judged(chance, made)["found"], "a direction that is not significant finds nothing"
    both = replace(made, truths=(*made.truths, replace(made.truths[0], carries=~made.truths[0].carries)))
    assert judged(tested, both)["cues_found"] == 2
    lost = replace(made.truths[0], carries=np.random.default_rng(1).permutation(made.truths[0].carries))
    assert not judged(tested, replace(made, truths=(*made.truths, lost)))["found"], "two cues must both be found"
    assert not judged(tested, replace(made, truths=()))["found"], "a null study finds no plant"


def test_the_table_counts() -> None:
    tested, made = made_up()
    specs = [*battery([], ["digits"], 1, 6)]
    assert len(specs) == len(KINDS) + 12
    records = [{**spec, "ways": {"way": judged(tested, made)}} for spec in specs]
    text = table(records, ["way"])
    assert f"| **found (goal 90 %)** | {len(KINDS)}/{len(KINDS)} |" in text
    assert "null studies, paired: false alarms (goal 5 %) | 6/6" in text
