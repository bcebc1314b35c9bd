"""Where the largest attributions of trained networks lie."""

from dataclasses import dataclass

import numpy as np

from modeldiff_core.experiments.featured.data import featured_of, float_data
from modeldiff_core.experiments.featured.explain import attributed
from modeldiff_core.experiments.featured.networks import FOLDER, Ensembles, Trained
from modeldiff_core.plan import Array, Cost, Label, Step, Tensors
from modeldiff_core.store import ObjectStore
from modeldiff_core.training.input_attributions import ranked

VERSION = 1
PICTURES = 4
"""Examples of the first replicate whose attributions are kept."""


@dataclass(frozen=True)
class Leaked:
    """An attribution of networks, measured on the first test examples of each replicate.

    signal: the feature that tells the class. k: share of the values that are looked at.
    """

    trained: Trained
    method: str
    signal: str
    k: float
    examples: int
    version: int = VERSION

    @property
    def product(self) -> Tensors:
        """Shares and accuracies of each replicate, and some pictures."""
        seeds = {"seeds": self.trained.seeds}
        names = "outside", "first", "last", "accuracy"
        return Tensors.of(FOLDER, "leakage", self, *(Array(name, seeds) for name in names))

    def step(self, name: str) -> Step:
        """Return the step that measures."""
        label = Label("attributions", "attribute", unit="cells")
        needs = (self.trained.product.reference,)
        return Step(name, self.product, find_leaks, self, needs, label, Cost(0.5 * self.trained.seeds))


def find_leaks(store: ObjectStore, spec: Leaked) -> None:
    """Write where the attributions of each replicate's examples lie.

    outside: the mean share of the k highest values that lie outside the signal's. first, last: the share of examples
    whose highest, whose lowest value is the signal's. accuracy: of the networks on all test examples.
    """
    weights, found, pictures = spec.trained.weights(store), [], dict[str, np.ndarray]()
    for replicate in range(spec.trained.seeds):
        _, test = float_data(spec.trained.dataset, replicate)
        part = featured_of(spec.trained.dataset, replicate).test
        networks, rows = Ensembles(spec.trained, weights, test), slice(0, spec.examples)
        network = networks.stack, networks.of(replicate)
        scores = attributed(network, spec.method, test.inputs[rows], test.labels[rows], (replicate,))
        order = ranked(scores.reshape(len(scores), -1), (replicate, spec.method))
        own = part.pixels(spec.signal)[rows].reshape(len(scores), -1)
        told = np.take_along_axis(own, order, 1)
        top = kept_values(spec.k, order.shape[1])
        accuracy = float((networks.logits(replicate, test.inputs).argmax(1) == test.labels).mean())
        found.append((1 - told[:, :top].mean(), told[:, 0].mean(), told[:, -1].mean(), accuracy))
        if not replicate:
            pictures = {"images": test.inputs[:PICTURES], "scores": scores[:PICTURES]}
    names = "outside", "first", "last", "accuracy"
    columns = np.array(found, float).T
    spec.product.write(store, {**dict(zip(names, columns.copy(), strict=True)), **pictures})


def kept_values(k: float, values: int) -> int:
    """Return how many of so many values a share is: at least one, and at most all but one."""
    return min(max(1, round(k * values)), values - 1)
