"""Stages: propose transformations along one direction, rank them on each algorithm, and measure the best on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import plain
from modeldiff_core.plan import Cost, Label, Record, Reference, Step, Tensors, refer
from modeldiff_core.responses import FullModels
from modeldiff_core.stages.directions import FOLDER, Pair
from modeldiff_core.stages.effects import full_models, pairing
from modeldiff_core.stages.enrichment import Description
from modeldiff_core.stages.matrix_free import MatrixFree
from modeldiff_core.store import ObjectStore, TensorObject, read_record, read_tensors, write_record, write_tensors
from modeldiff_core.study import StudyConfig, Training
from modeldiff_core.training import Execution
from modeldiff_core.transformations import Changes, EffectSettings, Measured, TransformationTest, read
from modeldiff_core.transformations.ends import OrderedExamples
from modeldiff_core.transformations.search import (
    SearchSettings,
    best,
    image_halves,
    joined,
    measure_tests,
    model_halves,
    proposals,
)

VERSION = 2
Side = Literal["a-b", "b-a"]
Which = Literal["a", "b"]
BOTH: tuple[Which, Which] = ("a", "b")


@dataclass(frozen=True)
class Search:
    """A search along direction `index` of a side, with the first `models` full-data models of each training."""

    pair: Pair | MatrixFree
    trainings: tuple[Training, Training]
    models: int
    side: Side
    index: int
    settings: SearchSettings
    effects: EffectSettings

    @property
    def description(self) -> Description:
        """What the ends of the direction share."""
        return Description(self.pair, self.trainings[0], self.side, self.index, self.settings.share)

    @property
    def proposed(self) -> Reference:
        """Where the candidates are stored."""
        return refer(FOLDER, "proposed", self._proposal)

    def candidates(self, which: Which) -> Reference:
        """Return where the candidates' effects on one algorithm are stored, on the ranking half."""
        return refer(FOLDER, "candidates", self._identity, record=f"{{key}}/{which}.safetensors")

    def finalists(self, which: Which) -> Reference:
        """Return where the changes under the best of the candidates are stored, on the confirming half."""
        identity = {**self._identity, "confirmed": self.settings.confirmed}
        return refer(FOLDER, "finalists", identity, record=f"{{key}}/{which}.safetensors")

    def training(self, which: Which) -> Training:
        """A's or B's."""
        return self.trainings["ab".index(which)]

    @property
    def _proposal(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "directions": self.pair.directions.digest,
            "side": self.side,
            "index": self.index,
            "candidates": self.settings.candidates,
            "share": self.settings.share,
            "seed": self.settings.seed,
        }

    @property
    def _identity(self) -> dict[str, Any]:
        """The level of the intervals and what counts as distinguishing decide none of these numbers."""
        return {
            **self._proposal,
            "trainings": [training.digest for training in self.trainings],
            "models": self.models,
            "images": [self.effects.max_images, self.effects.seed],
        }

    def propose_step(self, name: str, label: Label) -> Step:
        """Return the step that proposes candidates."""
        return Step(name, Record(self.proposed), propose_candidates, self, (self.pair.directions,), label)

    def rank_step(self, which: Which, name: str, label: Label) -> Step:
        """Return the step that ranks the candidates on one algorithm."""
        reference = self.candidates(which)
        made = Tensors(reference, {"candidates": reference.digest})
        needs = (self.proposed, *full_models(self.training(which), self.models))
        return Step(name, made, rank_candidates, OneSide(self, which), needs, label, Cost(10.0), on_device=True)

    def confirm_step(self, which: Which, name: str, label: Label) -> Step:
        """Return the step that measures the best candidates on one algorithm."""
        reference = self.finalists(which)
        made = Tensors(reference, {"finalists": reference.digest})
        needs = tuple(self.candidates(each) for each in BOTH)
        return Step(name, made, measure_finalists, OneSide(self, which), needs, label, Cost(5.0), on_device=True)


@dataclass(frozen=True)
class OneSide:
    """A search on one of the two algorithms."""

    search: Search
    which: Which


def searches(
    study: StudyConfig,
    trainings: tuple[Training, Training],
    pair: Pair | MatrixFree,
    entries: Sequence[Mapping[str, Any]],
) -> list[Search]:
    """Return the searches of a study: along the significant directions of each side whose variances differ most.

    entries: the ``directions`` of summary.json.
    """
    found = []
    sides: tuple[Side, Side] = ("a-b", "b-a")
    for side in sides:
        more, less = side.split("-")
        own = [e for e in entries if e["side"] == side and e["significant"]]
        own.sort(key=lambda e: e["explained_variance"][less] - e["explained_variance"][more])
        for entry in own[: study.search.directions]:
            found.append(
                Search(pair, trainings, study.ensemble.models, side, entry["index"], study.search, study.effects)
            )
    return found


