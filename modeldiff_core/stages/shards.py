"""Stage: make one shard of responses."""

from collections.abc import Sequence
from dataclasses import dataclass

from modeldiff_core.errors import DamagedObject
from modeldiff_core.plan import Cost, Label, Step
from modeldiff_core.responses import Responses, shards_of
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution


@dataclass(frozen=True)
class ShardSpec:
    """The shard of that index."""

    responses: Responses
    index: int


def make_shard(store: ObjectStore, spec: ShardSpec, execution: Execution) -> None:
    """Compute the rows of one shard and store them, unless they are there and intact.

    A worker that died after its last line, or another run, may have finished the shard since it was found missing.
    """
    try:
        spec.responses.product(spec.index).check(store)
    except (FileNotFoundError, DamagedObject):
        spec.responses.make(store, spec.index, execution)


def shard_steps(
    responses: Responses, rows: int, words: str, label: Label, seconds_a_row: float = 1.0
) -> tuple[Step, ...]:
    """Return the steps of all shards of the first rows.

    Args:
        responses: What the rows are.
        rows: How many of them are wanted; the last shard is made in full.
        words: What a shard is called, such as "digits A subsets": " shard 3" follows.
        label: Words for people about all of them.
        seconds_a_row: Predicted time of an average row.

    """
    size = responses.shard_size
    return tuple(
        Step(
            f"{words} shard {index}",
            responses.product(index),
            make_shard,
            ShardSpec(responses, index),
            label=label,
            cost=Cost(seconds_a_row * sum(_costs(responses, index)), units=size),
            on_device=True,
            memoized=False,
        )
        for index in range(shards_of(rows, size))
    )


def _costs(responses: Responses, index: int) -> Sequence[float]:
    return responses.design.costs(responses.rows(index))
