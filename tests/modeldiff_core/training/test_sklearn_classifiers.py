"""scikit-learn's classifiers as algorithms: their logits are what scikit-learn says, where it says it."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from modeldiff_core.data import Dataset
from modeldiff_core.data.digits import Digits
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.study.build import recipe_identity
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import ALGORITHMS, Algorithm, Execution
from modeldiff_core.training.protocol import TrainedModels
from modeldiff_core.training.shards import output_of
from modeldiff_core.training.sklearn_classifiers import LOWEST_PROBABILITY, SklearnClassifier, SklearnModels
from modeldiff_core.training.sklearn_logits import logits_of

MODELS = [0, 5]


@cache
def digits() -> Dataset:
    return Digits(n_train=200, n_test=50).load()


@cache
def masks() -> np.ndarray:
    return SubsetSampler(200, 0.5, 0).masks(MODELS)


def pixels(part: str) -> np.ndarray:
    examples = getattr(digits(), part)
    return np.asarray(examples.images.reshape(len(examples), -1), np.float32) / np.float32(255)


def trained(algorithm: SklearnClassifier, masks: np.ndarray, seed: int = 3) -> SklearnModels:
    return algorithm.train(digits().train, 10, masks, MODELS[: len(masks)], seed, Execution())


def state(seed: int, model: int) -> int:
    """The documented draw of a model's random state."""
    return int(generator("initialisation", seed, model).integers(2**31))


@pytest.mark.parametrize(
    ("name", "parameters", "cls"),
    [
        ("LogisticRegression", {"max_iter": 200}, LogisticRegression),
        ("HistGradientBoostingClassifier", {"max_iter": 3}, HistGradientBoostingClassifier),
    ],
)
def test_logits_are_logarithms_of_probabilities(name: str, parameters: dict[str, Any], cls: type[Any]) -> None:
    algorithm = SklearnClassifier(name, parameters)
    logits = trained(algorithm, masks()).logits(digits().test.images)
    assert logits.shape == (2, 50, 10)
    assert logits.dtype == np.float32
    for row, model in enumerate(MODELS):
        direct = cls(**parameters)
        if "random_state" in direct.get_params():
            direct.set_params(random_state=state(3, model))
        direct.fit(pixels("train")[masks()[row]], digits().train.labels[masks()[row]])
        assert direct.score(pixels("test"), digits().test.labels) > 0.5
        probabilities = direct.predict_proba(pixels("test"))
        np.testing.assert_allclose(logits[row], np.log(np.maximum(probabilities, 1e-6)), atol=1e-5)
    assert np.abs(logits[0] - logits[1]).max() > 0.1


def test_naive_bayes_gives_its_logarithms_itself() -> None:
    algorithm = SklearnClassifier("GaussianNB", {"var_smoothing": 0.01})
    logits = trained(algorithm, masks()).logits(digits().test.images)
    for row in range(2):
        direct = GaussianNB(var_smoothing=0.01).fit(pixels("train")[masks()[row]], digits().train.labels[masks()[row]])
        assert direct.score(pixels("test"), digits().test.labels) > 0.5
        np.testing.assert_allclose(logits[row], direct.predict_log_proba(pixels("test")), rtol=1e-5, atol=1e-5)
        clipped = np.log(np.maximum(direct.predict_proba(pixels("test")), LOWEST_PROBABILITY))
        assert (clipped < np.log(LOWEST_PROBABILITY) + 1e-3).mean() > 0.5, "which most of its probabilities would not"
    assert len(np.unique(margins(logits))) > 90


