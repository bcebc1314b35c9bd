"""A step: one result of an experiment, and everything that is known of how it is made."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import plain, restore
from modeldiff_core.plan.products import Product
from modeldiff_core.plan.reference import Reference
from modeldiff_core.store import ObjectStore

Stage = Callable[..., None]
"""A module-level function ``stage(store, spec)``, or ``stage(store, spec, execution)`` for work on a device.

Its parameter ``spec`` is annotated with the frozen dataclass that it takes, from which a worker restores the value.
"""
Check = Callable[[ObjectStore, Any], None]


@dataclass(frozen=True)
class Cost:
    """Predicted cost of a step.

    Attributes:
        seconds: Processor time on one core or device, for the order of steps and the time left. Only ratios between
            the steps of one plan need to be right.
        memory: Bytes that the step holds at its peak, 0 if unknown.
        units: What the progress bar counts, such as the models of a shard.

    """

    seconds: float = 1.0
    memory: int = 0
    units: int = 1


@dataclass(frozen=True)
class Label:
    """Words for people.

    Attributes:
        group: What steps that are counted together are called, such as "subset shards of A".
        task: The name of the kind of work in Prefect's UI, such as "train".
        tags: Prefect's tags.
        unit: What `Cost.units` counts.

    """

    group: str
    task: str = "step"
    tags: tuple[str, ...] = ()
    unit: str = "tasks"


@dataclass(frozen=True)
class Step:
    """One result: what it makes, by which function, from which value.

    Attributes:
        name: Unique within a plan, for people.
        makes: The result; complete in the store means done.
        stage: The function that makes it.
        spec: Its argument: a frozen dataclass that ``plain`` writes and ``restore`` reads.
        needs: Results that have to be complete before.
        label: Words for people.
        cost: Prediction for scheduling and progress.
        on_device: Whether the stage takes an execution (a device and how to use it).
        serves: Products that this one is an intermediate result of: it is not missed once they are complete.
        memoized: Whether Prefect shows it as a cached task run when it is complete; shards are too many for that.
        limit: Seconds that the stage may take, None for the runner's own limit.
        scratch: Prefix of checkpoints in the middle of the work: resumed from, removed when the result is complete.
        adopted: Whether the result came from outside, so that no run can make it again and nothing deletes it.
        check: What ``verify`` asks of the result besides the product's own checks, None for nothing.

    """

    name: str
    makes: Product
    stage: Stage
    spec: object
    needs: tuple[Reference, ...] = ()
    label: Label = field(default_factory=lambda: Label("results"))
    cost: Cost = Cost()
    on_device: bool = False
    serves: tuple[Product, ...] = ()
    memoized: bool = True
    limit: float | None = None
    scratch: str = ""
    adopted: bool = False
    check: Check | None = None

    @property
    def reference(self) -> Reference:
        """The reference of the result."""
        return self.makes.reference

    def work(self) -> dict[str, Any]:
        """Return the step as plain JSON that ``perform`` carries out in any process."""
        return {
            "stage": f"{self.stage.__module__}:{self.stage.__qualname__}",
            "spec": plain(self.spec),
            "reference": plain(self.reference),
            "scratch": self.scratch,
            "on_device": self.on_device,
        }


@dataclass(frozen=True)
class Wave:
    """Steps that can be carried out at the same time once every earlier wave is complete.

    Attributes:
        title: Words for the progress bar.
        steps: The steps; empty where they are not known yet.
        awaits: What has to be complete before the steps are known; empty if they are known.
        noun: What the steps are called when they are counted.
        verb: What is done with those that are missing.
        note: A sentence for people when the wave begins.
        damage: Why the steps are not known, where that is a damaged object.
        seconds: Predicted seconds of steps that are not known yet; None if it cannot be predicted.

    """

    title: str
    steps: tuple[Step, ...]
    awaits: str = ""
    noun: str = "results"
    verb: str = "make"
    note: str = ""
    damage: DamagedObject | None = None
    seconds: float | None = None


def stage_of(work: Mapping[str, Any]) -> tuple[Stage, object]:
    """Return the function and the argument that ``Step.work`` wrote."""
    module, _, name = work["stage"].partition(":")
    stage: Stage = getattr(importlib.import_module(module), name)
    return stage, restore(get_type_hints(stage)["spec"], work["spec"])