def propose_candidates(store: ObjectStore, spec: Search) -> None:
    """Store the candidates along the direction, so that both algorithms are shown the very same."""
    directions = read_tensors(store, spec.pair.directions.record, {"directions": spec.pair.directions.digest}).arrays
    task = spec.trainings[0].task()
    tests = proposals(
        OrderedExamples(task.targets, directions[f"{spec.side}.projections"][:, spec.index]),
        OrderedExamples(task.train, directions[f"{spec.side}.directions"][spec.index]),
        spec.settings,
    )
    content = {"digest": spec.proposed.digest, "tests": [plain(test) for test in tests]}
    write_record(store, spec.proposed.record, content)


def rank_candidates(store: ObjectStore, spec: OneSide, execution: Execution) -> None:
    """Store the candidates' mean effects at full intensity on the ranking half of images and models."""
    search, which = spec.search, spec.which
    task = search.training(which).task()
    half, _ = image_halves(len(task.targets), search.settings.seed)
    rows, _ = model_halves(search.models)
    found = _changes(store, spec, read_proposed(store, search), _Shown(half, rows, (1.0,)), execution)
    arrays = {"effects": np.array([changes.probability.mean(dtype=np.float64) for changes in found])}
    reference = search.candidates(which)
    write_tensors(store, reference.record, TensorObject(arrays, {"candidates": reference.digest}, {}))


def measure_finalists(store: ObjectStore, spec: OneSide, execution: Execution) -> None:
    """Store what the best candidates change on the confirming half of images and models, at every intensity."""
    search, which = spec.search, spec.which
    tests = ranked(store, search)[: search.settings.confirmed]
    task = search.training(which).task()
    _, half = image_halves(len(task.targets), search.settings.seed)
    _, rows = model_halves(search.models)
    arrays: dict[str, np.ndarray] = {}
    for at, changes in enumerate(_changes(store, spec, tests, _Shown(half, rows, None), execution)):
        arrays |= {f"{at}.probability": changes.probability, f"{at}.margin": changes.margin}
    reference = search.finalists(which)
    facts = {"tests": [plain(test) for test in tests]}
    write_tensors(store, reference.record, TensorObject(arrays, {"finalists": reference.digest}, facts))


def read_proposed(store: ObjectStore, spec: Search) -> list[TransformationTest]:
    """Return the candidates along a direction; raises DamagedObject for those of another search."""
    record = read_record(store, spec.proposed.record)
    if record.get("digest") != spec.proposed.digest:
        raise DamagedObject(f"{store.url(spec.proposed.record)}: holds candidates of another search")
    return _tests(record["tests"])


def ranked(store: ObjectStore, spec: Search) -> list[TransformationTest]:
    """Return all candidates of a search, those of the largest difference between A and B first."""
    a, b = (
        read_tensors(store, spec.candidates(which).record, {"candidates": spec.candidates(which).digest})
        for which in BOTH
    )
    tests = read_proposed(store, spec)
    return [tests[at] for at in best(a.arrays["effects"], b.arrays["effects"], len(tests))]


def read_finalists(store: ObjectStore, spec: Search) -> list[Measured]:
    """Return what was put to the test on the confirming half, the best ranked first."""
    a, b = (
        read_tensors(store, spec.finalists(which).record, {"finalists": spec.finalists(which).digest}) for which in BOTH
    )
    found = []
    for at, test in enumerate(_tests(a.facts["tests"])):
        of_a, of_b = (Changes(x.arrays[f"{at}.probability"], x.arrays[f"{at}.margin"]) for x in (a, b))
        found.append(read(test, of_a, of_b, spec.effects, pairing(spec.trainings)))
    return found


def _tests(tests: Any) -> list[TransformationTest]:
    return [TransformationTest(**{**test, "intensities": tuple(test["intensities"])}) for test in tests]


@dataclass(frozen=True)
class _Shown:
    """Positions of the images, numbers of the models, and the intensities (None for each test's own)."""

    images: np.ndarray
    models: range
    intensities: tuple[float, ...] | None


def _changes(
    store: ObjectStore, spec: OneSide, tests: Sequence[TransformationTest], shown: _Shown, execution: Execution
) -> list[Changes]:
    """Return the changes of some of the full-data models, one shard of them in memory at a time."""
    training = spec.search.training(spec.which)
    responses, size, rows = FullModels(training), training.ensemble_shard_size, shown.models
    examples = training.task().targets.select(shown.images)
    first = rows.start // size
    groups = []
    for index in range(first, -(-rows.stop // size)):
        models, _ = responses.load(store, index, execution)
        groups.append(measure_tests(models, examples, tests, spec.search.effects, shown.intensities))
    return joined(groups, slice(rows.start - first * size, rows.stop - first * size))
