"""What is wrong with the estimators that a study asks for is found before anything is trained."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare.check import check_study
from modeldiff_core.study.check_estimators import check_estimators
from modeldiff_core.study.config import RegressionConfig

Planned = Callable[..., Any]
SKLEARN = {"algorithm_b": {"name": "forest", "kind": "sklearn", "recipe": {}}}


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"regression.estimator": "nope"}, "regression.estimator", "lasso, least_squares, ridge, trak, got 'nope'"),
        ({"regression.also": ["nope"]}, "regression.also", "ridge, trak, got 'nope'"),
        ({"regression.also": ["ridge", "ridge"]}, "regression.also", "asked for once, got 'ridge'"),
        ({"regression.also": ["lasso"]}, "regression.also", "asked for once, got 'lasso'"),
        ({"regression.settings": {"rigde": {}}}, "regression.settings", "got 'rigde'"),
        ({"regression.settings": {"lasso": {}}}, "regression.settings", "settings stand in regression itself"),
        ({"regression.folds": 1}, "regression.folds", "0 for a held-out part, or 2 or more, got 1"),
        (
            {"regression.also": ["ridge"], "regression.settings": {"ridge": {"penalties": []}}},
            "regression.settings.ridge.penalties", "one or more numbers above 0",
        ),
        (
            {"regression.settings": {"ridge": {"alpha": 1}}},
            "regression.settings.ridge.alpha", "one of penalties, seed, validation_fraction",
        ),
        (
            {"regression.also": ["trak"], "regression.settings": {"trak": {"dimensions": 200}}},
            "regression.settings.trak.dimensions", "fewer than the 200 training examples",
        ),
        ({"regression.also": ["trak"], **SKLEARN}, "regression.also", "SklearnClassifier have no gradients"),
        ({"regression.estimator": "trak", **SKLEARN}, "regression.estimator", "needs no checkpoints of torch modules"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_met(planned: Planned, changes: dict[str, object], key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check_study(*planned(changes))
    assert caught.value.key == key


@pytest.mark.parametrize("estimator", ["lasso", "ridge", "least_squares", "difference_in_means", "trak"])
def test_each_of_them_can_be_asked_for(planned: Planned, estimator: str) -> None:
    assert check_study(*planned({"regression.estimator": estimator})) == []


def test_a_package_that_is_not_installed(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trak", None)
    assert check_study(*planned({"regression.also": ["ridge"]})) == []
    with pytest.raises(ConfigError, match=r"pip install 'modeldiff\[trak\]'") as caught:
        check_study(*planned({"regression.also": ["ridge", "trak"]}))
    assert caught.value.key == "regression.also"


def test_margins_without_models_leave_out_what_looks_into_models() -> None:
    check_estimators(RegressionConfig(estimator="ridge", also=("lasso",)), (), 100)
    with pytest.raises(ConfigError, match="No models stand behind these margins") as caught:
        check_estimators(RegressionConfig(estimator="trak"), (), 100)
    assert caught.value.key == "regression.estimator"
