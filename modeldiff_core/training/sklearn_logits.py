"""Logits of scikit-learn's classifiers, one column for each of their classes.

Logarithms of probabilities say little where these are 0 or 1 of a count: a leaf of one class, five neighbors that
agree. All margins are then the same clip. So counts are smoothed before the logarithm (Laplace's rule of succession;
Provost & Domingos 2003 for trees), which changes no prediction, and naive Bayes, whose probabilities round to 0 and 1,
gives its logarithms itself.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

LOWEST_PROBABILITY = 1e-6
"""Probabilities that are neither counts nor given as logarithms are clipped from below before theirs are taken."""
VERSION = 2
"""Raised by hand when logits of counts or of naive Bayes change; others are those of the first version."""

Scores = Float[np.ndarray, "images known"]


def logits_of(estimator: Any, pixels: Float[np.ndarray, "images features"]) -> Scores:
    """Return logits of the classes that an estimator knows, in the order of its `classes_`.

    Logarithms of smoothed shares for trees (of a leaf's examples), forests (of trees) and nearest neighbors;
    `predict_log_proba` of naive Bayes; ln of a clipped `predict_proba` of others that have one, else
    `decision_function` (of two classes ∓ half the decision).
    """
    if is_tree(estimator):
        return np.asarray(np.log(_tree_shares(estimator, pixels)))
    if is_forest(estimator):
        return np.asarray(np.log(smoothed(estimator.predict_proba(pixels), float(len(estimator.estimators_)))))
    if is_neighbors(estimator):
        return np.asarray(np.log(smoothed(estimator.predict_proba(pixels), float(estimator.n_neighbors))))
    if is_naive_bayes(estimator):
        return np.asarray(estimator.predict_log_proba(pixels))
    if hasattr(estimator, "predict_proba"):
        return np.asarray(np.log(np.clip(estimator.predict_proba(pixels), LOWEST_PROBABILITY, None)))
    scores = np.asarray(estimator.decision_function(pixels))
    return np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores


def smoothed(shares: Scores, counts: float | Float[np.ndarray, " images"]) -> Scores:
    """Return (n·p + 1)/(n + K) of shares p of n that fell into K classes."""
    n = np.broadcast_to(np.asarray(counts, np.float64), len(shares))[:, None]
    return np.asarray((n * shares + 1) / (n + shares.shape[1]))


def is_counting(classifier: type[Any]) -> bool:
    """Return whether logits of a class of estimators are those of VERSION rather than of the first version."""
    from sklearn.ensemble._forest import ForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    counting = (DecisionTreeClassifier, ForestClassifier, KNeighborsClassifier)
    return issubclass(classifier, counting) or classifier.__module__.startswith("sklearn.naive_bayes")


def is_tree(estimator: Any) -> bool:
    """Return whether it is one decision tree."""
    from sklearn.tree import DecisionTreeClassifier

    return isinstance(estimator, DecisionTreeClassifier)


def is_forest(estimator: Any) -> bool:
    """Return whether it is a forest of decision trees."""
    from sklearn.ensemble._forest import ForestClassifier

    return isinstance(estimator, ForestClassifier)


def is_neighbors(estimator: Any) -> bool:
    """Return whether it counts a number of nearest neighbors."""
    from sklearn.neighbors import KNeighborsClassifier

    return isinstance(estimator, KNeighborsClassifier)


def is_naive_bayes(estimator: Any) -> bool:
    """Return whether it is naive Bayes of any kind."""
    return type(estimator).__module__.startswith("sklearn.naive_bayes")


def _tree_shares(tree: Any, pixels: Float[np.ndarray, "images features"]) -> Scores:
    """Return the smoothed shares of the classes in the leaf of each image."""
    leaves = tree.apply(pixels)
    return smoothed(tree.predict_proba(pixels), tree.tree_.weighted_n_node_samples[leaves])
