"""A comparison that starts from margins or attributions gives what the whole path gives from there on."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core.comparison import residual_pca
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.adopt import adopt
from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.experiments.adopted.export import export
from modeldiff_core.plan import RunFailed
from modeldiff_core.responses import SubsetModels
from modeldiff_core.stages.contrast import NullSettings, read_null
from modeldiff_core.stages.directions import NullBlock, find_directions, models_needed, null_block
from modeldiff_core.stages.matrix import gather
from modeldiff_core.stages.regress import BlockSpec, finish_regression, regress_block
from modeldiff_core.stages.score import score_datamodels
from modeldiff_core.stages.shards import ShardSpec, make_shard
from modeldiff_core.stages.trainings import TrainingSpec, write_training
from modeldiff_core.store import ObjectStore, read_tensors
from modeldiff_core.study.adopted import Adoption, Export
from tests.modeldiff_core.comparison.test_differences import study
from tests.modeldiff_core.experiments.adopted import running
from tests.modeldiff_core.experiments.compare.summaries import misfits
from tests.modeldiff_core.stages.studies import EXECUTION, local, tiny

MODELS, TRAIN, TARGETS = 400, 40, 24
SETTINGS: dict[str, Any] = {
    "name": "planted",
    "evaluation_models": 40,
    "regression": {"n_lambdas": 5, "block_size": 10},
    "comparison": {"components": 2, "permutations": 30, "top": 4},
}


def planted() -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], np.ndarray, dict[str, np.ndarray]]:
    """Masks and margins of A and of B, the direction that A's datamodels have and B's have not, and both datamodels."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(TARGETS, TRAIN))
    direction = rng.normal(size=TRAIN)
    direction /= np.linalg.norm(direction)
    theta = {"a": common + 4 * np.outer(rng.normal(size=TARGETS), direction), "b": common}
    made = {}
    for side in ("a", "b"):
        masks = rng.random((MODELS, TRAIN)) < 0.5
        noise = rng.normal(size=(MODELS, TARGETS))
        made[side] = masks, (masks @ theta[side].T + noise).astype(np.float32)
    return made, direction, {side: value.astype(np.float32) for side, value in theta.items()}


def adopted(store: ObjectStore, at: Path, models: int = MODELS) -> dict[str, str]:
    keys = {}
    for side, (masks, margins) in planted()[0].items():
        np.save(at / "masks.npy", masks[:models] if side == "b" else masks)
        np.save(at / "margins.npy", margins[:models] if side == "b" else margins)
        asked = Adoption(name=f"made by {side}", masks=str(at / "masks.npy"), margins=str(at / "margins.npy"))
        keys[side] = adopt(store, asked).key
    return keys


def test_too_few_models_to_explain_anything_are_named_and_how_many_it_takes(tmp_path: Path) -> None:
    store, rng = local(tmp_path / "store"), np.random.default_rng(0)
    keys = {}
    for side in ("a", "b"):
        np.save(tmp_path / "masks.npy", rng.random((80, TRAIN)) < 0.5)
        np.save(tmp_path / "margins.npy", rng.normal(size=(80, TARGETS)).astype(np.float32))
        asked = Adoption(name=side, masks=str(tmp_path / "masks.npy"), margins=str(tmp_path / "margins.npy"))
        keys[side] = adopt(store, asked).key
    settings = {**SETTINGS, "comparison": {**SETTINGS["comparison"], "components": 20}}
    with pytest.raises(
        RunFailed, match=r"subsets\.models: expected enough models .* got 40\. With so many in the fit"
    ) as caught:
        running.compared(store, {**settings, **keys})
    needed = 2 * np.log(TRAIN) / 0.1**2
    assert f"{np.ceil(needed):,.0f} where it is 0.1" in str(caught.value)