@pytest.mark.parametrize(
    ("name", "parameters", "cls", "at_the_clip"),
    [
        ("LinearDiscriminantAnalysis", {}, LinearDiscriminantAnalysis, 0.3),
        ("MLPClassifier", {"max_iter": 30}, MLPClassifier, 0.0),
    ],
)
def test_logarithms_are_asked_for_where_there_are_some(
    name: str, parameters: dict[str, Any], cls: type[Any], at_the_clip: float
) -> None:
    logits = trained(SklearnClassifier(name, parameters), masks()).logits(digits().test.images)
    direct = cls(**parameters)
    if "random_state" in direct.get_params():
        direct.set_params(random_state=state(3, MODELS[0]))
    direct.fit(pixels("train")[masks()[0]], digits().train.labels[masks()[0]])
    assert direct.score(pixels("test"), digits().test.labels) > 0.5
    np.testing.assert_allclose(logits[0], direct.predict_log_proba(pixels("test")), rtol=1e-5, atol=1e-5)
    clipped = np.log(np.maximum(direct.predict_proba(pixels("test")), LOWEST_PROBABILITY))
    second = np.sort(clipped, axis=1)[:, -2]
    assert (second <= np.log(LOWEST_PROBABILITY) + 1e-3).mean() >= at_the_clip, "margins that the clip would decide"
    assert len(np.unique(margins(logits[:1]))) > 40


class Zeros:
    """Probabilities of which some are 0."""

    classes_ = np.arange(3)

    def predict_log_proba(self, pixels: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 1e-30]]))


def test_a_probability_of_zero_has_the_lowest_logit_and_a_finite_one() -> None:
    found = logits_of(Zeros(), np.zeros((2, 1)))
    half, clip, small = np.log(0.5), np.log(LOWEST_PROBABILITY), np.log(1e-30)
    np.testing.assert_allclose(found, [[half, half, clip], [0, small, small]])


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbors_are_counted_and_smoothed(weights: str) -> None:
    algorithm = SklearnClassifier("KNeighborsClassifier", {"n_neighbors": 4, "weights": weights})
    logits = trained(algorithm, masks()).logits(digits().test.images)
    direct = KNeighborsClassifier(4, weights=weights)
    direct.fit(pixels("train")[masks()[0]], digits().train.labels[masks()[0]])
    counts = 4 * direct.predict_proba(pixels("test"))
    np.testing.assert_allclose(np.exp(logits[0]), (counts + 1) / 14, rtol=1e-5)
    assert (logits[0].argmax(1) == direct.predict(pixels("test"))).mean() > 0.9


def test_leaves_are_counted_and_smoothed() -> None:
    algorithm = SklearnClassifier("DecisionTreeClassifier", {"max_depth": 5})
    logits = trained(algorithm, masks()).logits(digits().test.images)
    direct = DecisionTreeClassifier(max_depth=5, random_state=state(3, MODELS[0]))
    train, labels = pixels("train")[masks()[0]], digits().train.labels[masks()[0]]
    leaves, own = direct.fit(train, labels).apply(pixels("test")), direct.apply(train)
    for at, leaf in enumerate(leaves):
        inside = labels[own == leaf]
        counts = np.bincount(inside, minlength=10)
        np.testing.assert_allclose(np.exp(logits[0, at]), (counts + 1) / (len(inside) + 10), rtol=1e-5)
    assert len(np.unique(margins(logits))) > 10


@pytest.mark.parametrize("cls", [RandomForestClassifier, ExtraTreesClassifier, BaggingClassifier])
def test_members_of_an_ensemble_are_counted_and_smoothed(cls: type[Any]) -> None:
    models = trained(SklearnClassifier(cls.__name__, {"n_estimators": 5}), masks())
    logits = models.logits(digits().test.images)
    for row, forest in enumerate(models.estimators):
        counts = 5 * forest.predict_proba(pixels("test"))
        np.testing.assert_allclose(np.exp(logits[row]), (counts + 1) / 15, rtol=1e-5)
        np.testing.assert_array_equal(logits[row].argmax(1), forest.predict(pixels("test")))


def margins(logits: np.ndarray) -> np.ndarray:
    return output_of("margin", logits, digits().test.labels)


def test_what_counts_has_another_identity_than_before() -> None:
    """Its margins are others than those of the first version, which stores may hold."""
    later = "GaussianNB", "KNeighborsClassifier", "BaggingClassifier", "LinearDiscriminantAnalysis", "MLPClassifier"
    first = "LogisticRegression", "SVC", "RidgeClassifier", "HistGradientBoostingClassifier"
    for name, version in (*((name, None) for name in first), *((name, 2) for name in later)):
        identity = recipe_identity(SklearnClassifier(name))
        assert isinstance(identity, dict)
        assert identity.get("logits") == version
        assert identity["classifier"] == name
    sure = recipe_identity(SklearnClassifier("SVC", {"probability": True}))
    assert isinstance(sure, dict)
    assert sure["logits"] == 2, "it gives logarithms, where decisions were taken without"


