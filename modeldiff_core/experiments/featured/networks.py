"""Networks of one recipe on replicates of a data set: trained together, with checkpoints, and kept."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from modeldiff_core.data.featured import Featured, FeaturedData
from modeldiff_core.experiments.featured.data import featured_of, float_data
from modeldiff_core.identity import generator
from modeldiff_core.plan import Array, Checkpoint, Cost, Label, RecordedFailure, Step, Tensors
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.training.float_stacks import FloatData, FloatRecipe, float_logits, train_floats

FOLDER = "features"
VERSION = 1
EVERY = 1000
"""Steps from one checkpoint to the next."""


@dataclass(frozen=True)
class Trained:
    """Networks of one recipe: `ensemble` of them on each of `seeds` replicates of the data.

    dataset: replicate r has the data of its seed plus r. fingerprint: of what files give of it. hidden: features that
    are randomized in the training examples, so that networks can learn the others alone.
    """

    dataset: DatasetConfig
    fingerprint: str
    recipe: FloatRecipe
    seeds: int
    ensemble: int = 1
    hidden: tuple[str, ...] = ()
    version: int = VERSION

    @property
    def product(self) -> Tensors:
        """The networks' weights in the store."""
        return Tensors.of(FOLDER, "networks", self, Array("replicate", {"networks": self.seeds * self.ensemble}))

    @property
    def replicates(self) -> list[int]:
        """The replicate of each network."""
        return [at // self.ensemble for at in range(self.seeds * self.ensemble)]

    def step(self, name: str) -> Step:
        """Return the step that trains them."""
        product, networks = self.product, self.seeds * self.ensemble
        attack = 1 if self.recipe.attack is None else 1 + self.recipe.attack.steps
        seconds = 1e-3 * self.recipe.steps * networks * attack
        label, scratch = Label("networks", "train", unit="networks"), Checkpoint.of(product).prefix
        cost = Cost(seconds, units=networks)
        return Step(name, product, train_networks, self, label=label, cost=cost, scratch=scratch)

    def weights(self, store: ObjectStore) -> dict[str, Float[np.ndarray, "networks ..."]]:
        """Return the stored weights; raises FileNotFoundError before they are there."""
        return {name: value for name, value in self.product.read(store).items() if name != "replicate"}


def hidden_from(data: FeaturedData, names: tuple[str, ...], seed: int) -> Featured:
    """Return the training examples with some features randomized, together."""
    order = generator("hidden", seed, *names).permutation(len(data.train))
    return data.train.randomized(names, order)


def train_networks(store: ObjectStore, spec: Trained) -> None:
    """Train the networks from their last checkpoint on; raises RecordedFailure if one of them diverges."""
    product, by_replicate = spec.product, list[FloatData]()
    for replicate in range(spec.seeds):
        train, _ = float_data(spec.dataset, replicate)
        if spec.hidden:
            shown = hidden_from(featured_of(spec.dataset, replicate), spec.hidden, replicate)
            train = FloatData(shown.inputs(), shown.labels, train.classes, train.box)
        by_replicate.append(train)
    checkpoint, seeds = Checkpoint.of(product), range(spec.seeds * spec.ensemble)

    def save(step: int, state: Mapping[str, np.ndarray]) -> None:
        checkpoint.save(store, step, dict(state))

    data = [by_replicate[replicate] for replicate in spec.replicates]
    weights = train_floats(spec.recipe, data, list(seeds), checkpoint.load(store), (EVERY, save))
    diverged = [seed for seed in seeds if not all(np.isfinite(value[seed]).all() for value in weights.values())]
    if diverged:
        raise RecordedFailure(f"networks {', '.join(map(str, diverged))} diverged", {"networks": diverged})
    product.write(store, {**weights, "replicate": np.array(spec.replicates, np.int64)})


class Ensembles:
    """Trained networks that answer for their replicate: the mean of the logits of its ensemble."""

    def __init__(
        self, spec: Trained, weights: Mapping[str, Float[np.ndarray, "networks ..."]], shown: FloatData
    ) -> None:
        self.spec, self.weights = spec, weights
        self.stack = spec.recipe.stack(shown.shape, shown.classes)

    def of(self, replicate: int) -> dict[str, Float[np.ndarray, "ensemble ..."]]:
        """Return the weights of a replicate's networks."""
        rows = slice(replicate * self.spec.ensemble, (replicate + 1) * self.spec.ensemble)
        return {name: value[rows] for name, value in self.weights.items()}

    def logits(self, replicate: int, inputs: np.ndarray) -> Float[np.ndarray, "examples classes"]:
        """Return a replicate's logits on inputs."""
        return np.asarray(float_logits(self.stack, self.of(replicate), [inputs]).mean(0))
