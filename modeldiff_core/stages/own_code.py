"""Results in a store that were computed by other code of a user's own than the one that is there now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.plan import Plan
from modeldiff_core.stages.effects import Effect
from modeldiff_core.stages.trainings import TrainingSpec
from modeldiff_core.store import ObjectStore, TensorObject, read_record, read_tensors, write_record, write_tensors

ACCEPT = "runner.accept_code"
WAYS_OUT = (
    "Compute again: raise a field `version` of the class, which is part of its key, or take another store.root. "
    f"Keep what is there, if the change decides no number: {ACCEPT}=true, once"
)


@dataclass(frozen=True)
class Made:
    """A result that code of a user's own decides. key: of the configuration. now: the code that is there now."""

    key: str
    result: TrainingSpec | Effect
    now: Mapping[str, Any]

    def then(self, store: ObjectStore) -> Mapping[str, Any] | None:
        """Return the code that the stored result was made with, empty if it does not say; None without a result."""
        try:
            record = self.result.reference.record
            if isinstance(self.result, TrainingSpec):
                return _code(read_record(store, record))
            return _code(read_tensors(store, record).facts)
        except (FileNotFoundError, DamagedObject):  # what is damaged is made again
            return None

    def keep(self, store: ObjectStore) -> None:
        """Write that the stored result holds for the code that is there now."""
        record = self.result.reference.record
        if isinstance(self.result, TrainingSpec):
            write_record(store, record, {**read_record(store, record), "code": self.now})
            return
        stored = read_tensors(store, record)
        write_tensors(
            store, record, TensorObject(stored.arrays, stored.identity, {**stored.facts, "code": dict(self.now)})
        )


def check_code(plan: Plan, store: ObjectStore, accept: bool = False) -> list[str]:
    """Raise ConfigError for results of another code, unless they are accepted; return warnings, of other libraries.

    Results that do not say what code made them, as those of earlier versions, are named in a warning. Nothing is
    written: see `note_code`.
    """
    warnings = []
    for made in own_code(plan, store):
        then = made.then(store)
        if then is None or accept:
            continue
        place = store.url(made.result.reference.record)
        if not then and "source" in made.now:
            warnings.append(f"{made.key}: {place} does not say which code it was computed by")
        elif then and then.get("source") != made.now.get("source"):
            raise ConfigError(
                made.key,
                f"the code that computed {place} (source {str(then.get('source'))[:8]})",
                f"other code in {', '.join(made.now['modules'])} (source {made.now['source'][:8]})",
                WAYS_OUT,
            )
        elif then and (changed := _changed(then.get("libraries", {}), made.now["libraries"])):
            warnings.append(f"{made.key}: {place} was computed with {changed}")
    return warnings


def note_code(plan: Plan, store: ObjectStore, accept: bool = False) -> None:
    """Write which code trains, before anything is trained by it, and, if accepted, that stored results hold for it."""
    for made in own_code(plan, store):
        then = made.then(store)
        if then is None and isinstance(made.result, TrainingSpec):
            write_record(store, made.result.reference.record, made.result.training.record())
        elif then is not None and then != made.now and (accept or not then):
            made.keep(store)


def own_code(plan: Plan, store: ObjectStore) -> list[Made]:
    """Return the results of a plan, as far as it is known, that code of a user's own decides; trainings first."""
    results = [s.spec for w in plan.waves(store) for s in w.steps if isinstance(s.spec, TrainingSpec | Effect)]
    found: dict[str, Made] = {}
    for spec in sorted(results, key=lambda spec: isinstance(spec, Effect)):
        if isinstance(spec, TrainingSpec):
            key, code = f"{spec.training.key}.kind", spec.training.code
        else:
            key, code = f"transformations.{spec.test.name}", spec.code
        if code:
            found.setdefault(spec.reference.record, Made(key, spec, code))
    return list(found.values())


def _code(content: Mapping[str, Any]) -> Mapping[str, Any]:
    found = content.get("code", {})
    return found if isinstance(found, Mapping) else {}


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = sorted(then.keys() | now.keys())
    return ", ".join(
        f"{name} {then.get(name, 'none')} (now {now.get(name, 'none')})"
        for name in names
        if then.get(name) != now.get(name)
    )
