"""scikit-learn's classifiers as learning algorithms: ``kind: sklearn``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, UInt8

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator, plain
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.sklearn_logits import LOWEST_PROBABILITY, VERSION, is_later, logits_of
from modeldiff_core.training.unstored import Unstored, UnstoredModels

AGREEMENT = 0.9
"""Share of training examples of which the largest logit has to be that of the predicted class."""
CHECKED = 200
"""Training examples that this is looked at."""


@cache
def _classifiers() -> dict[str, type[Any]]:
    from sklearn.utils import all_estimators

    classifiers = dict(all_estimators(type_filter="classifier"))
    return {n: c for n, c in classifiers.items() if hasattr(c, "predict_proba") or hasattr(c, "decision_function")}


@dataclass(frozen=True)
class SklearnModels(UnstoredModels):
    """Fitted estimators, one per model; logits of classes that a model never saw are the lowest possible."""

    estimators: tuple[Any, ...]
    n_classes: int

    def logits(
        self, images: UInt8[np.ndarray, "targets height width channels"]
    ) -> Float[np.ndarray, "models targets classes"]:
        """Return the logits of ``sklearn_logits.logits_of``, for every class."""
        pixels = _features(images)
        out = np.full((len(self.estimators), len(images), self.n_classes), np.log(LOWEST_PROBABILITY), np.float32)
        for row, estimator in enumerate(self.estimators):
            scores = logits_of(estimator, pixels)
            if is_later(estimator):  # whose logits may be lower than that
                out[row] = np.minimum(out[row], scores.min(axis=1, keepdims=True))
            out[row][:, estimator.classes_] = scores
        return out


@dataclass(frozen=True)
class SklearnClassifier(Unstored):
    """A classifier of scikit-learn, on pixels scaled to 0..1 in one row.

    Attributes:
        classifier: Name of its class.
        parameters: Arguments of its constructor; `random_state`, if it is one and not given, is drawn from
            (seed, model).
    """

    kind: ClassVar[str] = "sklearn"
    classifier: str = "LogisticRegression"
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = _classifiers()
        if self.classifier not in known:
            raise ConfigError(
                "recipe.classifier", f"a classifier of scikit-learn ({', '.join(sorted(known))})", self.classifier
            )
        try:
            self._make(0)
        except TypeError as error:
            raise ConfigError(
                "recipe.parameters", f"parameters of {self.classifier}", dict(self.parameters), str(error)
            ) from error
        check = getattr(self._make(0), "_validate_params", None)
        if check is not None:
            try:
                check()
            except ValueError as error:
                raise ConfigError(
                    "recipe.parameters", f"parameters of {self.classifier}", dict(self.parameters), str(error)
                ) from error

    def _make(self, state: int) -> Any:
        cls = _classifiers()[self.classifier]
        estimator = cls(**self.parameters)
        if "random_state" in estimator.get_params() and "random_state" not in self.parameters:
            estimator.set_params(random_state=state)
        return estimator

    def identity(self) -> dict[str, object]:
        """Return the settings that decide the numbers, and the version of logits where those of the first misled."""
        fields = plain(self)
        assert isinstance(fields, dict)
        return {**fields, "logits": VERSION} if is_later(self._make(0)) else fields

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Accept all images, since pixels are features; raise ConfigError for scores of pairs of classes."""
        estimator = self._make(0)
        one_to_one = estimator.get_params().get("decision_function_shape") == "ovo"
        if one_to_one and n_classes > 2 and not hasattr(estimator, "predict_proba"):
            raise ConfigError(
                "recipe.parameters.decision_function_shape",
                "ovr",
                "ovo",
                "Columns of ovo are pairs of classes, not classes; predictions are the same",
            )

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> SklearnModels:
        """Fit one estimator per mask."""
        pixels = _features(examples.images)
        fitted: list[Any] = []
        for mask, model in zip(masks, models, strict=True):
            estimator = self._make(int(generator("initialisation", seed, int(model)).integers(2**31)))
            fitted.append(estimator.fit(pixels[mask], examples.labels[mask]))
        if fitted:
            self._check_logits(fitted[0], pixels[masks[0]][:CHECKED])
        return SklearnModels(tuple(fitted), n_classes)

    def _check_logits(self, estimator: Any, pixels: Float[np.ndarray, "n features"]) -> None:
        """Raise ConfigError for logits whose columns are not the classes, or whose largest is not the prediction."""
        scores, classes = logits_of(estimator, pixels), estimator.classes_
        if scores.shape[1] != len(classes):
            raise ConfigError(
                "recipe.classifier",
                f"a score for each of the {len(classes)} classes",
                f"{self.classifier} with {scores.shape[1]} of them",
            )
        agreed = float((classes[scores.argmax(axis=1)] == estimator.predict(pixels)).mean())
        if agreed < AGREEMENT:
            raise ConfigError(
                "recipe.classifier",
                "scores of which the largest is that of the predicted class, on the training examples",
                f"{self.classifier}, for which that is so of {agreed:.0%} of {len(pixels)}",
            )


def _features(images: UInt8[np.ndarray, "n height width channels"]) -> Float[np.ndarray, "n features"]:
    return images.reshape(len(images), -1).astype(np.float32) / 255
