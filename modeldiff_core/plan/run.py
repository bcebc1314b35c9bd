"""Running a plan: what the store lacks is made, wave by wave; a damaged object is made again by its own step."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from modeldiff_core.errors import DamagedObject, ModelDiffError
from modeldiff_core.plan.deadline import deadline
from modeldiff_core.plan.listing import Listing
from modeldiff_core.plan.perform import perform
from modeldiff_core.plan.plan import Known, Plan, state_of
from modeldiff_core.plan.progress import Advance, NoProgress, Progress, Tally
from modeldiff_core.plan.reference import Reference
from modeldiff_core.plan.step import Step, Wave
from modeldiff_core.store import ObjectStore
from modeldiff_core.threads import on_one_thread

REPAIRS = 3
"""How often one object may turn out damaged before the run gives up."""


class RunFailed(ModelDiffError):
    """Some steps failed for good; the message names them."""


@dataclass
class Outcome:
    """What became of some steps: the errors of those that failed, and the reasons of recorded failures, by name."""

    failures: dict[str, BaseException] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)


@runtime_checkable
class Submit(Protocol):
    """Carries out steps that do not depend on each other."""

    def __call__(self, wave: Wave, steps: Sequence[Step], done: Advance, complete: Sequence[Step] = ()) -> Outcome:
        """Carry out all the steps, whichever of them fail.

        Args:
            wave: The wave that they belong to.
            steps: The steps that are missing, the longest first.
            done: Called with each that succeeded.
            complete: Steps that are complete and may be shown as such.

        """
        ...


class InProcess:
    """Carries out steps one after the other in this process, on one thread as workers do, which gives the same bits.

    Args:
        store: Where results are kept.
        execution: The device and how to use it, for steps on a device.

    """

    def __init__(self, store: ObjectStore, execution: object | None = None) -> None:
        self.store, self.execution = store, execution

    def __call__(self, wave: Wave, steps: Sequence[Step], done: Advance, complete: Sequence[Step] = ()) -> Outcome:
        outcome = Outcome()
        for step in steps:
            try:
                with on_one_thread(), deadline(step.limit):
                    result = perform(self.store, step.work(), self.execution)
            except (ModelDiffError, OSError, ArithmeticError, LookupError, TypeError, ValueError) as error:
                outcome.failures[step.name] = error
            else:
                if "failure" in result:
                    outcome.recorded[step.name] = result["failure"]
                done(step)
        return outcome


def run(plan: Plan, store: ObjectStore, submit: Submit, progress: Progress | None = None) -> None:
    """Make everything of a plan that the store lacks.

    The longest steps of a wave start first. A step that fails stops only those that need its result. An object that
    turns out damaged, whichever step reads it, is deleted and made again by the step that makes it, at most REPAIRS
    times.

    Args:
        plan: The plan.
        store: Where its results are kept.
        submit: What carries out the steps of a wave, ``InProcess`` or a window over workers.
        progress: Told what is done and of repairs.

    Raises:
        RunFailed: For steps that failed for good, by name.

    """
    repaired: Counter[str] = Counter()
    progress = progress or NoProgress()
    while damage := _walk(plan, store, submit, progress):
        for key, (step, why) in damage.items():
            repaired[key] += 1
            if repaired[key] > REPAIRS:
                raise RunFailed(f"{store.url(key)} turned out damaged {repaired[key]} times in a row: {why}")
            progress.note(f"{step.name} is made again: {why}")
            for part in step.makes.objects(store, Listing(store, (*plan.folders, *plan.shared))):
                store.delete(part)


Damage = Mapping[str, tuple[Step, str]]
"""Damaged objects by key, with the steps that make them and what is wrong."""


def _walk(plan: Plan, store: ObjectStore, submit: Submit, progress: Progress) -> Damage:
    """Carry out what is missing of every wave; returns early with damage that steps of the plan can mend."""
    keys, seen = Listing(store, (*plan.folders, *plan.shared)), list[Step]()
    failures: dict[str, BaseException] = {}
    unmade: set[Reference] = set()
    skipped = 0
    for wave in plan.waves(store):
        if wave.note:
            progress.note(wave.note)
        if wave.damage and (damage := _damage({wave.title: wave.damage}, seen, store, keys)):
            return damage
        if wave.awaits:
            if not failures:
                raise RunFailed(f"{wave.title}: expected that {wave.awaits}, since every earlier step is complete")
            continue
        seen += wave.steps
        keys.forget()
        known = {step.reference: state_of(store, keys, step) for step in wave.steps}
        barred = {reference for reference, one in known.items() if one.state == "missing" and _barred(one.step, unmade)}
        skipped += len(barred)
        unmade |= barred
        outcome = _carry_out(wave, [one for at, one in known.items() if at not in barred], submit, progress)
        keys.forget()
        if damage := _damage(outcome.failures, seen, store, keys):
            return damage
        failures |= outcome.failures
        unmade |= {step.reference for step in wave.steps if step.name in outcome.failures}
    if failures:
        lines = "\n".join(f"  {name}: {type(error).__name__}: {error}" for name, error in failures.items())
        waiting = f"; {skipped} that need their results were not tried" if skipped else ""
        raise RunFailed(f"{len(failures)} tasks failed{waiting}:\n{lines}")
    return {}


def _barred(step: Step, unmade: set[Reference]) -> bool:
    """Return whether a step needs a result that could not be made."""
    return bool(unmade) and not unmade.isdisjoint(step.needs)


def _carry_out(wave: Wave, known: Sequence[Known], submit: Submit, progress: Progress) -> Outcome:
    """Submit the missing steps of a wave, the longest first."""
    missing = [one.step for one in known if one.state == "missing"]
    before = [one.step for one in known if one.state in ("done", "failed")]
    tally = Tally(wave, before, missing)
    progress.begin(tally)
    complete = [step for step in before if step.memoized]
    if not missing:
        return submit(wave, [], tally.advance, complete) if complete else Outcome()
    missing.sort(key=lambda step: -step.cost.seconds)  # stable: equal ones keep the plan's order
    with progress.wave(tally) as advance:
        outcome = submit(wave, missing, advance, complete)
    for name, reason in outcome.recorded.items():
        progress.note(f"{name} ended without a result, which is recorded: {reason}")
    return outcome


def _damage(
    failures: Mapping[str, BaseException], seen: Sequence[Step], store: ObjectStore, keys: Listing
) -> dict[str, tuple[Step, str]]:
    """Return the damaged objects that failed steps met and that a step of the plan makes."""
    met = {key: str(error) for error in failures.values() if isinstance(error, DamagedObject) for key in error.keys}
    if not met:
        return {}
    makers: dict[str, Step] = {}
    for step in seen:  # a whole names the objects of its parts too, which come before it
        if not step.adopted:
            for key in (step.reference.record, *step.makes.objects(store, keys)):
                makers.setdefault(key, step)
    return {key: (makers[key], why) for key, why in met.items() if key in makers}
