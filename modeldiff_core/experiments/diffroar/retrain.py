"""Networks trained again on masked images, on the same masks without what they keep, and on the masks alone."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeldiff_core.experiments.diffroar.masking import SIDES, WAYS, Fill, Orders, kept_of, masked
from modeldiff_core.experiments.featured.data import featured_of, float_data
from modeldiff_core.experiments.featured.explain import attributed
from modeldiff_core.experiments.featured.networks import FOLDER, Ensembles, Trained
from modeldiff_core.experiments.leakage.measures import kept_values
from modeldiff_core.identity import digest, generator, plain
from modeldiff_core.plan import Cost, Label, Record, RecordedFailure, Reference, Step, refer
from modeldiff_core.plan.products import read_digested
from modeldiff_core.store import ObjectStore, write_record
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.training.float_stacks import FloatData, FloatRecipe, float_logits, train_floats
from modeldiff_core.training.input_attributions import ranked

VERSION = 1
ORACLE, RANDOM = "oracle", "random"


@dataclass(frozen=True)
class Ranking:
    """The order of the values of every image of a replicate.

    method: a registered attribution of the `trained` networks; 'random' needs none; 'oracle' ranks the values of the
    feature `signal` first, in a random order, then all others.
    """

    dataset: DatasetConfig
    fingerprint: str
    method: str
    replicate: int
    trained: Trained | None = None
    signal: str = ""

    def orders(self, store: ObjectStore) -> Orders:
        """Return the orders of the training and of the test images; those of the last rankings are kept in memory."""
        key = digest(plain(self))
        if key not in _kept:
            _kept[key] = self._made(store)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        return _kept[key]

    def _made(self, store: ObjectStore) -> Orders:
        found, data = [], float_data(self.dataset, self.replicate)
        for name, part in zip(("train", "test"), data, strict=True):
            seed = (self.replicate, self.method, name)
            if self.method == RANDOM:
                scores = np.zeros((len(part.labels), int(np.prod(part.shape))))
            elif self.method == ORACLE:
                whole = getattr(featured_of(self.dataset, self.replicate), name)
                scores = whole.pixels(self.signal).reshape(len(part.labels), -1).astype(float)
            else:
                assert self.trained is not None
                networks = Ensembles(self.trained, self.trained.weights(store), part)
                network = networks.stack, networks.of(self.replicate)
                scores = attributed(network, self.method, part.inputs, part.labels, (self.replicate, name))
                scores = scores.reshape(len(scores), -1)
            found.append(ranked(scores, seed).astype(np.int32))
        return found[0], found[1]


KEPT = 2
"""Rankings that are kept in memory, since several steps in a row use the same one."""
_kept: OrderedDict[str, Orders] = OrderedDict()


@dataclass(frozen=True)
class Retrained:
    """Six networks of one recipe and one start: top and bottom k, each in three ways (``masking.masked``)."""

    ranking: Ranking
    k: float
    fill: Fill
    recipe: FloatRecipe
    version: int = VERSION

    @property
    def reference(self) -> Reference:
        """Where the record is."""
        return refer(FOLDER, "retrained", self, record="{key}.json")

    def step(self, name: str) -> Step:
        """Return the step that trains them."""
        trained = self.ranking.trained
        needs = () if trained is None else (trained.product.reference,)
        label = Label("retrained networks", "retrain", unit="networks")
        cost = Cost(1e-3 * self.recipe.steps * 6 + 1, units=6)
        return Step(name, Record(self.reference), retrain, self, needs, label, cost)

    def read(self, store: ObjectStore) -> dict[str, Any]:
        """Return accuracies on masked test images by side and way; raises FileNotFoundError before they are there."""
        found: dict[str, Any] = read_digested(store, self.reference)["accuracy"]
        return found


def retrain(store: ObjectStore, spec: Retrained) -> None:
    """Train on masked training images and write the accuracy on test images that are masked by the same rule."""
    ranking = spec.ranking
    train, test = float_data(ranking.dataset, ranking.replicate)
    accuracy = retrained_accuracy(
        (train, test), ranking.orders(store), spec.k, spec.fill, spec.recipe, ranking.replicate
    )
    write_record(store, spec.reference.record, {"digest": spec.reference.digest, "accuracy": accuracy})


def retrained_accuracy(
    data: tuple[FloatData, FloatData],
    orders: Orders,
    k: float,
    fill: Fill,
    recipe: FloatRecipe,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Return the accuracy of networks that are trained again, by side (top, bottom) and way (kept, replaced, mask).

    Args:
        data: Training and test images.
        orders: The values of each by falling score.
        k: Share of the values that are kept.
        fill: What takes the place of the others.
        recipe: How networks are trained.
        seed: Of the networks, and of what is drawn.

    Raises:
        RecordedFailure: If one of the networks diverges.

    """
    train, test = data
    count = kept_values(k, orders[0].shape[1])
    names, trains, tests = [], list[FloatData](), list[np.ndarray]()
    for side in SIDES:
        parts = []
        for name, part, order in zip(("train", "test"), data, orders, strict=True):
            random = generator("masked", seed, side, name)
            parts.append(masked(part.inputs, kept_of(order, count, side), fill, train.inputs, random))
        for way in WAYS:
            names.append((side, way))
            trains.append(FloatData(parts[0][way], train.labels, train.classes))
            tests.append(parts[1][way])
    weights = train_floats(recipe, trains, [seed] * len(trains))
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise RecordedFailure("a retrained network diverged", {"k": k, "fill": fill.kind})
    logits = float_logits(recipe.stack(train.shape, train.classes), weights, tests)
    right = (logits.argmax(2) == test.labels).mean(1)
    found: dict[str, dict[str, float]] = {side: {} for side in SIDES}
    for (side, way), value in zip(names, right.tolist(), strict=True):
        found[side][way] = value
    return found


def scores_of(accuracy: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return DiffROAR and its correction of one replicate.

    diffroar = acc(top, kept) − acc(bottom, kept). mask = acc(top, mask) − acc(bottom, mask). corrected = [acc(top,
    kept) − acc(top, replaced)] − [acc(bottom, kept) − acc(bottom, replaced)]: what the kept values tell beyond their
    places.
    """
    top, bottom = (accuracy[side] for side in SIDES)
    return {
        "diffroar": top["kept"] - bottom["kept"],
        "mask": top["mask"] - bottom["mask"],
        "corrected": (top["kept"] - top["replaced"]) - (bottom["kept"] - bottom["replaced"]),
    }
