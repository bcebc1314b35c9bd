"""How large an attack has to be to turn half of the correct predictions wrong, with each set of features held fixed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from modeldiff_core.experiments.featured.data import featured_of, float_data
from modeldiff_core.experiments.featured.groups import FeatureSet
from modeldiff_core.experiments.featured.networks import FOLDER, Ensembles, Trained
from modeldiff_core.experiments.simplicity.measures import Target
from modeldiff_core.plan import Cost, Label, Record, Reference, Step, refer
from modeldiff_core.plan.products import read_digested
from modeldiff_core.store import ObjectStore, write_record
from modeldiff_core.training.attacks import Attack

VERSION = 1
OCTAVES, HALVINGS = 4, 7
"""The norm is sought from the attack's epsilon over 2^OCTAVES to epsilon times as much, and this often halved in
between, so that it is told within a factor of 2^(2·OCTAVES/2^HALVINGS) = 1.04."""
WAYS = "each", "universal"


@dataclass(frozen=True)
class Needed:
    """Norms that an attack needs on the first test examples of each replicate."""

    trained: Trained
    sets: tuple[FeatureSet, ...]
    attack: Attack
    examples: int
    version: int = VERSION

    @property
    def reference(self) -> Reference:
        """Where the record is."""
        return refer(FOLDER, "needed", self, record="{key}.json")

    def step(self, name: str) -> Step:
        """Return the step that seeks them."""
        label = Label("norms", "seek", unit="cells")
        seconds = 0.2 * self.trained.seeds * (2 + HALVINGS) * (1 + len(self.sets))
        needs = (self.trained.product.reference,)
        return Step(name, Record(self.reference), seek, self, needs, label, Cost(seconds))

    def read(self, store: ObjectStore) -> list[dict[str, Any]]:
        """Return norms for each replicate, None beyond the largest; raises FileNotFoundError before they are there."""
        found: list[dict[str, Any]] = read_digested(store, self.reference)["replicates"]
        return found


def smallest(accuracy: Callable[[float], float], epsilon: float, enough: float) -> float | None:
    """Return the smallest norm at which an accuracy is at most `enough`, None if it is above it at the largest.

    Accuracy is taken to fall with the norm. A norm below the smallest that is tried is given as that.
    """
    low, high = float(-OCTAVES), float(OCTAVES)
    if accuracy(epsilon * 2.0**high) > enough:
        return None
    if accuracy(epsilon * 2.0**low) <= enough:
        return float(epsilon * 2.0**low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if accuracy(epsilon * 2.0**middle) <= enough else (middle, high)
    return float(epsilon * 2.0**high)


def seek(store: ObjectStore, spec: Needed) -> None:
    """Write the norms at which accuracy is half of what it is without an attack, by way and by what is held."""
    weights, found = spec.trained.weights(store), []
    held: dict[str, tuple[str, ...]] = {"": (), **{one.name: one.features for one in spec.sets}}
    for replicate in range(spec.trained.seeds):
        _, test = float_data(spec.trained.dataset, replicate)
        networks = Ensembles(spec.trained, weights, test)
        part = featured_of(spec.trained.dataset, replicate).test
        target = Target(spec.trained, networks, part, replicate, spec.examples)
        enough = target.accuracy(target.inputs) / 2
        norms = {name: _norms(target, spec.attack, features, enough) for name, features in held.items()}
        found.append(norms)
    write_record(store, spec.reference.record, {"digest": spec.reference.digest, "replicates": found})


def _norms(target: Target, attack: Attack, held: tuple[str, ...], enough: float) -> dict[str, float | None]:
    def each(epsilon: float) -> float:
        return target.each(replace(attack, epsilon=epsilon), held)

    def common(epsilon: float) -> float:
        return target.common(replace(attack, epsilon=epsilon), held)[0]

    return {way: smallest(of, attack.epsilon, enough) for way, of in zip(WAYS, (each, common), strict=True)}
