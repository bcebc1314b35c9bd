"""Plans: the steps of an experiment in waves, and which of them the store holds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from modeldiff_core.errors import DamagedObject
from modeldiff_core.plan.failures import failure_key
from modeldiff_core.plan.listing import Listing
from modeldiff_core.plan.step import Step, Wave
from modeldiff_core.store import ObjectStore

State = Literal["done", "missing", "failed", "unneeded"]


@runtime_checkable
class Plan(Protocol):
    """All the work of one experiment."""

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders that hold its results alone, or those of a training: what nothing explains there is a stray."""
        ...

    @property
    def shared(self) -> tuple[str, ...]:
        """Folders that hold its results among those of other studies."""
        ...

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield the waves in order; later ones may depend on what the store holds by then."""
        ...


@dataclass(frozen=True)
class Known:
    """A step and its state in a store.

    done: complete. failed: ended as a recorded failure, which is not tried again. missing: to be made. unneeded: an
    intermediate result that is not there while everything that it serves is complete.
    """

    step: Step
    state: State
    lacking: tuple[str, ...] = ()


def later(title: str, awaits: str, steps: Callable[[], Sequence[Step]], seconds: float | None = None) -> Wave:
    """Return a wave whose steps depend on stored results; without steps as long as those cannot be read.

    Args:
        title: Words for the progress bar.
        awaits: What has to be complete before the steps are known.
        steps: Gives the steps.
        seconds: What they are predicted to take, as long as they are not known; None if it cannot be predicted.

    """
    try:
        return Wave(title, tuple(steps()))
    except FileNotFoundError:
        return Wave(title, (), awaits, seconds=seconds)
    except DamagedObject as error:
        return Wave(title, (), awaits, damage=error, seconds=seconds)


def state_of(store: ObjectStore, keys: Listing, step: Step) -> Known:
    """Return the state of a step, from a listing of what is there."""
    lacking = step.makes.lacking(store, keys)
    if not lacking:
        return Known(step, "done")
    if failure_key(step.reference) in keys:
        return Known(step, "failed")
    if step.serves and not any(product.lacking(store, keys) for product in step.serves):
        return Known(step, "unneeded")
    return Known(step, "missing", lacking)
