"""Stages: propose transformations along one direction, rank them on each algorithm, and measure the best on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import digest, plain
from modeldiff_core.stages.directions import FOLDER, Pair
from modeldiff_core.stages.enrichment import Description
from modeldiff_core.stages.references import Reference, open_store, refer
from modeldiff_core.stages.train import load_ensemble
from modeldiff_core.store import ObjectStore, TensorObject, read_record, read_tensors, write_record, write_tensors
from modeldiff_core.study import StudyConfig, Training
from modeldiff_core.training import Execution
from modeldiff_core.transformations import Changes, EffectSettings, Measured, TransformationTest, read
from modeldiff_core.transformations.ends import Along
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

    pair: Pair
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
        """Where the candidates stand."""
        return refer(FOLDER, "proposed", self._proposal)

    def candidates(self, which: Which) -> Reference:
        """Where the candidates' effects on one algorithm stand, on the ranking half."""
        return refer(FOLDER, "candidates", self._identity, record=f"{{key}}/{which}.safetensors")

    def finalists(self, which: Which) -> Reference:
        """Where the changes under the best of the candidates stand, on the confirming half."""
        identity = {**self._identity, "confirmed": self.settings.confirmed}
        return refer(FOLDER, "finalists", identity, record=f"{{key}}/{which}.safetensors")

    def training(self, which: Which) -> Training:
        """A's or B's."""
        return self.trainings["ab".index(which)]

    @property
    def _proposal(self) -> dict[str, Any]:
        return {
            "version": VERSION, "directions": self.pair.directions.digest, "side": self.side, "index": self.index,
            "candidates": self.settings.candidates, "share": self.settings.share, "seed": self.settings.seed,
        }  # fmt: skip

    @property
    def _identity(self) -> dict[str, Any]:
        """The level of the intervals and what counts as distinguishing decide none of these numbers."""
        return {
            **self._proposal, "trainings": [digest(training.identity) for training in self.trainings],
            "models": self.models, "images": [self.effects.max_images, self.effects.seed],
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a worker in another process."""
        return {
            "pair": self.pair.to_json(), "trainings": [training.to_json() for training in self.trainings],
            "models": self.models, "side": self.side, "index": self.index, "settings": plain(self.settings),
            "effects": plain(self.effects),
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Search":
        """What to_json gave."""
        a, b = (Training.from_json(training) for training in content["trainings"])
        return cls(
            Pair.from_json(content["pair"]), (a, b), content["models"], content["side"], content["index"],
            SearchSettings(**content["settings"]), EffectSettings(**content["effects"]),
        )  # fmt: skip


def searches(
    study: StudyConfig, trainings: tuple[Training, Training], pair: Pair, entries: Sequence[Mapping[str, Any]]
) -> list[Search]:
    """The searches of a study: along the significant directions of each side whose variances differ most.

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


def propose_candidates(store: dict[str, Any], search: dict[str, Any]) -> dict[str, Any]:
    """Store the candidates along the direction, so that both algorithms are shown the very same."""
    objects, spec = open_store(store), Search.from_json(search)
    directions = read_tensors(objects, spec.pair.directions.record, {"directions": spec.pair.directions.digest}).arrays
    task = spec.trainings[0].task()
    tests = proposals(
        Along(task.targets, directions[f"{spec.side}.projections"][:, spec.index]),
        Along(task.train, directions[f"{spec.side}.directions"][spec.index]),
        spec.settings,
    )
    content = {"digest": spec.proposed.digest, "tests": [plain(test) for test in tests]}
    write_record(objects, spec.proposed.record, content)
    return spec.proposed.to_json()


def rank_candidates(
    store: dict[str, Any], search: dict[str, Any], which: Which, execution: dict[str, Any]
) -> dict[str, Any]:
    """Store the candidates' mean effects at full intensity on the ranking half of images and models."""
    objects, spec = open_store(store), Search.from_json(search)
    tests = read_proposed(objects, spec)
    task = spec.training(which).task()
    half, _ = image_halves(len(task.targets), spec.settings.seed)
    rows, _ = model_halves(spec.models)
    found = _changes(store, spec, which, tests, half, rows, execution, (1.0,))
    arrays = {"effects": np.array([changes.probability.mean(dtype=np.float64) for changes in found])}
    reference = spec.candidates(which)
    write_tensors(objects, reference.record, TensorObject(arrays, {"candidates": reference.digest}, {}))
    return reference.to_json()


def measure_finalists(
    store: dict[str, Any], search: dict[str, Any], which: Which, execution: dict[str, Any]
) -> dict[str, Any]:
    """Store what the best candidates change on the confirming half of images and models, at every intensity."""
    objects, spec = open_store(store), Search.from_json(search)
    tests = ranked(objects, spec)[: spec.settings.confirmed]
    task = spec.training(which).task()
    _, half = image_halves(len(task.targets), spec.settings.seed)
    _, rows = model_halves(spec.models)
    arrays: dict[str, np.ndarray] = {}
    for at, changes in enumerate(_changes(store, spec, which, tests, half, rows, execution, None)):
        arrays |= {f"{at}.probability": changes.probability, f"{at}.margin": changes.margin}
    reference = spec.finalists(which)
    facts = {"tests": [plain(test) for test in tests]}
    write_tensors(objects, reference.record, TensorObject(arrays, {"finalists": reference.digest}, facts))
    return reference.to_json()


def read_proposed(store: ObjectStore, spec: Search) -> list[TransformationTest]:
    """The candidates along a direction; raises DamagedObject for those of another search."""
    record = read_record(store, spec.proposed.record)
    if record.get("digest") != spec.proposed.digest:
        raise DamagedObject(f"{store.url(spec.proposed.record)}: candidates of another search")
    return _tests(record["tests"])


def ranked(store: ObjectStore, spec: Search) -> list[TransformationTest]:
    """All candidates of a search, those of the largest difference between A and B first."""
    a, b = (
        read_tensors(store, spec.candidates(which).record, {"candidates": spec.candidates(which).digest})
        for which in BOTH
    )
    tests = read_proposed(store, spec)
    return [tests[at] for at in best(a.arrays["effects"], b.arrays["effects"], len(tests))]


def read_finalists(store: ObjectStore, spec: Search) -> list[Measured]:
    """What was put to the test on the confirming half, the best ranked first."""
    a, b = (
        read_tensors(store, spec.finalists(which).record, {"finalists": spec.finalists(which).digest}) for which in BOTH
    )
    found = []
    for at, test in enumerate(_tests(a.facts["tests"])):
        of_a, of_b = (Changes(x.arrays[f"{at}.probability"], x.arrays[f"{at}.margin"]) for x in (a, b))
        found.append(read(test, of_a, of_b, spec.effects.level))
    return found


def _tests(tests: Any) -> list[TransformationTest]:
    return [TransformationTest(**{**test, "intensities": tuple(test["intensities"])}) for test in tests]


def _changes(
    store: dict[str, Any],
    spec: Search,
    which: Which,
    tests: Sequence[TransformationTest],
    half: np.ndarray,
    rows: range,
    execution: dict[str, Any],
    intensities: tuple[float, ...] | None,
) -> list[Changes]:
    """Changes of some rows of the full-data models, one shard of them in memory at a time."""
    training = spec.training(which)
    examples, size = training.task().targets.select(half), training.ensemble_shard_size
    first = rows.start // size
    groups = []
    for index in range(first, -(-rows.stop // size)):
        models, _ = load_ensemble(store, training, index, Execution(**execution))
        groups.append(measure_tests(models, examples, tests, spec.effects, intensities))
    return joined(groups, slice(rows.start - first * size, rows.stop - first * size))
