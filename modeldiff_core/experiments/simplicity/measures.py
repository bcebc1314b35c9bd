"""What is measured of trained networks: accuracy and AUC as the features are, randomized, and under attack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import log_softmax
from torch import Tensor
from torch.nn import functional as F

from modeldiff_core.data.featured import Featured, FeaturedData
from modeldiff_core.experiments.featured.data import featured_of, float_data
from modeldiff_core.experiments.featured.groups import FeatureSet, holding, rest_of, share_of
from modeldiff_core.experiments.featured.networks import FOLDER, Ensembles, Trained
from modeldiff_core.identity import generator
from modeldiff_core.plan import Cost, Label, Record, Reference, Step, refer
from modeldiff_core.plan.products import read_digested
from modeldiff_core.store import ObjectStore, write_record
from modeldiff_core.training.attacks import Attack, Within, perturbed, universal

VERSION = 1
METRICS = "accuracy", "roc_auc", "pr_auc", "loss"


@dataclass(frozen=True)
class Attacked:
    """Attacks on trained networks, by name, on the first `examples` test examples."""

    attacks: Mapping[str, Attack] = field(default_factory=dict)
    examples: int = 1000


@dataclass(frozen=True)
class Measured:
    """Measures of networks."""

    trained: Trained
    sets: tuple[FeatureSet, ...]
    attacked: Attacked
    version: int = VERSION

    @property
    def reference(self) -> Reference:
        """Where the record is."""
        return refer(FOLDER, "measures", self, record="{key}.json")

    def step(self, name: str) -> Step:
        """Return the step that measures."""
        needs = (self.trained.product.reference,)
        label = Label("measures", "measure", unit="cells")
        seconds = 0.5 * self.trained.seeds * (1 + len(self.attacked.attacks) * (1 + len(self.sets)))
        return Step(name, Record(self.reference), measure, self, needs, label, Cost(seconds))

    def read(self, store: ObjectStore) -> list[dict[str, Any]]:
        """Return what was measured, for each replicate; raises FileNotFoundError before it is there."""
        found: list[dict[str, Any]] = read_digested(store, self.reference)["replicates"]
        return found


def metrics(logits: Float[np.ndarray, "examples classes"], labels: Int[np.ndarray, " examples"]) -> dict[str, float]:
    """Return accuracy, areas under both curves, and mean cross-entropy.

    roc_auc: area under the ROC curve of the difference of the logits; pr_auc: area under precision against recall, as
    average precision. With more than two classes: the mean over classes, each against the others by its logit less
    the largest of theirs.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    classes = logits.shape[1]
    curves = []
    for label in [1] if classes == 2 else range(classes):
        others = np.delete(logits, label, axis=1).max(1)
        score, positive = logits[:, label] - others, labels == label
        if positive.any() and not positive.all():
            curves.append((roc_auc_score(positive, score), average_precision_score(positive, score)))
    roc, precision = np.mean(curves, axis=0) if curves else (0.5, 0.5)
    loss = -log_softmax(logits.astype(float), axis=1)[np.arange(len(labels)), labels].mean()
    accuracy = (logits.argmax(1) == labels).mean()
    return dict(zip(METRICS, map(float, (accuracy, roc, precision, loss)), strict=True))


def measure(store: ObjectStore, spec: Measured) -> None:
    """Measure every replicate on test examples of its own, with features randomized within them."""
    weights, found = spec.trained.weights(store), []
    for replicate in range(spec.trained.seeds):
        train, test = float_data(spec.trained.dataset, replicate)
        networks = Ensembles(spec.trained, weights, test)
        data = featured_of(spec.trained.dataset, replicate)
        found.append(
            {
                "train_accuracy": metrics(networks.logits(replicate, train.inputs), train.labels)["accuracy"],
                **_randomized(spec, networks, data, replicate),
                "attacked": {
                    name: _under_attack(spec, networks, data.test, replicate, attack)
                    for name, attack in spec.attacked.attacks.items()
                },
            }
        )
    write_record(store, spec.reference.record, {"digest": spec.reference.digest, "replicates": found})


def _randomized(spec: Measured, networks: Ensembles, data: FeaturedData, replicate: int) -> dict[str, Any]:
    """Return measures with nothing, each set, all but each set, and everything randomized."""

    def of(names: Sequence[str], what: str) -> dict[str, float]:
        order = generator("randomised", replicate, what).permutation(len(data.test))
        shown = data.test.randomized(names, order) if names else data.test
        return metrics(networks.logits(replicate, shown.inputs()), shown.labels)

    return {
        "standard": of((), ""),
        "randomised": {one.name: of(one.features, f"set {one.name}") for one in spec.sets},
        "rest": {one.name: of(rest_of(data, one.features), f"rest of {one.name}") for one in spec.sets},
        "all": of(data.features, "all"),
    }


class Target:
    """The first test examples of a replicate, its networks with their logits averaged, and attacks on them."""

    def __init__(self, trained: Trained, networks: Ensembles, part: Featured, replicate: int, examples: int) -> None:
        self.rows, self.part, self.stack = slice(0, examples), part, networks.stack
        _, test = float_data(trained.dataset, replicate)
        self.box = test.box
        self.inputs = torch.from_numpy(test.inputs[self.rows])[None]
        self.labels = torch.from_numpy(test.labels[self.rows])
        self.weights = {name: torch.from_numpy(np.array(value)) for name, value in networks.of(replicate).items()}
        self.models = len(next(iter(self.weights.values())))

    def logits(self, x: Tensor) -> Tensor:
        """Return the mean logits of inputs [1, examples, ...]."""
        return self.stack.logits(self.weights, x.expand(self.models, *x.shape[1:])).mean(0)

    def loss(self, x: Tensor) -> Tensor:
        """Return the sum of the cross-entropies."""
        return F.cross_entropy(self.logits(x), self.labels, reduction="sum")

    def accuracy(self, x: Tensor) -> float:
        """Return the share of the examples that are told right."""
        return float((self.logits(x).argmax(1) == self.labels).float().mean())

    def within(self, held: tuple[str, ...]) -> Within:
        """Return which perturbations there are with some features held."""
        return Within(self.box, holding(self.part, held, self.rows) if held else None)

    def each(self, attack: Attack, held: tuple[str, ...]) -> float:
        """Return the accuracy under a perturbation of each example."""
        return self.accuracy(perturbed(self.loss, self.inputs, attack, self.within(held)))

    def common(self, attack: Attack, held: tuple[str, ...]) -> tuple[float, Tensor]:
        """Return the accuracy under one perturbation for all, and the perturbation."""
        moved = universal(self.loss, self.inputs, attack, self.within(held))
        return self.accuracy(self.within(held).applied(self.inputs, moved)), moved[0, 0]


def _under_attack(
    spec: Measured, networks: Ensembles, part: Featured, replicate: int, attack: Attack
) -> dict[str, Any]:
    """Return accuracies under an attack on each example and under one perturbation for all, with each set held."""
    target = Target(spec.trained, networks, part, replicate, spec.attacked.examples)

    def both(held: tuple[str, ...]) -> tuple[dict[str, float], Tensor]:
        common, moved = target.common(attack, held)
        return {"each": target.each(attack, held), "universal": common}, moved

    found, moved = both(())
    return {
        **found,
        "share": {one.name: share_of(part, one.features, moved.numpy()) for one in spec.sets},
        "fixed": {one.name: both(one.features)[0] for one in spec.sets},
    }
