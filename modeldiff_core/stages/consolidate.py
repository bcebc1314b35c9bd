"""Stage: gather the shards of a training into one matrix."""

from collections.abc import Iterator
from typing import Any

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import digest
from modeldiff_core.stages.references import Reference, open_store, refer
from modeldiff_core.store import Shard, read_shards, shard_key, write_matrix
from modeldiff_core.study import Training, shards_of

VERSION = 3


def matrix_reference(spec: Training, models: int) -> Reference:
    """Where the matrix of the first `models` models stands."""
    return matrix_at(spec.prefix, spec.identity, models)


def matrix_at(prefix: str, identity: dict[str, Any], models: int) -> Reference:
    """Where the matrix of a training stands that is known by its folder and identity alone."""
    return refer(prefix, "margins", {"version": VERSION, "training": digest(identity), "models": models})


def consolidate(store: dict[str, Any], training: dict[str, Any], models: int) -> dict[str, Any]:
    """Write the matrix, or remove the shards that turn out damaged and name them in ``damaged``.

    A damaged shard is never averaged in: it has to be trained again, and the stage run again.
    """
    spec, objects = Training.from_json(training), open_store(store)
    reference = matrix_reference(spec, models)
    damaged: dict[int, str] = {}

    def intact() -> Iterator[Shard]:
        indices = range(shards_of(models, spec.shard_size))
        for index, found in read_shards(objects, spec.subsets, indices, spec.identity):
            if not isinstance(found, Shard):
                damaged[index] = str(found)
            elif not damaged:
                yield found

    n_train = len(spec.load().train)
    try:
        write_matrix(objects, reference.key, intact(), models, n_train, spec.targets, {"training": spec.identity})
    except DamagedObject:
        if not damaged:
            raise
    for index in damaged:
        objects.delete(shard_key(spec.subsets, index))
    return {**reference.to_json(), "damaged": {str(index): why for index, why in damaged.items()}}
