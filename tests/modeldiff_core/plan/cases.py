"""One step of a finished experiment: what it makes, what needs it, and what a run makes again once it is lost."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.plan import InProcess, Step, Survey, Wave, run, survey
from modeldiff_core.plan.run import Outcome
from modeldiff_core.store import ObjectStore, read_record
from tests.modeldiff_core.stages.studies import EXECUTION

MATRIX = re.compile(r"(margins-\w{8})\.\w{8}\.zarr")
"""Groups of arrays, of which each that is written has a name of its own."""


@dataclass(frozen=True)
class Case:
    """A copy of the finished store, an experiment, and one of its steps."""

    store: ObjectStore
    experiment: Experiment
    step: Step
    before: dict[str, str]

    def own(self) -> list[str]:
        """The objects that this step makes itself, its record first."""
        keys = list(self.store.sizes(""))
        taken: set[str] = set()
        for known in self.survey().steps:
            if known.step.reference == self.step.reference:
                break
            taken |= set(known.step.makes.objects(self.store, keys))
        return [key for key in self.step.makes.objects(self.store, keys) if key not in taken]

    def survey(self) -> Survey:
        return survey(self.experiment, self.store)

    def rerun(self) -> list[Step]:
        """Run the experiment again; gives the steps that were carried out."""
        return carried_out(self.experiment, self.store)

    def dependents(self) -> set[str]:
        """Names of the steps that need this one, directly or by others."""
        found, names = {self.step.reference}, {self.step.name}
        for known in self.survey().steps:
            if not found.isdisjoint(known.step.needs) or known.step.reference in found:
                found.add(known.step.reference)
                names.add(known.step.name)
        return names


def carried_out(experiment: Experiment, store: ObjectStore) -> list[Step]:
    done: list[Step] = []

    class Noted(InProcess):
        def __call__(self, wave: Wave, steps: Any, advance: Any, complete: Any = ()) -> Outcome:
            done.extend(steps)
            return super().__call__(wave, steps, advance)

    run(experiment, store, Noted(store, EXECUTION))
    return done


def bits(store: ObjectStore) -> dict[str, str]:
    """Digest of every object but of times; groups of arrays under a name that does not change."""
    found = {}
    for key in store.sizes(""):
        if not key.endswith(".time.json"):
            data = store.read(key)
            if re.fullmatch(r".*/margins-\w{8}\.json", key):
                data = json.dumps({**read_record(store, key), "group": ""}, sort_keys=True).encode()
            found[MATRIX.sub(r"\1.zarr", key)] = hashlib.sha256(data).hexdigest()
    return found
