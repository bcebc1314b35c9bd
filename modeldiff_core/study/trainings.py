"""A training: one algorithm, one dataset, one subset design. It belongs to no study."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.duplicates import Likeness
from modeldiff_core.designs import Design, FixedSize, GroupedSize, Repeated, Without
from modeldiff_core.identity import digest, plain
from modeldiff_core.identity.canonical import SHORT
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.models import ARCHITECTURES
from modeldiff_core.study.build import algorithm_for, build_algorithm, load_dataset, recipe_identity
from modeldiff_core.study.code import code_of, versions
from modeldiff_core.study.config import AlgorithmConfig, DatasetConfig, EnsembleConfig, StudyConfig, SubsetConfig
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Task
from modeldiff_core.training.functions import FunctionAlgorithm
from modeldiff_core.training.modules import TorchRecipe
from modeldiff_core.training.pipelines import Pipeline
from modeldiff_core.training.settings import Recipe
from modeldiff_core.training.sklearn_classifiers import SklearnClassifier
from modeldiff_core.training.token_networks import TokenNetwork

RECIPE_VERSION = 1
"""Raised by hand when a change of the code changes what training gives."""

UNPAIRED = 1_000_003
"""Added to the subset seed of B in the independent design."""


@dataclass(frozen=True)
class Training:
    """What is trained and where it is stored; the number of models is not part of it.

    fingerprint: of the dataset's values. subset_seed: decides every mask. seeds: models that are trained on each mask.
    groups: what makes training examples a group that masks have whole or not at all.
    """

    dataset: DatasetConfig
    fingerprint: str
    targets: int
    algorithm: AlgorithmConfig
    key: str
    fraction: float
    subset_seed: int
    shard_size: int
    ensemble_shard_size: int
    output: str = "margin"
    seeds: int = 1
    groups: Likeness | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The configuration that decides every number of this training; seeds and groups only where there are any."""
        repeated: dict[str, Any] = {"seeds": self.seeds} if self.seeds > 1 else {}
        if self.groups:
            repeated["groups"] = self.groups
        return {
            "recipe_version": RECIPE_VERSION,
            "dataset": {"kind": self.dataset.kind, "fingerprint": self.fingerprint, "targets": self.targets},
            "algorithm": {
                "kind": self.algorithm.kind,
                "seed": self.algorithm.seed,
                "recipe": recipe_identity(build_algorithm(self.algorithm, self.key)),
            },
            "subsets": {
                "fraction": self.fraction,
                "seed": self.subset_seed,
                "shard_size": self.shard_size,
                **repeated,
            },
            "ensemble": {"shard_size": self.ensemble_shard_size},
            "output": self.output,
        }

    @cached_property
    def digest(self) -> str:
        """Digest of the identity."""
        return digest(self.identity)

    @property
    def prefix(self) -> str:
        """The training's folder in a store."""
        return f"trainings/{self.dataset.kind}.{self.algorithm.kind}-{self.digest[:SHORT]}"

    @property
    def subsets(self) -> str:
        """The folder of its subset shards."""
        return f"{self.prefix}/subsets"

    @property
    def ensemble(self) -> str:
        """The folder of its full-data shards."""
        return f"{self.prefix}/ensemble"

    def task(self) -> Task:
        """Return the data and algorithm, loaded and checked against the fingerprint."""
        data = self.load()
        algorithm = algorithm_for(data, self.algorithm, self.key)
        targets = target_examples(data, self.targets)
        return Task(algorithm, self.algorithm.seed, data.train, targets, data.n_outputs, self.output)

    def load(self) -> Dataset:
        """Return the dataset; raises ConfigError if its values are not those that the study was planned with."""
        from modeldiff_core.errors import ConfigError

        data = load_dataset(self.dataset)
        if data.fingerprint != self.fingerprint:
            raise ConfigError("dataset", f"the examples with fingerprint {self.fingerprint[:8]}", data.fingerprint[:8])
        return data

    def sampler(self, n_train: int) -> SubsetSampler:
        """Return what draws the training's masks."""
        return SubsetSampler(n_train, self.fraction, self.subset_seed, self._members())

    def _members(self) -> tuple[int, ...]:
        """Return the group of each training example; empty where each is its own."""
        return self.load().copies.train_groups(self.groups) if self.groups else ()

    def design(self, n_train: int, removed: tuple[int, ...] = ()) -> Design:
        """Return the mask of every model; removed: training examples that no model has."""
        given = n_train, self.fraction, self.subset_seed
        drawn = GroupedSize(*given, groups=self._members()) if self.groups else FixedSize(*given)
        design = Without(drawn, removed) if removed else drawn
        return Repeated(design, self.seeds) if self.seeds > 1 else design

    def record(self) -> dict[str, Any]:
        """Return the content of training.json: the identity, the words that people used, and the user's own code."""
        code = {"code": self.code} if self.code else {}
        return {
            "identity": self.identity,
            "algorithm_name": self.algorithm.name,
            "dataset": plain(self.dataset.model_dump()),
            **code,
        }

    @cached_property
    def code(self) -> dict[str, Any]:
        """The code of what does not ship of the algorithm, its architecture and the output; part of no key.

        Of classifiers and pipelines of scikit-learn its version.
        """
        algorithm = build_algorithm(self.algorithm, self.key)
        if isinstance(algorithm, FunctionAlgorithm | TokenNetwork | TorchRecipe):
            return algorithm.code()
        parts: list[object] = [algorithm, OUTPUTS.get(self.output)]
        if isinstance(algorithm, Recipe):
            parts.append(ARCHITECTURES.get(algorithm.network.kind))
        if isinstance(algorithm, SklearnClassifier | Pipeline):
            return code_of(*parts) or {"libraries": versions(["sklearn"])}
        return code_of(*parts)


def target_examples(data: Dataset, targets: int) -> Examples:
    """Return the first `targets` test examples."""
    return data.test.first(targets)


def trainings_of(study: StudyConfig, data: Dataset) -> tuple[Training, Training]:
    """Return A's and B's training."""
    targets = len(data.test) if study.targets is None else study.targets
    fingerprint = data.fingerprint
    subsets: SubsetConfig = study.subsets
    ensemble: EnsembleConfig = study.ensemble

    def training(algorithm: AlgorithmConfig, key: str, seed: int) -> Training:
        return Training(
            dataset=study.dataset,
            fingerprint=fingerprint,
            targets=targets,
            algorithm=algorithm,
            key=key,
            fraction=subsets.fraction,
            subset_seed=seed,
            shard_size=subsets.shard_size,
            ensemble_shard_size=ensemble.shard_size,
            output=study.output,
            groups=study.dataset.groups,
            seeds=subsets.seeds,
        )

    seed_b = subsets.seed if subsets.paired else subsets.seed + UNPAIRED
    return (
        training(study.algorithm_a, "algorithm_a", subsets.seed),
        training(study.algorithm_b, "algorithm_b", seed_b),
    )
