"""Logits of scikit-learn's classifiers, one column for each of their classes.

Logarithms of probabilities say little where these are 0 or 1 of a count: a leaf of one class, five neighbors that
agree. All margins are then the same clip. So counts are smoothed before the logarithm (Laplace's rule of succession;
Provost & Domingos 2003 for trees), which changes no prediction, and estimators that give logarithms themselves are
asked for them: probabilities of naive Bayes and of discriminant analysis round to 0 and 1. Logistic regression keeps
the clip that it had in the first version, so that keys and numbers of its studies stay: it matters where a class is
less likely than one in a million.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

LOWEST_PROBABILITY = 1e-6
"""Probabilities that are neither counts nor given as logarithms are clipped from below before theirs are taken."""
VERSION = 2
"""Raised by hand when logits change that are not those of the first version; see ``is_later``."""

Scores = Float[np.ndarray, "images known"]
Rows = Any
"""What an estimator takes: an array [images, features] of floats, a sparse one, or a data frame."""


def logits_of(estimator: Any, pixels: Rows) -> Scores:
    """Return logits of the classes that an estimator knows, in the order of its `classes_`.

    Logarithms of smoothed shares for trees (of a leaf's examples), forests and bags (of their members) and nearest
    neighbors; `predict_log_proba` of others that have one but for logistic regression; ln of a clipped `predict_proba`
    of those that have only that, else `decision_function` (of two classes ∓ half the decision).
    """
    if is_tree(estimator):
        return np.asarray(np.log(_tree_shares(estimator, pixels)))
    if is_ensemble(estimator):
        return np.asarray(np.log(smoothed(estimator.predict_proba(pixels), float(len(estimator.estimators_)))))
    if is_neighbors(estimator):
        return np.asarray(np.log(smoothed(estimator.predict_proba(pixels), float(estimator.n_neighbors))))
    if gives_logarithms(estimator):
        return _finite(estimator, pixels)
    if hasattr(estimator, "predict_proba"):
        return np.asarray(np.log(np.clip(estimator.predict_proba(pixels), LOWEST_PROBABILITY, None)))
    scores = np.asarray(estimator.decision_function(pixels))
    return np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores


def smoothed(shares: Scores, counts: float | Float[np.ndarray, " images"]) -> Scores:
    """Return (n·p + 1)/(n + K) of shares p of n that fell into K classes."""
    n = np.broadcast_to(np.asarray(counts, np.float64), len(shares))[:, None]
    return np.asarray((n * shares + 1) / (n + shares.shape[1]))


def is_later(estimator: Any) -> bool:
    """Return whether logits of an estimator, fitted or not, are those of VERSION rather than of the first version."""
    kinds = is_tree, is_ensemble, is_neighbors, gives_logarithms
    return any(kind(estimator) for kind in kinds)


def is_tree(estimator: Any) -> bool:
    """Return whether it is one decision tree."""
    from sklearn.tree import DecisionTreeClassifier

    return isinstance(estimator, DecisionTreeClassifier)


def is_ensemble(estimator: Any) -> bool:
    """Return whether it is a forest of decision trees, or a bag of any estimators."""
    from sklearn.ensemble import BaggingClassifier
    from sklearn.ensemble._forest import ForestClassifier

    return isinstance(estimator, ForestClassifier | BaggingClassifier)


def is_neighbors(estimator: Any) -> bool:
    """Return whether it counts a number of nearest neighbors."""
    from sklearn.neighbors import KNeighborsClassifier

    return isinstance(estimator, KNeighborsClassifier)


def gives_logarithms(estimator: Any) -> bool:
    """Return whether it is asked for logarithms of its probabilities: if it has them, but for logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return hasattr(estimator, "predict_log_proba") and type(estimator) is not LogisticRegression


def _finite(estimator: Any, pixels: Rows) -> Scores:
    """Return logarithms of probabilities; those of 0 are the image's least, and at most ln LOWEST_PROBABILITY."""
    with np.errstate(divide="ignore"):
        found = np.asarray(estimator.predict_log_proba(pixels), np.float64)
    least = np.where(np.isfinite(found), found, np.inf).min(axis=1, keepdims=True)
    return np.where(np.isfinite(found), found, np.minimum(least, np.log(LOWEST_PROBABILITY)))


def _tree_shares(tree: Any, pixels: Rows) -> Scores:
    """Return the smoothed shares of the classes in the leaf of each image."""
    leaves = tree.apply(pixels)
    return smoothed(tree.predict_proba(pixels), tree.tree_.weighted_n_node_samples[leaves])