@pytest.mark.parametrize(("units", "correlation"), [(200, 0.3), (1000, 0.1)])
def test_an_example_stands_out_from_so_many_models_on(units: int, correlation: float) -> None:
    models = models_needed(units, correlation)
    rng = np.random.default_rng(1)

    def largest_by_chance(count: int) -> float:
        masks = rng.normal(size=(count, units))
        margin = rng.normal(size=count)
        return float(np.abs(masks.T @ margin).max() / np.sqrt((masks**2).sum(0).mean() * (margin**2).sum()))

    assert np.mean([largest_by_chance(models) for _ in range(20)]) == pytest.approx(correlation, rel=0.15)
    assert np.mean([largest_by_chance(models // 4) for _ in range(20)]) > 1.6 * correlation


def adopted_scores(store: ObjectStore, at: Path) -> dict[str, str]:
    keys = {}
    for side, theta in planted()[2].items():
        np.save(at / "scores.npy", theta)
        asked = Adoption(name=side, scores=str(at / "scores.npy"), orientation="targets_train")
        keys[side] = adopt(store, asked).key
    return keys


def compared(
    store: ObjectStore, drawn: bool = False, **asked: Any
) -> tuple[AdoptedComparison, dict[str, Any], list[str]]:
    return running.compared(store, {**SETTINGS, **asked}, drawn)


def test_adopted_margins_are_compared_to_the_end(tmp_path: Path) -> None:
    store = local(tmp_path / "store")
    keys = adopted(store, tmp_path)
    comparison, summary, taken = compared(store, drawn=True, **keys)
    _, direction, _ = planted()
    arrays = read_tensors(store, comparison.directions.record).arrays
    assert abs(arrays["a-b.directions"][0] @ direction) > 0.9
    assert misfits(summary) == []
    first, *rest = summary["directions"]
    assert first["significant"]
    assert first["explained_variance"]["a"] > 4 * first["explained_variance"]["b"]
    assert first["null_p"] == 1 / (1 + 30 * 2 * 2)
    assert [(d["side"], d["index"]) for d in summary["directions"]] == [("a-b", 0), ("a-b", 1), ("b-a", 0), ("b-a", 1)]
    assert all(0 < d["null_p"] <= 1 for d in rest)
    assert all(0.5 < summary["lds"][side]["mean"] < 1 for side in ("a", "b"))
    assert summary["algorithms"]["b"]["name"] == "made by b"
    assert summary["algorithms"]["b"]["source"] == keys["b"]
    assert summary["algorithms"]["a"]["models"] == MODELS
    assert summary["transformations"] == []
    assert "1 of 2 directions matter more to made by a than to made by b" in summary["findings"][0]
    assert summary["findings"][1].startswith("No transformation was tried")
    lines = list(csv.DictReader(io.StringIO(store.read(f"{comparison.folder}/directions.csv").decode())))
    assert [line["null_p"] for line in lines] == [str(d["null_p"]) for d in summary["directions"]]
    assert any("datamodels of targets 0-10" in name for name in taken)
    assert taken[-2:] == ["summary of planted", "report of planted"]
    again, same, taken = compared(store, drawn=True, **keys)
    assert (again.summary, same, taken) == (comparison.summary, summary, [])
    more, _, taken = compared(store, **keys, comparison={**SETTINGS["comparison"], "permutations": 32})
    assert taken == ["planted null block 15", "summary of planted", "report of planted"]
    assert more.folder != comparison.folder


def test_a_contrast_of_adopted_margins_names_no_example_that_all_models_have_or_none(tmp_path: Path) -> None:
    store, keys = local(tmp_path / "store"), {}
    for side, (masks, margins) in planted()[0].items():
        always = masks.copy()
        always[:, 0], always[:, 1] = True, False
        np.save(tmp_path / "masks.npy", always)
        np.save(tmp_path / "margins.npy", margins)
        asked = Adoption(name=side, masks=str(tmp_path / "masks.npy"), margins=str(tmp_path / "margins.npy"))
        keys[side] = adopt(store, asked).key
    settings = {"method": "contrast", "components": 2, "draws": 19, "top": TRAIN}
    comparison, summary = running.summarized(store, {**SETTINGS, **keys, "comparison": settings})
    assert misfits(summary) == []
    first = summary["directions"][0]
    assert first["significant"]
    assert first["side"] == "a-b"
    arrays = read_tensors(store, comparison.directions.record).arrays
    assert abs(arrays["a-b.directions"][0] @ planted()[1]) > 0.8
    for entry in summary["directions"]:
        assert sorted(entry["top_train"]) == list(range(2, TRAIN))
    assert len(summary["differences"]) == 1
    assert summary["findings"][0].startswith("a relies")


def test_each_of_several_differences_has_draws_of_its_own(tmp_path: Path) -> None:
    sample, _, _ = study(2)
    store, keys = local(tmp_path / "store"), {}
    for side, margins in (("a", sample.a), ("b", sample.b)):
        np.save(tmp_path / "masks.npy", sample.masks[0])
        np.save(tmp_path / "margins.npy", margins)
        asked = Adoption(name=side, masks=str(tmp_path / "masks.npy"), margins=str(tmp_path / "margins.npy"))
        keys[side] = adopt(store, asked).key
    settings = {"method": "contrast", "components": 4, "draws": 39, "top": 4}
    comparison, summary = running.summarized(store, {**SETTINGS, **keys, "comparison": settings})
    assert misfits(summary) == []
    assert [one["significant"] for one in summary["directions"]] == [True, True, False, False]
    assert [one["null_p"] for one in summary["directions"]] == [1 / 40, 1 / 40, 1, 1]
    assert len(summary["differences"]) == 2
    draws = NullSettings(39, 0.05, one_by_one=False)
    tested = read_null(store, comparison.regressed, draws)
    assert (tested.complete, [len(own) for own in tested.draws]) == (True, [39, 39])
    assert tested.values[1] > 1.5 * tested.draws[1].max()
    assert list(draws.ranks(comparison.regressed)) == [0]


def test_ready_attributions_are_compared_but_never_tested(tmp_path: Path) -> None:
    store = local(tmp_path / "store")
    comparison, summary, taken = compared(store, **adopted_scores(store, tmp_path))
    assert misfits(summary) == []
    _, _, theta = planted()
    assert len(taken) == 3, "directions, summary and report"
    assert "directions" in taken[0]
    for side, first, second in (("a-b", "a", "b"), ("b-a", "b", "a")):
        expected = residual_pca(theta[first], theta[second], 2, normalize=False)
        entries = [d for d in summary["directions"] if d["side"] == side]
        assert expected.explained_variance_a[0] > 0.01
        for i, entry in enumerate(entries):
            assert entry["explained_variance_in_sample"] == {
                first: float(expected.explained_variance_a[i]),
                second: float(expected.explained_variance_b[i]),
            }
            order = np.argsort(-expected.projections[:, i])
            assert entry["top_targets"] == order[:4].tolist()
    for entry in summary["directions"]:
        assert entry["explained_variance"] == {"a": None, "b": None}
        assert (entry["null_p"], entry["significant"], entry["stability"]) == (1.0, False, None)
    assert "were not tested against chance" in summary["findings"][0]
    assert summary["lds"] == {"a": None, "b": None}
    lines = list(csv.DictReader(io.StringIO(store.read(f"{comparison.folder}/directions.csv").decode())))
    assert [line["variance_a"] for line in lines] == [""] * 4


def test_exported_and_adopted_margins_give_the_numbers_of_the_study(tmp_path: Path) -> None:
    store, there = local(tmp_path / "store"), local(tmp_path / "there")
    small = {"regression": {"n_lambdas": 2, "block_size": 10}, "comparison": {"components": 2, "permutations": 2}}
    study = tiny(**small, targets=15)
    keys = {}
    for training in study.trainings:
        for index in range(3):
            make_shard(store, ShardSpec(SubsetModels(training), index), EXECUTION)
    for side, training in zip("ab", study.trainings, strict=True):
        write_training(store, TrainingSpec(training))
        gather(store, study.matrix(training))
        key = study.matrix(training).reference.key
        export(store, Export(key=key, to=str(tmp_path / side)))
        keys[side] = adopt(there, Adoption(name=side, folder=str(tmp_path / side))).key
    for regression in study.regressions().values():
        for block in regression.blocks:
            regress_block(store, BlockSpec(regression, *block))
        finish_regression(store, regression)
    find_directions(store, study.pair)
    null_block(store, NullBlock(study.pair, 0))
    asked = {"evaluation_models": 10, **small}
    comparison, summary, _ = compared(there, **keys, **asked)
    expected = read_tensors(store, study.pair.directions.record).arrays
    found = read_tensors(there, comparison.directions.record).arrays
    assert expected["a-b.variance_a"].min() > 0
    assert expected.keys() == found.keys()
    assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)
    draws = [
        read_tensors(s, p.null_block(0).record).arrays["differences"]
        for s, p in ((store, study.pair), (there, comparison.pair))
    ]
    assert draws[0].tobytes() == draws[1].tobytes()
    scored = score_datamodels(store, study.pair.b[0])["lds"]
    assert summary["lds"]["b"] == {name: scored[name] for name in ("mean", "ci_low", "ci_high", "corrected")}
    direct, same, _ = compared(store, a=study.pair.a[0].matrix.key, b=study.pair.b[0].matrix.key, **asked)
    assert direct.pair.directions == study.pair.directions, "a trained matrix needs no adoption"
    assert same["directions"] == summary["directions"]


def test_sides_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    store = local(tmp_path / "store")
    keys, scores = adopted(store, tmp_path), adopted_scores(store, tmp_path)
    np.save(tmp_path / "scores.npy", np.ones((TARGETS, TRAIN + 1)))
    asked = Adoption(name="wide", scores=str(tmp_path / "scores.npy"), orientation="targets_train")
    wide = adopt(store, asked).key
    for sides, words in (
        ({"a": keys["a"], "b": scores["b"]}, "b: expected margins, as a is"),
        ({"a": scores["a"], "b": wide}, "b: expected 24 targets and 40 training examples, as a has"),
        ({**keys, "evaluation_models": 381}, "evaluation_models: expected at most 380"),
        ({**scores, "comparison": {"components": 24}}, "comparison.components: expected at most 23"),
        ({**keys, "dataset": {"kind": "digits", "n_train": 100, "n_test": 40}}, "100 training examples"),
        ({**keys, "b": "trainings/none/margins-00000000"}, "b: expected margins or datamodels that are complete"),
    ):
        with pytest.raises(ConfigError) as caught:
            compared(store, **sides)
        assert words in str(caught.value)
    fewer = adopted(store, tmp_path, models=300)
    with pytest.raises(ConfigError, match="b: expected 400 models, as a has, got 300") as caught:
        compared(store, **fewer)
    assert "adopt equally many of both, such as the first 300 rows of the masks and margins of" in str(caught.value)


@pytest.mark.parametrize("method", ["pca", "crossfit"])
def test_directions_without_permutations_are_not_tested(tmp_path: Path, method: str) -> None:
    store = local(tmp_path / "store")
    asked = {"comparison": {"components": 2, "permutations": 0, "method": method}, "regression": {"n_lambdas": 2}}
    _, summary, taken = compared(store, **adopted(store, tmp_path), **asked)
    assert not any("null" in name for name in taken)
    assert [d["null_p"] for d in summary["directions"]] == [1.0] * 4
    assert "not tested against chance" in summary["findings"][0]
    assert all(0 <= d["overlap"] <= 1 and d["models_needed"] is None for d in summary["directions"])
    assert summary["excluded_targets"] == []
