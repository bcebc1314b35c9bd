"""Stage: the record of a training, with its identity and the words that people used."""

from dataclasses import dataclass

from modeldiff_core.plan import Cost, Label, Reference, Step
from modeldiff_core.responses.products import Identified
from modeldiff_core.store import ObjectStore, write_record
from modeldiff_core.study import Training


@dataclass(frozen=True)
class TrainingSpec:
    """The record of a training."""

    training: Training

    @property
    def reference(self) -> Reference:
        """Where the record is."""
        return Reference(self.training.prefix, self.training.digest, f"{self.training.prefix}/training.json")


def write_training(store: ObjectStore, spec: TrainingSpec) -> None:
    """Write training.json."""
    write_record(store, spec.reference.record, spec.training.record())


def training_step(training: Training) -> Step:
    """Return the step that writes the record of a training."""
    spec = TrainingSpec(training)
    makes = Identified(spec.reference, training.identity)
    label = Label("records of trainings", "record training", ("record",))
    name = f"record of {training.prefix}"
    return Step(name, makes, write_training, spec, (), label, Cost(0.01, units=0), memoized=False)
