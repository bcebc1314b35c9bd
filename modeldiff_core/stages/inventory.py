"""What a store holds of a comparison: shards done and missing, and which results are complete."""

from collections.abc import Collection
from dataclasses import dataclass

from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.consolidate import matrix_reference
from modeldiff_core.stages.curve import Curve
from modeldiff_core.stages.directions import FOLDER
from modeldiff_core.stages.references import Reference
from modeldiff_core.stages.score import score_reference
from modeldiff_core.store import Listed, ObjectStore, shard_key
from modeldiff_core.study import Training, shards_of


@dataclass(frozen=True)
class ShardSet:
    """Shards of one kind of one training. label: a or b; kind: subsets or ensemble."""

    label: str
    kind: str
    training: Training
    wanted: int
    done: frozenset[int]

    @property
    def models_in_shard(self) -> int:
        """Models trained together."""
        return self.training.shard_size if self.kind == "subsets" else self.training.ensemble_shard_size

    @property
    def missing(self) -> list[int]:
        """Indices still to be trained, in order."""
        return [index for index in range(self.wanted) if index not in self.done]


def held(store: ObjectStore, comparison: Comparison) -> dict[str, Listed]:
    """Everything under the trainings and the comparisons by its key, by one listing of each folder."""
    folders = {training.prefix for training in comparison.trainings} | {FOLDER}
    return {key: listed for folder in folders for key, listed in store.listing(folder).items()}


def shard_sets(store: ObjectStore, comparison: Comparison) -> list[ShardSet]:
    """Four sets of shards (subsets and ensemble, A and B), found by one listing of each training's shards."""
    folders = {folder for training in comparison.trainings for folder in (training.subsets, training.ensemble)}
    return shard_sets_among({key for folder in folders for key in store.sizes(f"{folder}/shards")}, comparison)


def shard_sets_among(keys: Collection[str], comparison: Comparison) -> list[ShardSet]:
    """The four sets of shards, from keys that were listed before."""
    study = comparison.study
    sets = []
    for label, training in zip("ab", comparison.trainings, strict=True):
        for kind, folder, wanted in (
            ("subsets", training.subsets, shards_of(study.subsets.models, training.shard_size)),
            ("ensemble", training.ensemble, shards_of(study.ensemble.models, training.ensemble_shard_size)),
        ):
            found = frozenset(index for index in range(wanted) if shard_key(folder, index) in keys)
            sets.append(ShardSet(label, kind, training, wanted, found))
    return sets


def results(comparison: Comparison) -> dict[str, Reference]:
    """Every result downstream of the shards, by what a person would call it."""
    study, pair = comparison.study, comparison.pair
    named: dict[str, Reference] = {}
    for label, training in zip("ab", comparison.trainings, strict=True):
        named[f"{label} learning curve"] = Curve.of(study, training).point(study.subsets.models)
        named[f"{label} margins"] = matrix_reference(training, study.subsets.models)
    for (label, part), regression in comparison.regressions().items():
        named[f"{label} datamodels, {part}"] = regression.reference
    for (label, kind), (training, regression) in comparison.scored().items():
        name = f"{label} scores" if kind == study.regression.estimator else f"{label} scores, {kind}"
        named[name] = score_reference(training, regression, study.ensemble.models)
    named["directions"] = pair.directions
    for block in comparison.null_blocks:
        named[f"null block {block}"] = pair.null_block(block)
    for a, b in comparison.effects():
        named[f"a effect of {a.test.name}"] = a.reference
        named[f"b effect of {b.test.name}"] = b.reference
    return named
