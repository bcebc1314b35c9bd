"""Examples whose features are known by name: each can be randomized, and what it tells of the label is known.

An example is made of features: values by the feature's name, and a rule that draws the input of a network from them.
To randomize features is to permute their values over the examples, jointly, and to draw the inputs again: the values
of each feature stay what they are, and so does how the permuted features go together. Only what ties them to the label
and to the other features is broken (arXiv 2006.07710, section 3).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.data.examples import Dataset
from modeldiff_core.errors import ConfigError

Values = Mapping[str, np.ndarray]
"""Values [examples, ...] of each feature."""
Inputs = Float[np.ndarray, "examples height width channels"]
Where = Bool[np.ndarray, "examples height width channels"]


@dataclass(frozen=True)
class Featured:
    """Examples that are made of features.

    values: of each feature, by its name. labels: class indices. draw: makes the inputs of the examples from values.
    where: says which pixels of each input a feature decides; None where it decides all of them a little.
    rotation: the orthogonal matrix W of inputs = coordinates · W, where there is one; the coordinates of a feature are
    `columns` of it.
    """

    values: Values
    labels: Int[np.ndarray, " examples"]
    draw: Callable[[Values], Inputs]
    where: Callable[[Values, str], Where] | None = None
    rotation: Float[np.ndarray, "features features"] | None = None
    columns: Mapping[str, slice] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def inputs(self) -> Inputs:
        """Return the inputs of a network, float32."""
        return self.draw(self.values).astype(np.float32)

    def randomized(self, names: Collection[str], order: Int[np.ndarray, " examples"]) -> "Featured":
        """Return the examples with the values of these features taken from the examples at `order`, jointly.

        Labels and all other features stay. Raises ConfigError for a name that no feature has.
        """
        self.check(names)
        values = {name: value[order] if name in names else value for name, value in self.values.items()}
        return replace(self, values=values)

    def pixels(self, name: str) -> Where:
        """Return which pixels of each input the feature decides; raises ConfigError where it has no place."""
        self.check([name])
        if self.where is None:
            raise ConfigError("dataset", "examples whose features have a place in the image", name)
        return self.where(self.values, name)

    def check(self, names: Collection[str], key: str = "features") -> None:
        """Raise ConfigError for a name that no feature has."""
        for name in names:
            if name not in self.values:
                raise ConfigError(key, f"one of {', '.join(self.values)}", name)


@dataclass(frozen=True)
class FeaturedData:
    """A training and a test set of examples that are made of the same features.

    complexity: of each feature, 1 for one that a single threshold reads off, 0 for one that says nothing of the label.
    bayes: the accuracy of the best classifier that is shown these features and no others.
    """

    train: Featured
    test: Featured
    classes: tuple[str, ...]
    complexity: Mapping[str, int]
    bayes: Callable[[frozenset[str]], float]

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        return tuple(self.train.values)

    def bayes_accuracy(self, names: Collection[str]) -> float:
        """Return the accuracy of the best classifier that is shown these features and no others."""
        self.test.check(names)
        return self.bayes(frozenset(names))


@runtime_checkable
class FeaturedSource(Protocol):
    """A dataset's source that knows the features of its examples."""

    def featured(self) -> FeaturedData:
        """Return the examples as features, of which ``load`` gives the images."""
        ...

    def load(self) -> Dataset:
        """Return the examples as images of bytes, with a column of metadata for each feature's class if it has one."""
        ...
