"""Pipelines of scikit-learn: columns that they see, numbers that they predict, estimators as plain values."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from modeldiff_core.data import Dataset
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.frames import Reading, read_frames
from modeldiff_core.data.leaks import Leak
from modeldiff_core.data.tables import SklearnTable
from modeldiff_core.errors import ConfigError
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.training import Execution
from modeldiff_core.training.estimators import described, made
from modeldiff_core.training.pipelines import Pipeline
from tests.odd_inputs.tables import plain

SCALED = ({"kind": "StandardScaler"}, {"kind": "LogisticRegression", "parameters": {"C": 0.5}})
RIDGE = ({"kind": "StandardScaler"}, {"kind": "Ridge", "parameters": {"alpha": 2.0}})


def colored() -> Dataset:
    frames = {part: plain(seed) for seed, part in enumerate(("train", "test"))}
    columns = {part: frame.drop(columns="kind") for part, frame in frames.items()}
    return read_frames(columns, {part: f["kind"] for part, f in frames.items()}, "kind", Reading())  # type: ignore


def trained(pipeline: Pipeline, data: Dataset, masks: np.ndarray) -> Any:
    return pipeline.on(data).train(data.train, data.n_outputs, masks, list(range(len(masks))), 0, Execution())


def test_logits_are_those_of_the_same_steps_by_hand() -> None:
    data = SklearnTable(n_train=150, n_test=50).load()
    masks = np.random.default_rng(0).random((2, 150)) < 0.6
    found = trained(Pipeline(SCALED), data, masks).logits(data.test.images)
    rows, asked = data.train.images[:, 0, :, 0], data.test.images[:, 0, :, 0]
    for row, mask in enumerate(masks):
        by_hand = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(rows[mask], data.train.labels[mask])
        expected = np.log(np.clip(by_hand.predict_proba(asked), 1e-6, None))
        assert expected.std() > 0.5
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_a_column_that_is_ignored_changes_nothing() -> None:
    data = SklearnTable(n_train=120, n_test=40, leak=Leak()).load()
    whole, without = Pipeline(SCALED), Pipeline(SCALED, ignore=("leak",))
    masks = np.ones((1, 120), bool)
    moved = data.test.images.copy()
    moved[:, 0, -1, 0] += 5
    of_whole, of_without = (trained(one, data, masks) for one in (whole, without))
    assert np.abs(of_whole.logits(moved) - of_whole.logits(data.test.images)).max() > 1
    np.testing.assert_array_equal(of_without.logits(moved), of_without.logits(data.test.images))


def test_text_becomes_a_column_for_each_category() -> None:
    data = colored()
    assert list(Pipeline().on(data).rows(data.train.images).columns) == [
        "height",
        "count",
        "old",
        "color=blue",
        "color=green",
        "color=red",
    ]
    kept = Pipeline(one_hot=False).on(data).rows(data.train.images)
    assert kept["color"].tolist() == plain(0)["color"].tolist()
    assert isinstance(kept["color"].dtype, pd.CategoricalDtype)


def test_a_number_is_fitted_in_its_own_unit_and_predicted_in_deviations() -> None:
    data = SklearnTable("diabetes", n_train=200, n_test=100).load()
    target = data.target
    assert target is not None
    found = trained(Pipeline(RIDGE), data, np.ones((1, 200), bool)).logits(data.test.images)
    assert found.shape == (1, 100, 1)
    rows, y = data.train.images[:, 0, :, 0], target.mean + target.deviation * data.train.labels
    by_hand = make_pipeline(StandardScaler(), Ridge(alpha=2.0)).fit(rows, y).predict(data.test.images[:, 0, :, 0])
    np.testing.assert_allclose(target.mean + target.deviation * found[0, :, 0], by_hand, rtol=1e-4)
    import torch

    logits, labels = torch.from_numpy(found), torch.from_numpy(data.test.labels)
    error = OUTPUTS.get("prediction_error")(logits, labels).numpy()
    truth = target.mean + target.deviation * data.test.labels
    np.testing.assert_allclose(error[0] * target.deviation, by_hand - truth, atol=1e-2)
    np.testing.assert_allclose(OUTPUTS.get("negative_squared_error")(logits, labels), -np.square(error), rtol=1e-5)


def test_a_state_of_its_own_comes_from_the_seed_and_the_number() -> None:
    data = SklearnTable(n_train=100, n_test=30).load()
    forest = Pipeline(({"kind": "RandomForestClassifier", "parameters": {"n_estimators": 5}},))
    masks = np.ones((2, 100), bool)
    first, again = (trained(forest, data, masks).logits(data.test.images) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])


def test_images_are_rows_of_pixels() -> None:
    data = Digits(n_train=100, n_test=20).load()
    found = trained(Pipeline(SCALED), data, np.ones((1, 100), bool)).logits(data.test.images)
    assert found.shape == (1, 20, 10)
    assert (found[0].argmax(1) == data.test.labels).mean() > 0.6


@pytest.mark.parametrize(
    ("recipe", "key", "said"),
    [
        ({"steps": ()}, "recipe.steps", "one step or more"),
        ({"steps": ({"kind": "StandardScalar"}, *SCALED[1:])}, "recipe.steps.0.kind", "StandardScaler"),
        ({"steps": ({"kind": "LogisticRegression", "parameters": {"D": 1}},)}, "recipe.steps.0.parameters", "D"),
        ({"steps": ({"kind": "LogisticRegression", "parameters": {"C": -1}},)}, "recipe.steps.0.parameters", "C"),
        ({"steps": (SCALED[1], SCALED[0])}, "recipe.steps.0.kind", "a step that transforms"),
        ({"steps": ({"kind": "sklearn.nowhere:Nothing"},)}, "recipe.steps.0.kind", "ModuleNotFoundError"),
        ({"steps": ({"name": "scale"},)}, "recipe.steps.0", "{kind, parameters}"),
    ],
)
def test_steps_that_are_none_are_named(recipe: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Pipeline(**recipe)
    assert caught.value.key == key
    assert said in str(caught.value)


def test_what_a_table_does_not_allow_is_said_before_training() -> None:
    data, numbers = colored(), SklearnTable("diabetes", n_train=100, n_test=50).load()
    with pytest.raises(ConfigError) as caught:
        Pipeline(SCALED, ignore=("hight",)).on(data)
    assert (caught.value.key, "height" in str(caught.value)) == ("recipe.ignore", True)
    with pytest.raises(ConfigError, match="leave some of the table"):
        Pipeline(SCALED, ignore=("height", "count", "old", "color")).on(data)
    with pytest.raises(ConfigError, match="a regressor"):
        Pipeline(SCALED).on(numbers)
    with pytest.raises(ConfigError, match="a classifier"):
        Pipeline(RIDGE).on(data)
    with pytest.raises(ConfigError) as caught:
        Pipeline(SCALED, one_hot=False).on(data).check(data.image_shape, 2)
    assert "could not convert string to float" in str(caught.value)
    Pipeline(SCALED).on(data).check(data.image_shape, 2)


def test_an_estimator_is_the_same_after_it_was_written_down() -> None:
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["color"]), remainder="passthrough")
    pipeline = make_pipeline(columns, LogisticRegression(C=0.25))
    step = described(pipeline.steps[0][1])
    assert step["kind"] == "ColumnTransformer"
    again = made(step, "recipe.steps.0")
    rows = plain(0).drop(columns="kind")
    np.testing.assert_array_equal(columns.fit_transform(rows), again.fit_transform(rows))
    assert described(pipeline.steps[1][1]) == {"kind": "LogisticRegression", "parameters": {"C": 0.25}}
    with pytest.raises(ConfigError, match="FunctionTransformer.func"):
        described(FunctionTransformer(np.log1p))
