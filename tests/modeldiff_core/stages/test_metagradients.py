"""Metagradients as an estimator: rows a training and a block at a time, averaged, scored and compared."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core import plan
from modeldiff_core.datamodels import fit_ridge
from modeldiff_core.datamodels.metagradient import Metagradient
from modeldiff_core.errors import ConfigError, Diverged
from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.stages.datamodels import datamodel_waves
from modeldiff_core.stages.metagradients import mean_of_rows, metagradient_rows, row_specs
from modeldiff_core.stages.regress import (
    BlockSpec,
    finish_regression,
    read_datamodels,
    regress_block,
    seconds_taken,
    without_prior,
)
from modeldiff_core.stages.regression import rows_used
from modeldiff_core.store import MarginMatrix, ObjectStore, read_record
from modeldiff_core.study.check_estimators import check_estimators
from modeldiff_core.training.modules import TorchRecipe
from modeldiff_core.training.sgd import Sgd
from tests.modeldiff_core.stages.studies import EXECUTION, TINY, local, run, tiny

COMPARISON = {**TINY["comparison"], "permutations": 0}


def study(trainings: int = 3, **changes: Any) -> Comparison:
    """The tiny study resting on metagradients."""
    settings = {"metagradient": {"trainings": trainings}}
    regression = {**TINY["regression"], "estimator": "metagradient", "also": ["ridge"], "settings": settings}
    return tiny(**{"regression": regression, "comparison": COMPARISON, "transformations": [], **changes})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[ObjectStore, Comparison]:
    store, comparison = local(tmp_path_factory.mktemp("store")), study()
    run(store, comparison)
    return store, comparison


def test_datamodels_are_means_of_derivatives(whole: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = whole
    training = comparison.trainings[0]
    task, every = training.task(), range(3)
    single = [Metagradient().rows(task, 0.5, number, slice(0, 40), EXECUTION) for number in every]
    for half, numbers in ((None, (0, 1, 2)), (0, (0, 2)), (1, (1,))):
        found = read_datamodels(store, comparison.regression(training, half))
        expected = np.mean([single[number].weights for number in numbers], axis=0)
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(found.weights, expected, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_allclose(found.bias, np.mean([single[n].bias for n in numbers], axis=0), atol=1e-4)


def test_they_are_scored_and_reported_like_any_estimator(whole: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = whole
    summary = read_record(store, comparison.summary.record)
    assert [entry["name"] for entry in summary["estimators"]] == ["metagradient", "ridge"]
    entry = summary["estimators"][0]["b"]
    assert entry["mean"] > 0.2
    assert entry["seconds"] == pytest.approx(seconds_taken(store, comparison.regression(comparison.trainings[1], None)))
    page = store.read(comparison.report.record).decode()
    assert '<th scope="row">metagradients</th>' in page
    assert "3 trainings of their own" in page
    assert plan.verify(Compare(comparison), store) == ()


def test_more_trainings_differentiate_only_the_new_ones(
    whole: tuple[ObjectStore, Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = whole
    taken: list[tuple[int, int]] = []
    original = Metagradient.rows

    def counted(self: Metagradient, *arguments: Any) -> Any:
        taken.append((arguments[2], arguments[3].start))
        return original(self, *arguments)

    monkeypatch.setattr(Metagradient, "rows", counted)
    more = study(4)
    run(store, more)
    assert sorted(taken) == [(3, 0), (3, 0), (3, 25), (3, 25)], "two sides, two blocks"
    assert not plan.survey(Compare(more), store).missing


def test_a_diverged_training_is_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, fit = local(tmp_path), study().regression(study().trainings[0], None)
    original = Metagradient.rows

    def broken(bad: tuple[int, ...]) -> None:
        def rows(self: Metagradient, *arguments: Any) -> Any:
            found = original(self, *arguments)
            if arguments[2] in bad:
                found.weights[0, 0] = np.inf
            return found

        monkeypatch.setattr(Metagradient, "rows", rows)

    broken((1,))
    for spec in row_specs(fit, 0, 5):
        metagradient_rows(store, spec, EXECUTION)
    kept = mean_of_rows(store, fit, 0, 5)[0]
    one, other = (original(Metagradient(), study().trainings[0].task(), 0.5, s, slice(0, 5), EXECUTION) for s in (0, 2))
    np.testing.assert_allclose(kept.weights, (one.weights + other.weights) / 2, rtol=1e-4, atol=1e-6)
    broken((0, 1, 2))
    empty = local(tmp_path / "other")
    for spec in row_specs(fit, 0, 5):
        metagradient_rows(empty, spec, EXECUTION)
    with pytest.raises(Diverged, match=r"all trainings of .* Lower recipe.learning_rate"):
        mean_of_rows(empty, fit, 0, 5)


def test_what_cannot_be_differentiated_is_refused_before_training() -> None:
    def checked(comparison: Comparison) -> None:
        check_estimators(comparison.study.regression, comparison.trainings, 60)

    checked(study())
    with pytest.raises(ConfigError, match=r"regression.settings.metagradient.trainings: expected 2 or more"):
        checked(study(1))
    sklearn = {"name": "trees", "kind": "sklearn", "recipe": {}}
    with pytest.raises(ConfigError, match=r"regression.estimator: .*differentiated.*SklearnClassifier"):
        checked(study(algorithm_b=sklearn))
    with pytest.raises(ConfigError, match=r"output: expected one differentiable number"):
        checked(study(output="accuracy"))
    with pytest.raises(ConfigError, match=r"metagradient.trainings: expected 1 or more"):
        study(0).regression(study().trainings[0], None)


def test_derivatives_of_a_smoother_copy_are_those_at_its_learning_rate() -> None:
    task = study().trainings[0].task()
    assert isinstance(task.algorithm, Sgd)
    slower = replace(task, algorithm=replace(task.algorithm, learning_rate=task.algorithm.learning_rate / 4))
    copied = Metagradient(learning_rate_factor=0.25)
    found = copied.rows(task, 0.5, 1, slice(0, 5), EXECUTION)
    expected = Metagradient().rows(slower, 0.5, 1, slice(0, 5), EXECUTION)
    np.testing.assert_array_equal(found.weights, expected.weights)
    assert not np.allclose(found.weights, Metagradient().rows(task, 0.5, 1, slice(0, 5), EXECUTION).weights)
    assert Metagradient().identity() == {"trainings": 4, "batch_statistics": "full"}
    assert copied.identity_of_rows() == {"batch_statistics": "full", "learning_rate_factor": 0.25}
    assert "at 0.25 times the algorithm's learning rate" in Metagradient.note(copied.identity())
    assert Metagradient.note(Metagradient().identity()) == "They are a mean over 4 trainings."


def test_a_copy_is_slower_and_of_kind_sgd() -> None:
    for factor in (0.0, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=r"metagradient.learning_rate_factor: expected a number in \(0, 1\]"):
            Metagradient(learning_rate_factor=factor)
    recipe = TorchRecipe(network="torchvision.models:resnet18")
    with pytest.raises(ConfigError, match=r"^learning_rate_factor: expected 1 for other kinds than sgd"):
        Metagradient(learning_rate_factor=0.2).check(recipe, 60, "margin", halves=True)


def with_prior(**changes: Any) -> Comparison:
    """The tiny study by ridge regression of what metagradients leave of the margins."""
    settings = {"metagradient": {"trainings": 3}}
    regression = {**TINY["regression"], "estimator": "ridge", "prior": "metagradient", "settings": settings}
    comparison = {"method": "contrast", "components": 2, "draws": 10, **changes}
    return tiny(regression=regression, comparison=comparison, transformations=[])


def test_a_prior_is_taken_away_with_one_factor_a_target_and_the_rest_is_regressed(
    whole: tuple[ObjectStore, Comparison],
) -> None:
    store, others = whole
    comparison = with_prior()
    training = comparison.trainings[0]
    fit = comparison.regression(training, None)
    assert fit.prior is not None
    assert fit.prior.reference == others.regression(training, None).reference
    assert fit.reference != others.regression(training, None, "ridge").reference
    assert comparison.digest != tiny(comparison={"method": "contrast", "components": 2, "draws": 10}).digest
    for block in fit.blocks:
        regress_block(store, BlockSpec(fit, *block))
    finish_regression(store, fit)
    found, prior = read_datamodels(store, fit), read_datamodels(store, fit.prior).weights
    matrix = MarginMatrix.open(store, fit.matrix.key)
    keep = rows_used(matrix, fit.first, None)
    masks, margins = matrix.masks()[keep], matrix.margins()[keep]
    factors, rest = without_prior(masks, margins, prior)
    assert (factors > 0).mean() > 0.5
    predicted = (masks @ prior.T) * factors
    np.testing.assert_allclose(rest, margins - predicted, atol=1e-3)
    for target in (0, 7):
        p, y = predicted[:, target], rest[:, target]
        assert abs(np.corrcoef(p, y)[0, 1]) < 1e-3 or factors[target] == 0
    expected = fit_ridge(masks, rest).weights + factors[:, None] * prior
    np.testing.assert_allclose(found.weights, expected, atol=1e-3 * np.abs(expected).max())
    assert fit.record()["prior"] is not None
    assert "prior" not in others.regression(training, None).record()


def test_a_prior_goes_before_the_regression_and_where_it_cannot_go_is_refused(
    whole: tuple[ObjectStore, Comparison],
) -> None:
    store, _ = whole
    comparison = with_prior()
    fits = {"tiny A": comparison.regression(comparison.trainings[0], None)}
    titles = [wave.title for wave in datamodel_waves(store, fits, "tiny")]
    assert titles.index("metagradients") < titles.index("datamodels")
    assert titles.count("datamodels") == 2
    with pytest.raises(ConfigError, match=r"regression\.prior"):
        Compare(with_prior(method="pca")).check()
    wrong = {**TINY["regression"], "estimator": "metagradient", "prior": "metagradient"}
    with pytest.raises(ConfigError, match=r"regression\.prior"):
        check_estimators(tiny(regression=wrong).study.regression, (), 100)
