"""Stage: gather the shards of responses into one matrix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import digest
from modeldiff_core.plan import Cost, Label, Reference, Step, refer
from modeldiff_core.responses import Responses, shards_of
from modeldiff_core.responses.products import Matrix
from modeldiff_core.store import ObjectStore, Shard, read_shards, shard_key, write_matrix

VERSION = 3


@dataclass(frozen=True)
class MatrixSpec:
    """The matrix of the first `rows` rows."""

    responses: Responses
    rows: int

    @property
    def reference(self) -> Reference:
        """Where it is."""
        return matrix_reference(self.responses.home, self.responses.identity, self.rows)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        responses = self.responses
        sizes = self.rows, responses.design.units, responses.targets
        shards = tuple(responses.reference(i) for i in range(shards_of(self.rows, responses.shard_size)))
        seconds = 1e-9 * self.rows * (sizes[1] + 4 * sizes[2])
        makes = Matrix(self.reference, responses.identity, sizes)
        return Step(name, makes, gather, self, shards, label, Cost(seconds), memoized=False)


def matrix_reference(home: str, identity: Mapping[str, Any], rows: int) -> Reference:
    """Return where the matrix of responses stands that are known by their folder and identity alone."""
    return refer(home, "margins", {"version": VERSION, "training": digest(identity), "models": rows})


def gather(store: ObjectStore, spec: MatrixSpec) -> None:
    """Write the matrix.

    Raises:
        DamagedObject: That names every damaged shard; none of them is ever averaged in.

    """
    responses = spec.responses
    damaged: dict[str, str] = {}

    def intact() -> Iterator[Shard]:
        indices = range(shards_of(spec.rows, responses.shard_size))
        for index, found in read_shards(store, responses.folder, indices, responses.identity):
            if not isinstance(found, Shard):
                damaged[shard_key(responses.folder, index)] = str(found)
            elif not damaged:
                yield found

    try:
        write_matrix(
            store, spec.reference.key, intact(), spec.rows, responses.design.units, responses.targets,
            {"training": responses.identity},
        )  # fmt: skip
    except DamagedObject as error:
        if not damaged:
            raise
        raise DamagedObject("; ".join(damaged.values()), keys=tuple(damaged)) from error
    if damaged:
        raise DamagedObject("; ".join(damaged.values()), keys=tuple(damaged))
