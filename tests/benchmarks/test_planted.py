"""A slice of benchmarks/planted.py: two plants that are found, two null studies in which nothing is, and its rule."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.planted import battery, judged, leading, missed, study, table
from benchmarks.planted_contrast import Contrasted, contrasted, side_by_side
from benchmarks.planted_kinds import DATASETS, KINDS, Planting, Sample, sample
from benchmarks.planted_oracle import oracle_areas, oracle_direction
from benchmarks.planted_search import EFFECTS, ENSEMBLE, Ensembles, found_cue
from benchmarks.planted_trainings import beside
from benchmarks.planted_ways import Margins, Outcome
from modeldiff_core.data import Watermark
from modeldiff_core.transformations import TransformationTest, judge, read
from modeldiff_core.transformations.search import measure_tests
from tests.modeldiff_core.comparison.planted_margins import planted

WAYS = ["ridge-pca"]


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["patch", "tint"])
def test_plants_are_found(kind: str) -> None:
    record = study({"data": "digits", "kind": kind, "seed": 0, "null": None}, WAYS, 500)
    assert record["accuracy"]["a"] > 0.8
    own = record["ways"]["ridge-pca"]
    assert own["found"]
    (cue,) = own["search"]["cues"]
    assert cue["own"] > 0.01, "A reacts to the cue"
    assert own["search"]["found"]
    assert {one["name"] for one in own["search"]["tested"]} >= set(cue["by"]) > set()


@pytest.mark.nightly
@pytest.mark.parametrize("design", ["paired", "independent"])
def test_nothing_is_found_in_nothing(design: str) -> None:
    record = study({"data": "digits", "kind": "patch", "seed": 1000, "null": design}, WAYS, 300)
    assert record["accuracy"]["a"] != record["accuracy"]["b"], "other models"
    assert record["ways"]["ridge-pca"]["significant"] == [0, 0]
    assert record["ways"]["ridge-pca"]["noise"] > 0
    assert "search" not in record["ways"]["ridge-pca"]


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
        trained = truth.trained[truth.trained_among]
        assert 0 < trained.sum() < len(trained), "of its training examples too"


def made_up() -> tuple[Outcome, Sample]:
    """Three directions, of which the second tells the carriers of the only cue apart."""
    base = sample("digits", "patch", 0)
    targets = len(base.test)
    carries = np.arange(targets) % 2 == 0
    truth = replace(base.truths[0], carries=carries, among=np.arange(targets) < 40)
    projections = np.random.default_rng(0).normal(size=(targets, 3))
    projections[:, 1] = -5.0 * carries
    p = np.array([[0.01, 0.01, 0.5], [0.9, 0.9, 0.9]])
    directions = np.eye(3, len(base.train_a))
    return Outcome(1 - p, p, p, p, directions, projections, 0.01, 1.0), replace(base, truths=(truth,))


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


class Reacts:
    """Models whose logit of a class rises with the mean of a corner of the image, times `slope`."""

    def __init__(self, slope: float, seed: int) -> None:
        self.slopes = slope * np.random.default_rng(seed).normal(1, 0.05, ENSEMBLE)

    def logits(self, images: np.ndarray) -> np.ndarray:
        out = np.zeros((ENSEMBLE, len(images), 10), np.float32)
        out[:, :, 3] = self.slopes[:, None] * images[:, :2, :2, 0].mean((1, 2)) / 255
        return out

    def weights(self) -> dict[str, np.ndarray]:
        return {}


def test_the_rule_of_the_search() -> None:
    base = sample("digits", "patch", 0)
    truth = replace(base.truths[0], planting=Planting(Watermark(0, 0, 2, 2), ((3, 0.5),)))
    made = replace(base, truths=(truth,))

    def by(*tests: TransformationTest, b: float = 0.0) -> list[str]:
        of = Ensembles(Reacts(4.0, 0), Reacts(b, 1))
        measured = []
        for test in tests:
            a_changes, b_changes = (measure_tests(m, made.test, [test], EFFECTS)[0] for m in (of.a, of.b))
            measured.append(read(test, a_changes, b_changes, EFFECTS, "independent"))
        cue = found_cue(of, made, truth.planting, judge(measured, EFFECTS))
        assert cue["class"] == 3
        if not b:
            assert cue["own"] > 0.05
        names: list[str] = cue["by"]
        return names

    def patch(name: str, value: int, target_class: int = 3) -> TransformationTest:
        block = {"top": 0, "left": 0, "height": 2, "width": 2, "value": value}
        return TransformationTest(name, "patch", target_class, parameters=block)

    whole, weak, other = patch("whole", 128), patch("weak", 30), patch("other", 128, 5)
    assert by(whole, weak, other) == ["whole"], "a weak one does too little, and one of another class is another"
    assert by(TransformationTest("shift", "translate", 3, parameters={"columns": 2})) == []
    assert by(whole, b=4.0) == [], "nothing is confirmed where A and B do not differ"


def test_the_table_counts() -> None:
    tested, made = made_up()
    specs = [*battery([], ["digits"], 1, 6)]
    assert len(specs) == len(KINDS) + 12
    cue = {"class": 0, "own": 0.3, "most": 0.2, "by": []}
    searches = [{"found": spec["kind"] != "patch", "cues": [cue]} for spec in specs]
    records = [
        {**spec, "ways": {"way": {**judged(tested, made), "search": search}}}
        for spec, search in zip(specs, searches, strict=True)
    ]
    text = table(records, ["way"])
    assert f"| **found (goal 90 %, search 70 %)** | {len(KINDS)}/{len(KINDS)} | {len(KINDS) - 1}/{len(KINDS)} |" in text
    assert "null studies, paired: false alarms (goal 5 %) | 6/6" in text
    (line,) = missed(records, "way").splitlines()
    assert line.startswith("- patch, digits, seed 0: 2 significant, AUC of the first 1.00")
    assert "0.20 of +0.30 (missed)" in line


def test_a_battery_cut_off_is_balanced() -> None:
    specs = battery([], ["digits", "fashion"], 2, 10)
    assert len(specs) == 4 * len(KINDS) + 40
    first = specs[: len(specs) // 2]
    assert sum(spec["null"] is None for spec in first) == pytest.approx(2 * len(KINDS), abs=1)
    assert {spec["seed"] for spec in first if spec["null"] is None} == {0}
    assert {(s["data"], s["kind"]) for s in first if s["null"] is None} == {(d, k) for d in DATASETS for k in KINDS}


def test_a_told_direction_sets_carriers_of_the_class_against_the_rest_of_it() -> None:
    truth = sample("digits", "confounded background", 0).truths[0]
    direction = oracle_direction(truth)
    carry, among = truth.trained, truth.trained_among
    assert (carry & ~among).any(), "images of other classes carry it too"
    assert not direction[~among].any()
    np.testing.assert_allclose((direction[carry & among].sum(), direction[~carry & among].sum()), (1, -1))
    (area,) = oracle_areas("digits", "patch", 0, 100, None)
    assert area >= 0.9, "a patch in the corner is easily told"


def of_a_contrast(tested: Outcome, *sides: bool) -> Contrasted:
    return Contrasted(
        eigenvalues=tested.difference[0],
        p=tested.p[0],
        p_adjusted=tested.p_adjusted[0],
        of_a=np.array(sides),
        directions=tested.directions,
        projections=tested.projections,
        differences=1,
        slopes=(np.ones(len(tested.projections)), np.full(len(tested.projections), 2.0)),
    )


def test_a_contrast_finds_on_either_side() -> None:
    tested, made = made_up()
    b_has_it = of_a_contrast(tested, True, False, True)
    assert leading(b_has_it) == [0, 1]
    found = judged(b_has_it, made)
    assert found["found"]
    assert not found["found_of_a"]
    assert found["significant"] == [1, 1]
    assert found["slopes"] == [{"raw": [1.0, 1.0], "standardized": [2.0, 2.0]}]
    assert judged(of_a_contrast(tested, False, True, True), made)["found_of_a"]


def test_what_a_contrast_loses_is_named() -> None:
    tested, made = made_up()
    weak = replace(tested, p_adjusted=np.ones_like(tested.p))
    search = {"found": False, "cues": []}
    (spec,) = battery(["patch"], ["digits"], 1, 0)
    ways = {"ridge-pca": judged(tested, made), "contrast": judged(of_a_contrast(weak, True, False, True), made)}
    text = side_by_side([{**spec, "ways": {way: {**own, "search": search} for way, own in ways.items()}}], "ridge-pca")
    assert "| found, of 1 | 0 | 1 | 0 | 0 |" in text
    assert "| by the search, of 1 | 0 | 0 | 0 | 1 |" in text
    assert "- patch, digits, seed 0: c_t 1.00 with the cue, 1.00 without" in text
    assert "best AUC 1.00 (number 2, side B)" in text
    assert "more cues" not in text


def test_trainings_and_regression_are_set_side_by_side() -> None:
    (spec,) = battery(["patch"], ["digits"], 1, 0, 40)
    hits, misses = ({"found": hit, "either": True} for hit in (True, False))
    trainings = [{**spec, "curve": {"8": misses, "16": hits}}, {**spec, "seed": 41, "curve": {"8": hits}}]
    text = beside(trainings, [{**spec, "ways": {"ridge-pca": {"found": True}}}])
    assert "| 8, side A−B | ridge-pca | 1 | 0 | 0 | 1 | 0 |" in text
    assert "| 8, either side | ridge-pca | 1 | 1 | 0 | 0 | 0 |" in text
    assert "| 16, side A−B | ridge-pca | 1 | 1 | 0 | 0 | 0 |" in text


def test_held_slopes_find_what_free_ones_find_where_a_plant_is_strong() -> None:
    made = planted(1, 1.0)
    a, b = (Margins(masks, own) for masks, own in zip(made.masks, made.margins, strict=True))
    free, held = (contrasted(a, b, components=2, most=19, free=free) for free in (True, False))
    assert free.p[0] == held.p[0] == 0.05
    assert abs(free.directions[0] @ held.directions[0]) > 0.9
    assert free.eigenvalues[0] != held.eigenvalues[0]


def test_margins_with_a_planted_direction_give_one_difference_and_none_give_none() -> None:
    for strength in (1.0, 0.0):
        made = planted(0, strength, in_b=True)
        a, b = (Margins(masks, own) for masks, own in zip(made.masks, made.margins, strict=True))
        found = contrasted(a, b, components=3, most=19)
        assert found.differences == 1
        if strength:
            assert found.p[0] == 0.05
            assert not found.of_a[0], "B has it"
            assert abs(found.directions[0] @ made.direction) > 0.9
        else:
            assert found.p_adjusted.min() > 0.05
