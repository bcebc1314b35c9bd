"""What is measured of trained networks: accuracy and AUC as the features are, randomised, and under attack."""

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
    """Measure every replicate on test examples of its own, with features randomised within them."""
    weights, found = spec.trained.weights(store), []
    for replicate in range(spec.trained.seeds):
        train, test = float_data(spec.trained.dataset, replicate)
        networks = Ensembles(spec.trained, weights, test)
        data = featured_of(spec.trained.dataset, replicate)
        found.append(
            {
                "train_accuracy": metrics(networks.logits(replicate, train.inputs), train.labels)["accuracy"],
                **_randomised(spec, networks, data, replicate),
                "attacked": {
                    name: _under_attack(spec, networks, data.test, replicate, attack)
                    for name, attack in spec.attacked.attacks.items()
                },
            }
        )
    write_record(store, spec.reference.record, {"digest": spec.reference.digest, "replicates": found})


def _randomised(spec: Measured, networks: Ensembles, data: FeaturedData, replicate: int) -> dict[str, Any]:
    """Return measures with nothing, each set, all but each set, and everything randomised."""

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


def _under_attack(
    spec: Measured, networks: Ensembles, part: Featured, replicate: int, attack: Attack
) -> dict[str, Any]:
    """Return accuracies under an attack on each example and under one perturbation for all, with each set held."""
    rows = slice(0, spec.attacked.examples)
    _, test = float_data(spec.trained.dataset, replicate)
    inputs = torch.from_numpy(test.inputs[rows])[None]
    labels = torch.from_numpy(test.labels[rows])
    weights = {name: torch.from_numpy(np.array(value)) for name, value in networks.of(replicate).items()}
    models = len(next(iter(weights.values())))

    def logits(x: Tensor) -> Tensor:
        return networks.stack.logits(weights, x.expand(models, *x.shape[1:])).mean(0)

    def loss(x: Tensor) -> Tensor:
        return F.cross_entropy(logits(x), labels, reduction="sum")

    def accuracy(x: Tensor) -> float:
        return float((logits(x).argmax(1) == labels).float().mean())

    def both(features: tuple[str, ...]) -> tuple[dict[str, float], Tensor]:
        within = Within(test.box, holding(part, features, rows) if features else None)
        moved = universal(loss, inputs, attack, within)
        found = {
            "each": accuracy(perturbed(loss, inputs, attack, within)),
            "universal": accuracy(within.applied(inputs, moved)),
        }
        return found, moved[0, 0]

    found, moved = both(())
    return {
        **found,
        "share": {one.name: share_of(part, one.features, moved.numpy()) for one in spec.sets},
        "fixed": {one.name: both(one.features)[0] for one in spec.sets},
    }
