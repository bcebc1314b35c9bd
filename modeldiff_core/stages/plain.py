"""Stage: plain differences between the full-data models of two trainings: accuracy, loss, calibration, agreement."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from modeldiff_core.data import Examples
from modeldiff_core.errors import DamagedObject
from modeldiff_core.evaluation.plain import Setting, plain_differences
from modeldiff_core.evaluation.plain_errors import plain_errors
from modeldiff_core.plan import Label, Record, Reference, Step, refer
from modeldiff_core.responses import FullModels
from modeldiff_core.stages.directions import FOLDER
from modeldiff_core.stages.effects import full_models, pairing
from modeldiff_core.store import ObjectStore, read_record, write_record
from modeldiff_core.study import Training

VERSION = 1
MOST_VALUES = 12
"""A column of metadata with more distinct values than this makes no groups."""


@dataclass(frozen=True)
class Plain:
    """The first `models` full-data models of both trainings, compared on all targets; level: of the intervals."""

    trainings: tuple[Training, Training]
    models: int
    level: float

    @property
    def reference(self) -> Reference:
        """Where the comparison is stored."""
        identity = {
            "version": VERSION,
            "trainings": [training.digest for training in self.trainings],
            "models": self.models,
            "level": self.level,
        }
        return refer(FOLDER, "plain", identity)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        needs = tuple(shard for training in self.trainings for shard in full_models(training, self.models))
        return Step(name, Record(self.reference), compare_plainly, self, needs, label)


def compare_plainly(store: ObjectStore, spec: Plain) -> None:
    """Write all quantities of A and of B with their tests, and how far predictions agree."""
    a, b = (FullModels(training).logits(store, spec.models) for training in spec.trainings)
    targets, classes = spec.trainings[0].task().targets, spec.trainings[0].load().classes
    setting = Setting(pairing(spec.trainings), spec.level)
    groups = groups_of(targets, classes)
    compare = plain_differences if targets.classed else plain_errors
    found = compare(a, b, targets.labels, groups, setting)
    content = {"digest": spec.reference.digest, "pairing": setting.pairing, "level": spec.level, **asdict(found)}
    write_record(store, spec.reference.record, content)


def read_plain(store: ObjectStore, spec: Plain) -> dict[str, Any]:
    """Return what was written, without its digest; raises DamagedObject for that of other models."""
    record = read_record(store, spec.reference.record)
    if record.get("digest") != spec.reference.digest:
        raise DamagedObject(f"{store.url(spec.reference.record)}: holds plain differences of other models")
    return {name: value for name, value in record.items() if name != "digest"}


def groups_of(examples: Examples, classes: tuple[str, ...]) -> Mapping[str, Bool[np.ndarray, " targets"]]:
    """Return the classes and the values of columns with few of them, by name: 'class 8', 'planted', 'place sea'."""
    groups = {f"class {name}": examples.labels == at for at, name in enumerate(classes)}
    for name, column in {**examples.metadata, **examples.kind.categories(examples.images)}.items():
        if column.ndim != 1:
            continue
        words = name.replace("_", " ")
        if column.dtype == np.bool_:
            groups[words] = column
            continue
        values = np.unique(column)
        if len(values) <= MOST_VALUES:
            groups |= {f"{words} {value}": column == value for value in values}
    return {name: inside for name, inside in groups.items() if inside.any()}
