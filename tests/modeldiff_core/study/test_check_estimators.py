"""What is wrong with the estimators that a study asks for is found before anything is trained."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from inspect import signature
from typing import Any

import pytest

from modeldiff_core.datamodels import fit_lasso
from modeldiff_core.datamodels.lasso import Lasso
from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.curve import next_point
from modeldiff_core.experiments.compare.check import check_study
from modeldiff_core.study import build_estimator
from modeldiff_core.study.check_estimators import check_estimators
from modeldiff_core.study.config import RegressionConfig

Planned = Callable[..., Any]
WIDE = {"effects.epsilon": 0.1, "effects.delta": 0.2}
"""Margins that few images can show to be kept."""
SKLEARN = {"algorithm_b": {"name": "forest", "kind": "sklearn", "recipe": {}}}


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        (
            {"regression.estimator": "nope"},
            "regression.estimator",
            "lasso, least_squares, metagradient, ridge, trak, got 'nope'",
        ),
        ({"regression.also": ["nope"]}, "regression.also", "ridge, trak, got 'nope'"),
        ({"regression.also": ["ridge", "ridge"]}, "regression.also", "asked for once, got 'ridge'"),
        ({"regression.also": ["lasso"]}, "regression.also", "asked for once, got 'lasso'"),
        ({"regression.settings": {"rigde": {}}}, "regression.settings", "got 'rigde'"),
        ({"regression.settings": {"lasso": {"alpha": 1}}}, "regression.settings.lasso.alpha", "one of folds, gap_tol"),
        ({"regression.settings": {"lasso": {"n_lambdas": 0}}}, "regression.settings.lasso.n_lambdas", "1 or more"),
        ({"regression.settings": {"lasso": {"folds": 1}}}, "regression.settings.lasso.folds", "0 for a held-out part"),
        ({"regression.folds": 1}, "regression.folds", "0 for a held-out part, or 2 or more, got 1"),
        (
            {"regression.also": ["ridge"], "regression.settings": {"ridge": {"penalties": []}}},
            "regression.settings.ridge.penalties",
            "one or more numbers above 0",
        ),
        (
            {"regression.settings": {"ridge": {"alpha": 1}}},
            "regression.settings.ridge.alpha",
            "one of penalties, seed, validation_fraction",
        ),
        (
            {"regression.also": ["trak"], "regression.settings": {"trak": {"dimensions": 200}}},
            "regression.settings.trak.dimensions",
            "fewer than the 200 training examples",
        ),
        ({"regression.also": ["trak"], **SKLEARN}, "regression.also", "SklearnClassifier have no gradients"),
        ({"regression.estimator": "trak", **SKLEARN}, "regression.estimator", "needs no checkpoints of torch modules"),
    ],
)
def test_a_request_that_cannot_be_met(planned: Planned, changes: dict[str, object], key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check_study(*planned(changes))
    assert caught.value.key == key


@pytest.mark.parametrize("estimator", ["lasso", "ridge", "least_squares", "difference_in_means", "trak"])
def test_each_of_them_can_be_asked_for(planned: Planned, estimator: str) -> None:
    assert check_study(*planned({"regression.estimator": estimator, **WIDE})) == []


def test_the_lasso_is_set_like_all_others_or_where_it_has_always_stood(planned: Planned) -> None:
    inside = planned({"regression.settings": {"lasso": {"n_lambdas": 7, "folds": 3}, "ridge": {"seed": 2}}})[0]
    ridge_alone = {"regression.settings": {"ridge": {"seed": 2}}}
    beside = planned({"regression.n_lambdas": 7, "regression.folds": 3, **ridge_alone})[0]
    assert inside.regression == beside.regression != RegressionConfig()
    assert inside.regression.settings == {"ridge": {"seed": 2}}
    estimator = build_estimator(inside.regression, "lasso")
    assert estimator == Lasso(n_lambdas=7, folds=3)
    assert estimator.named("lasso") == {"lasso": estimator.identity()}
    ridge = build_estimator(inside.regression, "ridge")
    assert ridge.named("ridge") == {"estimator": {"kind": "ridge", "version": 1, "settings": ridge.identity()}}


def test_the_defaults_of_the_lasso_stand_in_its_class() -> None:
    defaults = asdict(Lasso())
    config = RegressionConfig()
    assert {name: getattr(config, name) for name in defaults} == defaults
    for function in (fit_lasso, next_point):
        given = {name: p.default for name, p in signature(function).parameters.items() if name in defaults}
        assert len(given) >= 4
        assert given.items() <= defaults.items()


def test_a_package_that_is_not_installed(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trak", None)
    assert check_study(*planned({"regression.also": ["ridge"], **WIDE})) == []
    with pytest.raises(ConfigError, match=r"pip install 'modeldiff-platform\[trak\]'") as caught:
        check_study(*planned({"regression.also": ["ridge", "trak"]}))
    assert caught.value.key == "regression.also"


def test_margins_without_models_leave_out_what_looks_into_models() -> None:
    check_estimators(RegressionConfig(estimator="ridge", also=("lasso",)), (), 100)
    with pytest.raises(ConfigError, match="These margins come without models") as caught:
        check_estimators(RegressionConfig(estimator="trak"), (), 100)
    assert caught.value.key == "regression.estimator"