def test_columns_of_pairs_of_classes_are_refused_before_anything_is_trained() -> None:
    pairs = SklearnClassifier("SVC", {"decision_function_shape": "ovo"})
    with pytest.raises(ConfigError, match="Columns of ovo are pairs of classes") as caught:
        pairs.check((8, 8, 1), 3)
    assert caught.value.key == "recipe.parameters.decision_function_shape"
    pairs.check((8, 8, 1), 2)
    SklearnClassifier("SVC").check((8, 8, 1), 3)


def test_scores_that_are_not_of_classes_are_refused() -> None:
    """Three pairs of three classes have as many columns as classes, and another order."""
    three = digits().train.select(np.flatnonzero(digits().train.labels < 3))
    pairs, mask = SklearnClassifier("SVC", {"decision_function_shape": "ovo"}), np.ones((1, len(three)), bool)
    with pytest.raises(ConfigError, match="the largest is that of the predicted class"):
        pairs.train(three, 3, mask, [0], 0, Execution())
    models = SklearnClassifier("SVC").train(three, 3, mask, [0], 0, Execution())
    predicted = models.estimators[0].predict(three.images.reshape(len(three), -1).astype(np.float32) / 255)
    assert (models.logits(three.images)[0].argmax(1) == predicted).mean() > 0.98
    with pytest.raises(ConfigError, match="a score for each of the 10 classes"):
        trained(pairs, masks())


@pytest.mark.parametrize(
    ("name", "parameters", "cls"), [("RidgeClassifier", {"alpha": 2.0}, RidgeClassifier), ("LinearSVC", {}, LinearSVC)]
)
def test_without_probabilities_logits_are_decisions(name: str, parameters: dict[str, Any], cls: type[Any]) -> None:
    logits = trained(SklearnClassifier(name, parameters), masks()).logits(digits().test.images)
    for row, model in enumerate(MODELS):
        direct = cls(**parameters, random_state=state(3, model))
        direct.fit(pixels("train")[masks()[row]], digits().train.labels[masks()[row]])
        assert not hasattr(direct, "predict_proba")
        np.testing.assert_allclose(logits[row], direct.decision_function(pixels("test")), atol=1e-5)


@pytest.mark.parametrize("name", ["LogisticRegression", "RidgeClassifier"])
def test_of_two_classes_the_margin_is_the_decision(name: str) -> None:
    """decision_function gives one number for two classes; log-odds are the decision of logistic regression."""
    two = np.flatnonzero(digits().train.labels < 2)
    examples = digits().train.select(two)
    mask = np.ones((1, len(two)), bool)
    models = SklearnClassifier(name).train(examples, 2, mask, [0], 0, Execution())
    logits = models.logits(digits().test.images)
    decision = models.estimators[0].decision_function(pixels("test"))
    assert logits.shape == (1, 50, 2)
    assert (decision > 0).any()
    assert (decision < 0).any()
    inside = np.abs(decision) < -np.log(LOWEST_PROBABILITY) - 1
    np.testing.assert_allclose((logits[0, :, 1] - logits[0, :, 0])[inside], decision[inside], atol=1e-3)
    assert inside.sum() > 5


