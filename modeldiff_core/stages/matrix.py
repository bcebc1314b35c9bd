"""Stage: gather the shards of responses into one matrix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import digest
from modeldiff_core.plan import Cost, Label, Reference, Step, refer
from modeldiff_core.responses import Responses, shards_of
from modeldiff_core.responses.products import Matrix
from modeldiff_core.stages.screening import ScreeningOf, screen_matrix
from modeldiff_core.store import MarginMatrix, ObjectStore, Shard, read_shards, shard_key, write_arrays, write_record

VERSION = 3


@dataclass(frozen=True)
class MatrixSpec:
    """The matrix of the first `rows` rows.

    screening: how rows are screened that are models with margins; None for other rows, which may differ as they like.
    """

    responses: Responses
    rows: int
    screening: ScreeningOf | None = None

    @property
    def reference(self) -> Reference:
        """Where it is."""
        chosen = {} if self.screening is None else self.screening.asked.choices()
        return matrix_reference(self.responses.home, self.responses.identity, self.rows, chosen)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        responses = self.responses
        sizes = self.rows, responses.design.units, responses.targets
        shards = tuple(responses.reference(i) for i in range(shards_of(self.rows, responses.shard_size)))
        seconds = 1e-9 * self.rows * (sizes[1] + 4 * sizes[2])
        makes = Matrix(self.reference, responses.identity, sizes)
        return Step(name, makes, gather, self, shards, label, Cost(seconds), memoized=False)


def matrix_reference(
    home: str, identity: Mapping[str, Any], rows: int, choices: Mapping[str, str] | None = None
) -> Reference:
    """Return where the matrix of responses is stored, given their folder and identity alone.

    choices: of a screening, but for the usual ones.
    """
    chosen = {"screening": dict(choices)} if choices else {}
    return refer(home, "margins", {"version": VERSION, "training": digest(identity), "models": rows, **chosen})


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
        record = write_arrays(
            store,
            spec.reference.key,
            intact(),
            spec.rows,
            responses.design.units,
            responses.targets,
            {"training": responses.identity},
        )
    except DamagedObject as error:
        if not damaged:
            raise
        raise DamagedObject("; ".join(damaged.values()), keys=tuple(damaged)) from error
    if damaged:
        raise DamagedObject("; ".join(damaged.values()), keys=tuple(damaged))
    if spec.screening is not None:
        matrix = MarginMatrix(store, spec.reference.key, record)
        record |= screen_matrix(matrix, spec.screening)
    write_record(store, spec.reference.record, record)
