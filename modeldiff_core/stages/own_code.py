"""Stored results that were computed by a version of a user's own code other than the current one.

The stored result of a training, and that of the effect of a transformation, says what code made it. For other results a
note does, one for all that have a digest in common (the shards of responses, the blocks of datamodels), written before
the first of them is made.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.plan import Plan, Step, Wave
from modeldiff_core.plan.listing import Listing
from modeldiff_core.plan.plan import state_of
from modeldiff_core.stages.effects import Effect
from modeldiff_core.stages.own_parts import own_parts
from modeldiff_core.stages.trainings import TrainingSpec
from modeldiff_core.store import ObjectStore, TensorObject, read_record, read_tensors, write_record, write_tensors
from modeldiff_core.study.code import code_of

FOLDER = "code"
"""The folder of the notes."""
ACCEPT = "runner.accept_code"
WAYS_OUT = (
    "Compute again: raise a field `version` of the class, which is part of its key, or take another store.root. "
    f"Keep what is there, if the change decides no number: {ACCEPT}=true, once"
)
FUNCTION_WAYS_OUT = (
    "Compute again: Algorithm(train=..., version='2') (recipe.version), which is part of its key, or another store. "
    f"Keep what is there, if the change decides no number: accept_code=True ({ACCEPT}=true), once"
)


class Made(ABC):
    """A result that code of a user's own decides. key: of the configuration. now: the code that is there now."""

    key: str
    now: Mapping[str, Any]

    @property
    @abstractmethod
    def record(self) -> str:
        """The key of the object that the result is named by."""

    @abstractmethod
    def then(self, store: ObjectStore) -> Mapping[str, Any] | None:
        """Return the code that the stored result was made with, empty if it does not say; None without a result."""

    @abstractmethod
    def keep(self, store: ObjectStore) -> None:
        """Write that the stored result holds for the code that is there now."""

    @abstractmethod
    def begin(self, store: ObjectStore) -> None:
        """Write, where there is no result yet, which code will make it."""


@dataclass(frozen=True)
class Trained(Made):
    """A training, whose record says what trains."""

    key: str
    result: TrainingSpec
    now: Mapping[str, Any]

    @property
    def record(self) -> str:
        return self.result.reference.record

    def then(self, store: ObjectStore) -> Mapping[str, Any] | None:
        try:
            return _code(read_record(store, self.record))
        except (FileNotFoundError, DamagedObject):  # what is damaged is made again
            return None

    def keep(self, store: ObjectStore) -> None:
        write_record(store, self.record, {**read_record(store, self.record), "code": self.now})

    def begin(self, store: ObjectStore) -> None:
        write_record(store, self.record, self.result.training.record())


@dataclass(frozen=True)
class Measured(Made):
    """The effect of a transformation, whose facts say what changed the images."""

    key: str
    result: Effect
    now: Mapping[str, Any]

    @property
    def record(self) -> str:
        return self.result.reference.record

    def then(self, store: ObjectStore) -> Mapping[str, Any] | None:
        try:
            return _code(read_tensors(store, self.record).facts)
        except (FileNotFoundError, DamagedObject):
            return None

    def keep(self, store: ObjectStore) -> None:
        stored = read_tensors(store, self.record)
        facts = {**stored.facts, "code": dict(self.now)}
        write_tensors(store, self.record, TensorObject(stored.arrays, stored.identity, facts))

    def begin(self, store: ObjectStore) -> None:
        """Write nothing: the stage does, with the result."""


@dataclass(frozen=True)
class Noted(Made):
    """Results of one digest, of which a note says what code makes them. keys: what the store holds."""

    key: str
    steps: tuple[Step, ...]
    now: Mapping[str, Any]
    keys: Listing

    @property
    def record(self) -> str:
        return self.steps[0].reference.record

    @cached_property
    def note(self) -> str:
        """The key of the note."""
        return f"{FOLDER}/{self.steps[0].reference.digest[:32]}.json"

    def then(self, store: ObjectStore) -> Mapping[str, Any] | None:
        if not any(state_of(store, self.keys, step).state in ("done", "failed") for step in self.steps):
            return None
        try:
            return _code(read_record(store, self.note))
        except (FileNotFoundError, DamagedObject):
            return {}

    def keep(self, store: ObjectStore) -> None:
        write_record(store, self.note, {"result": self.record, "code": self.now})

    def begin(self, store: ObjectStore) -> None:
        self.keep(store)