@pytest.mark.parametrize("name", ["GaussianNB", "RidgeClassifier"])
def test_a_class_that_a_subset_misses_has_the_lowest_logits(name: str) -> None:
    """And the columns of the other classes are still their own."""
    without = masks().copy()
    without[0] &= digits().train.labels != 4
    logits = trained(SklearnClassifier(name), without).logits(digits().test.images)
    models = trained(SklearnClassifier(name), without)
    assert models.estimators[0].classes_.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    direct = models.estimators[0]
    own = direct.predict_log_proba if name == "GaussianNB" else direct.decision_function
    scores = own(pixels("test"))
    np.testing.assert_allclose(np.delete(logits[0], 4, axis=1), scores, rtol=1e-5, atol=1e-5)
    lowest = scores.min(1).clip(max=np.log(LOWEST_PROBABILITY)) if name == "GaussianNB" else np.log(LOWEST_PROBABILITY)
    np.testing.assert_allclose(logits[0, :, 4], lowest, rtol=1e-6)
    assert (logits[0].min(1) == logits[0, :, 4]).all()
    assert (logits[0].argmax(1) != 4).all()
    assert (logits[1].argmax(1) == 4).any(), "the other model knows the class"


def test_a_subset_of_one_class_gives_it_every_probability() -> None:
    only = (digits().train.labels == 7)[None]
    logits = trained(SklearnClassifier("GaussianNB"), only).logits(digits().test.images)
    assert (logits[0].argmax(1) == 7).all()
    np.testing.assert_allclose(logits[0, :, 7], 0, atol=1e-6)


def test_seed_and_number_make_a_model() -> None:
    algorithm = SklearnClassifier("DecisionTreeClassifier", {"max_features": 4})
    images, mask = digits().test.images, np.repeat(masks()[:1], 2, 0)
    once = trained(algorithm, mask).logits(images)
    np.testing.assert_array_equal(trained(algorithm, mask).logits(images), once)
    assert not np.array_equal(once[0], once[1]), "two numbers, one mask"
    assert not np.array_equal(trained(algorithm, mask, seed=4).logits(images)[0], once[0])
    alone = algorithm.train(digits().train, 10, mask[1:], MODELS[1:], 3, Execution(stack=1))
    np.testing.assert_array_equal(alone.logits(images)[0], once[1])


def test_a_random_state_that_is_given_is_kept() -> None:
    algorithm = SklearnClassifier("DecisionTreeClassifier", {"max_features": 4, "random_state": 11})
    mask = np.repeat(masks()[:1], 2, 0)
    logits = trained(algorithm, mask).logits(digits().test.images)
    np.testing.assert_array_equal(logits[0], logits[1])
    direct = DecisionTreeClassifier(max_features=4, random_state=11)
    direct.fit(pixels("train")[mask[0]], digits().train.labels[mask[0]])
    np.testing.assert_array_equal(logits[0].argmax(1), direct.predict_proba(pixels("test")).argmax(1))


def test_the_contract_is_fulfilled() -> None:
    algorithm = SklearnClassifier("GaussianNB")
    assert isinstance(algorithm, Algorithm)
    assert ALGORITHMS.get("sklearn") is SklearnClassifier
    models = trained(algorithm, masks())
    assert isinstance(models, TrainedModels)
    assert models.weights() == {}
    algorithm.check((8, 8, 1), 10)
    with pytest.raises(ConfigError, match="stored weights") as caught:
        algorithm.load({"w": np.zeros((1, 2))}, (8, 8, 1), 10, Execution())
    assert caught.value.key == "algorithm.kind"


@pytest.mark.parametrize("name", ["Perceptronn", "LinearRegression", "os.system", ""])
def test_a_classifier_that_there_is_not(name: str) -> None:
    with pytest.raises(ConfigError, match="a classifier of scikit-learn .*LogisticRegression") as caught:
        SklearnClassifier(name)
    assert (caught.value.key, caught.value.got) == ("recipe.classifier", name)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("GaussianNB", {"C": 1.0}, "unexpected keyword argument 'C'"),
        ("LogisticRegression", {"C": -1.0}, "'C' parameter of LogisticRegression must be"),
        ("LogisticRegression", {"solver": "magic"}, "'solver' parameter of LogisticRegression must be"),
        ("RandomForestClassifier", {"n_estimators": "many"}, "'n_estimators' parameter"),
        ("VotingClassifier", {}, "estimators"),
    ],
)
def test_parameters_that_do_not_fit(name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        SklearnClassifier(name, parameters)
    assert (caught.value.key, caught.value.got) == ("recipe.parameters", parameters)
