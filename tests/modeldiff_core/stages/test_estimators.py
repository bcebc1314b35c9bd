"""Estimators side by side: fitted in blocks of any size, scored on the same models, listed with their times."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core import plan
from modeldiff_core.datamodels import FromMasks
from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.lasso import fit_lasso
from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation import linear_datamodeling_score
from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.experiments.compare.findings import read_directions
from modeldiff_core.identity import digest, plain
from modeldiff_core.stages.blocks import block_key
from modeldiff_core.stages.gram import FOLDER, counts_of, gram_reference
from modeldiff_core.stages.regress import (
    BlockSpec,
    finish_regression,
    read_datamodels,
    regress_block,
    seconds_taken,
)
from modeldiff_core.stages.regression import rows_used
from modeldiff_core.stages.times import time_key
from modeldiff_core.store import MarginMatrix, ObjectStore, read_record, read_tensors
from tests.modeldiff_core.stages.studies import TINY, local, run, tiny
from tests.modeldiff_core.undrawn import undrawn

OTHERS = ("ridge", "least_squares", "difference_in_means", "trak")
REGRESSION = {**TINY["regression"], "settings": {"trak": {"dimensions": 12}}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[ObjectStore, Comparison]:
    """The study with every estimator beside the lasso, run to its report."""
    store = local(tmp_path_factory.mktemp("store"))
    comparison = tiny(regression={**REGRESSION, "also": OTHERS})
    run(store, comparison)
    return store, comparison


@pytest.fixture(scope="module", params=["ridge", "difference_in_means", "trak"])
def another(request: pytest.FixtureRequest, whole: tuple[ObjectStore, Comparison]) -> Any:
    """The comparison resting on another estimator, from the same trainings."""
    store, _ = whole
    comparison = tiny(regression={**REGRESSION, "estimator": request.param}, transformations=[])
    with undrawn():
        run(store, comparison)
    return request.param, store, comparison


def test_the_lasso_alone_is_what_it_was_before_there_were_others() -> None:
    study, regression = tiny(), tiny().regression(tiny().trainings[0], None)
    settings = {"gap_tolerance": 1e-4, "lambda_min_ratio": 0.01, "n_lambdas": 4, "seed": 0, "validation_fraction": 0.1}
    identity = {"version": 1, "matrix": regression.matrix.digest, "first": 10, "half": None, "lasso": settings}
    assert regression.reference.digest == digest(identity)
    asked: Any = plain(study.study.model_dump(exclude={"dataset", "algorithm_a", "algorithm_b", "name"}))
    asked["regression"] = settings
    del asked["subsets"]["adaptive"], asked["subsets"]["rounds"]  # how the models came to be trained
    del asked["comparison"]["null_from"], asked["output"], asked["subsets"]["seeds"], asked["verdict"]  # the usual ones
    trainings = [training.identity for training in study.trainings]
    assert study.digest == digest({"version": 4, "trainings": trainings, "settings": asked})
    unused = tiny(regression={**REGRESSION, "block_size": 7, "memory_budget_mb": 1})
    assert unused.digest == study.digest
    stricter = tiny(comparison={**study.study.comparison.model_dump(), "null_from": "parts"})
    assert stricter.digest != study.digest
    assert stricter.pair.directions == study.pair.directions
    assert stricter.pair.null_block(0) != study.pair.null_block(0)


@pytest.mark.parametrize(
    "change",
    [{"estimator": "ridge"}, {"also": ["ridge"]}, {"folds": 3}, {"precise": True}, {"gap_tolerance": 1e-3}],
)
def test_what_changes_numbers_changes_the_digest(change: dict[str, Any]) -> None:
    assert tiny(regression={**REGRESSION, **change}).digest != tiny(regression=REGRESSION).digest


def test_an_estimator_is_known_by_its_kind_settings_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def reference(kind: str, **settings: Any) -> str:
        comparison = tiny(regression={**REGRESSION, "settings": {kind: settings}})
        return comparison.regression(comparison.trainings[0], None, kind).reference.digest

    found = {
        reference("ridge"),
        reference("ridge", seed=1),
        reference("least_squares"),
        reference("difference_in_means"),
        reference("trak"),
        reference("trak", dimensions=9),
        reference("lasso"),
    }
    assert len(found) == 7
    assert reference("ridge", seed=0) == reference("ridge")
    before = reference("ridge")
    monkeypatch.setattr("modeldiff_core.datamodels.ridge.Ridge.version", 2)
    assert reference("ridge") != before


def test_the_table_holds_every_estimator(whole: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = whole
    summary = read_record(store, comparison.summary.record)
    assert [entry["name"] for entry in summary["estimators"]] == ["lasso", *OTHERS]
    page = store.read(comparison.report.record).decode()
    for label, training in zip("ab", comparison.trainings, strict=True):
        matrix = MarginMatrix.open(store, comparison.regression(training, None).matrix.key)
        held = matrix.valid() & (np.arange(50) < 10)
        for entry in summary["estimators"]:
            fit = comparison.regression(training, None, entry["name"])
            found = read_datamodels(store, fit)
            score = linear_datamodeling_score(found.weights, found.bias, matrix.masks()[held], matrix.margins()[held])
            assert entry[label]["mean"] == pytest.approx(score.mean(), abs=1e-6)
            assert entry[label]["ci_low"] < entry[label]["ci_high"]
            assert 0 < entry[label]["seconds"] == seconds_taken(store, fit)
    assert summary["lds"]["a"]["mean"] == summary["estimators"][0]["a"]["mean"]
    rows = page.split('id="estimators"')[1].split("</table>")[0]
    names = ("lasso", "ridge", "least squares", "difference in means", "TRAK")
    assert all(f'<th scope="row">{name}</th>' in rows for name in names)
    assert rows.count("40 subset models") == 4
    assert rows.count("4 models on all data") == 1
    assert plan.verify(Compare(comparison), store) == ()


def test_counts_are_kept_once_for_both_algorithms(whole: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = whole
    kept = [key for key in store.sizes(FOLDER) if key.endswith(".safetensors")]
    assert len(kept) == 3, "of all models and of each half"
    for half in (None, 0, 1):
        a, b = (comparison.regression(training, half) for training in comparison.trainings)
        matrices = [MarginMatrix.open(store, fit.matrix.key) for fit in (a, b)]
        first, second = (gram_reference(matrix, 10, half) for matrix in matrices)
        assert first == second
        assert first.record in kept
        masks = matrices[0].masks()[rows_used(matrices[0], 10, half)]
        expected = masks.T.astype(int) @ masks.astype(int)
        found = read_tensors(store, first.record).arrays["counts"]
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
    other = replace(matrices[0], record={**matrices[0].record, "diverged": [12]})
    assert gram_reference(other, 10, 0).digest != gram_reference(matrices[0], 10, 0).digest
    assert gram_reference(other, 10, 1).digest == gram_reference(matrices[0], 10, 1).digest


def test_damaged_counts_are_counted_again(whole: tuple[ObjectStore, Comparison], tmp_path: Path) -> None:
    store, comparison = whole
    fit = comparison.regression(comparison.trainings[0], 1)
    matrix = MarginMatrix.open(store, fit.matrix.key)
    key = gram_reference(matrix, 10, 1).record
    before, path = store.read(key), Path(store.path(key))
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert [(found.key, found.kind) for found in plan.verify(Compare(comparison), store)] == [(key, "damaged")]
    masks = matrix.masks()[rows_used(matrix, 10, 1)]
    counts = counts_of(store, fit, masks)
    assert counts is not None
    np.testing.assert_array_equal(counts.numpy(), co_occurrence(masks).numpy())
    assert store.read(key) == before


@pytest.mark.parametrize("kind", ["lasso", *OTHERS[:3]])
@pytest.mark.parametrize("size", [3, 17])
def test_blocks_of_any_size_give_the_same_bits(
    whole: tuple[ObjectStore, Comparison], monkeypatch: pytest.MonkeyPatch, kind: str, size: int
) -> None:
    store, comparison = whole
    monkeypatch.setattr(FromMasks, "chunk", 4)
    weights = {}
    for block_size in (40, size):
        fit = comparison.regression(comparison.trainings[0], None, kind)
        fit = replace(fit, block_size=block_size, folder=f"blocks-{kind}-{size}-{block_size}")
        for block in fit.blocks:
            regress_block(store, BlockSpec(fit, *block))
        finish_regression(store, fit)
        weights[block_size] = read_datamodels(store, fit).weights
    assert weights[40].any()
    assert weights[40].tobytes() == weights[size].tobytes()


def test_a_block_that_is_there_keeps_its_time(whole: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = whole
    fit = comparison.regression(comparison.trainings[0], None)
    key = time_key(block_key(fit.reference, *fit.blocks[0]))
    before = store.read(key)
    regress_block(store, BlockSpec(fit, *fit.blocks[0]))
    assert store.read(key) == before
    store.delete(key)
    assert seconds_taken(store, fit) is None
    store.write(key, before)


def test_the_comparison_rests_on_any_of_them(another: Any) -> None:
    kind, store, comparison = another
    summary = read_record(store, comparison.summary.record)
    fits = [read_datamodels(store, comparison.regression(t, None, kind)) for t in comparison.trainings]
    stored = read_tensors(store, comparison.pair.directions.record).arrays
    assert np.abs(stored["a-b.projections"]).max() > 0
    assert all(fit.weights.any() for fit in fits)
    assert all(np.isfinite(stored[f"{side}.variance_{name}"]).all() for side in ("a-b", "b-a") for name in "ab")
    assert len(summary["directions"]) == 6
    assert "estimators" not in summary
    assert plan.verify(Compare(comparison), store) == ()
    if kind == "trak":
        assert not comparison.null_blocks
        assert {d["null_p"] for d in summary["directions"]} == {1.0}
        assert "were not tested against chance" in summary["findings"][0]
    else:
        assert len(comparison.null_blocks) == 2
        assert min(d["null_p"] for d in summary["directions"]) < 1


def test_directions_are_tested_against_disjoint_parts(whole: tuple[ObjectStore, Comparison]) -> None:
    store, usual = whole
    study = usual.study
    comparison = tiny(
        regression=study.regression.model_dump(),
        comparison={**study.comparison.model_dump(), "null_from": "parts"},
        transformations=[],
    )
    with undrawn():
        run(store, comparison)
    null, other = (read_directions(store, one)[1] for one in (comparison, usual))
    assert null.shape == other.shape == (3 * 2 * 3,)
    assert len(np.intersect1d(null, other)) == 0
    entry = read_record(store, comparison.summary.record)["directions"][0]
    difference = entry["explained_variance"]["a"] - entry["explained_variance"]["b"]
    assert entry["null_p"] == pytest.approx((1 + (null >= difference).sum()) / (1 + len(null)))
    assert plan.verify(Compare(comparison), store) == ()


def test_halves_of_trak_are_every_other_model(whole: tuple[ObjectStore, Comparison]) -> None:
    store, _ = whole
    comparison = tiny(regression={**REGRESSION, "estimator": "trak"})
    weights = {}
    for half in (None, 0, 1):
        fit = comparison.regression(comparison.trainings[0], half)
        regress_block(store, BlockSpec(fit, 0, 40))
        finish_regression(store, fit)
        weights[half] = read_datamodels(store, fit).weights
    assert not np.allclose(weights[0], weights[1])
    together = np.corrcoef((weights[0] + weights[1]).ravel(), weights[None].ravel())[0, 1]
    assert together > np.corrcoef(weights[0].ravel(), weights[1].ravel())[0, 1]
    assert together > 0.6


def test_more_models_give_a_higher_score(whole: tuple[ObjectStore, Comparison]) -> None:
    rng = np.random.default_rng(0)
    theta = np.where(rng.random((10, 60)) < 0.2, rng.normal(size=(10, 60)), 0)
    masks = rng.random((700, 60)) < 0.5
    margins = (masks @ theta.T + rng.normal(size=(700, 10))).astype(np.float32)
    scores = []
    for models in (40, 150, 600):
        fit = fit_lasso(masks[100 : 100 + models], margins[100 : 100 + models])
        scores.append(linear_datamodeling_score(fit.weights, fit.bias, masks[:100], margins[:100]).mean())
    assert scores[0] > 0.1
    assert scores[0] + 0.05 < scores[1] < scores[2]


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"regression\.estimator: expected one of difference_in_means, lasso"):
        tiny(regression={**REGRESSION, "estimator": "nope"}).regressions()