@dataclass(frozen=True)
class Changed:
    """A stored result that was computed by other code, or by other versions of libraries, or does not say by which."""

    made: Made
    place: str
    then: Mapping[str, Any]

    @property
    def other_code(self) -> bool:
        """Whether its own code is another, by its digest."""
        return bool(self.then) and self.then.get("source") != self.made.now.get("source")

    def error(self) -> ConfigError:
        """Return why nothing can be added to it."""
        then, now = self.then.get("parts"), self.made.now.get("parts")
        parts = _differing(then, now) if then and now else ""  # functions and classes whose lines are others
        return ConfigError(
            self.made.key,
            f"the code that computed {self.place} (source {str(self.then.get('source'))[:8]})",
            f"other code in {parts or ', '.join(self.made.now['modules'])} (source {self.made.now['source'][:8]})",
            FUNCTION_WAYS_OUT if parts else WAYS_OUT,
        )

    def words(self) -> str:
        """Return a sentence without an end."""
        if self.other_code:
            return str(self.error())
        if not self.then:
            return f"{self.made.key}: {self.place} does not say which code it was computed by"
        libraries = _differing(self.then.get("libraries", {}), self.made.now["libraries"])
        return f"{self.made.key}: {self.place} was computed with {libraries}"


def changed_code(plan: Plan, store: ObjectStore, keys: Listing | None = None) -> Iterator[Changed]:
    """Yield the stored results of a plan whose code is not the one that is there now, or is not known.

    keys: what the store holds, where that is known already.
    """
    for made in own_code(plan, store, keys):
        then = made.then(store)
        if then is None:
            continue
        found = Changed(made, store.url(made.record), then)
        if not then:
            if "source" in made.now:
                yield found
        elif found.other_code or _differing(then.get("libraries", {}), made.now["libraries"]):
            yield found


def check_code(plan: Plan, store: ObjectStore, accept: bool = False) -> list[str]:
    """Raise ConfigError for results of another code, unless they are accepted; return warnings, of other libraries.

    Results that do not say what code made them, as those of earlier versions, are named in a warning. Nothing is
    written: see `note_code`.
    """
    if accept:
        return []
    warnings = []
    for found in changed_code(plan, store):
        if found.other_code:
            raise found.error()
        warnings.append(found.words())
    return warnings


def note_code(plan: Plan, store: ObjectStore, accept: bool = False) -> "NotedPlan":
    """Write which code trains, before anything is trained by it, and, if accepted, that stored results hold for it.

    Returns:
        The plan, which writes the notes of later waves before they are carried out.

    """
    for made in own_code(plan, store):
        _note(made, store, accept)
    return NotedPlan(plan)


@dataclass(frozen=True)
class NotedPlan:
    """A plan that notes the code of a user's own as its waves become known."""

    plan: Plan

    @property
    def folders(self) -> tuple[str, ...]:
        return self.plan.folders

    @property
    def shared(self) -> tuple[str, ...]:
        return self.plan.shared

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        for wave in self.plan.waves(store):
            for made in _noted(wave.steps, Listing(store, (*self.folders, *self.shared))):
                _note(made, store)
            yield wave


def own_code(plan: Plan, store: ObjectStore, keys: Listing | None = None) -> list[Made]:
    """Return the results of a plan, as far as it is known, that code of a user's own decides; trainings first.

    keys: what the store holds, where that is known already.
    """
    steps = [step for wave in plan.waves(store) for step in wave.steps]
    found: dict[str, Made] = {}
    for step in sorted(steps, key=lambda step: isinstance(step.spec, Effect)):
        spec = step.spec
        if isinstance(spec, TrainingSpec) and spec.training.code:
            found.setdefault(spec.reference.record, Trained(f"{spec.training.key}.kind", spec, spec.training.code))
        elif isinstance(spec, Effect) and spec.code:
            found.setdefault(spec.reference.record, Measured(f"transformations.{spec.test.name}", spec, spec.code))
    if keys is None:
        keys = Listing(store, (*plan.folders, *plan.shared))
    return [*found.values(), *_noted(steps, keys)]


def _noted(steps: Sequence[Step], keys: Listing) -> list[Made]:
    """Return the results of steps whose code a note tells, by their digests."""
    groups: dict[str, list[Step]] = {}
    for step in steps:
        if not step.adopted and not isinstance(step.spec, TrainingSpec | Effect):
            groups.setdefault(step.reference.digest, []).append(step)
    made: list[Made] = []
    for some in groups.values():
        first = {(step.stage, type(step.spec)): step for step in some}  # the others differ in numbers alone
        parts = [part for step in first.values() for part in own_parts(step).items()]
        if parts:
            code = code_of(*(one for _, several in parts for one in several))
            made.append(Noted(parts[0][0], tuple(some), code, keys))
    return made


def _note(made: Made, store: ObjectStore, accept: bool = False) -> None:
    then = made.then(store)
    if then is None:
        made.begin(store)
    elif then != made.now and (accept or not then):
        made.keep(store)


def _code(content: Mapping[str, Any]) -> Mapping[str, Any]:
    found = content.get("code", {})
    return found if isinstance(found, Mapping) else {}


def _differing(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = sorted(then.keys() | now.keys())
    return ", ".join(
        f"{name} {then.get(name, 'none')[:12]} (now {now.get(name, 'none')[:12]})"
        for name in names
        if then.get(name) != now.get(name)
    )
