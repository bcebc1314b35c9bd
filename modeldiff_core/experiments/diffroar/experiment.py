"""The experiment ``diffroar``: retraining on what attributions rank highest and lowest, beside the masks alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.diffroar.masking import SIDES, WAYS, Fill
from modeldiff_core.experiments.diffroar.present import findings, scores_plot, tables
from modeldiff_core.experiments.diffroar.retrain import ORACLE, RANDOM, Ranking, Retrained, scores_of
from modeldiff_core.experiments.diffroar.settings import DiffRoarStudy
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.featured.data import featured_of, fingerprint_of, float_data
from modeldiff_core.experiments.featured.intervals import interval_of
from modeldiff_core.experiments.featured.networks import FOLDER, Ensembles, Trained
from modeldiff_core.experiments.leakage.measures import kept_values
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.plan import Label, Record, Reference, Step, Wave, refer
from modeldiff_core.plan.failures import read_failure
from modeldiff_core.plan.products import read_digested
from modeldiff_core.report.figures import Plot
from modeldiff_core.store import ObjectStore, write_record
from modeldiff_core.training.input_attributions import method_of

NOTHING = ""
"""The networks of orders that need none."""
FEWEST_ORDERS = 10
"""Random orders below which nothing is said of their mean."""


@dataclass(frozen=True)
class Tested:
    """The accuracy of the networks that are explained, on test images."""

    trained: Trained

    @property
    def reference(self) -> Reference:
        """Where the record is."""
        return refer(FOLDER, "accuracy", self, record="{key}.json")

    def step(self, name: str) -> Step:
        """Return the step that measures it."""
        needs = (self.trained.product.reference,)
        return Step(name, Record(self.reference), measure_accuracy, self, needs, Label("accuracies", "measure"))

    def read(self, store: ObjectStore) -> list[float]:
        """Return it for each replicate."""
        found: list[float] = read_digested(store, self.reference)["accuracy"]
        return found


def measure_accuracy(store: ObjectStore, spec: Tested) -> None:
    """Write the accuracy of each replicate's networks."""
    weights, found = spec.trained.weights(store), []
    for replicate in range(spec.trained.seeds):
        _, test = float_data(spec.trained.dataset, replicate)
        logits = Ensembles(spec.trained, weights, test).logits(replicate, test.inputs)
        found.append(float((logits.argmax(1) == test.labels).mean()))
    write_record(store, spec.reference.record, {"digest": spec.reference.digest, "accuracy": found})


@dataclass(frozen=True)
class Cell:
    """What a score belongs to: the networks that are explained, the attribution, the fill, the share kept."""

    networks: str
    attribution: str
    fill: Fill
    k: float

    def words(self, replicate: int) -> str:
        """Return a name for a step."""
        of = f"{self.networks}, " if self.networks else ""
        return f"{of}{self.attribution}, {self.fill.kind}, {self.k:g} kept, replicate {replicate}"


@dataclass(frozen=True)
class DiffRoar(OnePage):
    """Whether the values that an attribution ranks highest tell the class (DiffROAR of arXiv 2102.12781)."""

    study: DiffRoarStudy
    kind: ClassVar[str] = "diffroar"
    settings: ClassVar[type[BaseModel]] = DiffRoarStudy

    @classmethod
    def of(cls, study: DiffRoarStudy, store: ObjectStore) -> "DiffRoar":
        """Return the experiment; raises ConfigError for a method, an attack or a feature that there is not."""
        for method in study.attributions:
            method_of(method)
            if method == RANDOM:
                raise ConfigError("attributions", "methods alone; the number of random orders is random_orders", method)
        if study.signal:
            data = featured_of(study.dataset)
            data.test.check([study.signal], "signal")
            data.test.pixels(study.signal)
        if not (study.attributions or study.random_orders or study.signal):
            raise ConfigError("attributions", "a method, random_orders or a signal", list(study.attributions))
        experiment = cls(study)
        values = int(np.prod(float_data(study.dataset, 0)[0].shape))
        for k in study.k:
            if not 1 <= round(k * values) < values:
                raise ConfigError("k", f"shares that keep 1 to {values - 1} of the {values} values of an image", k)
        assert experiment.cells
        return experiment

    @property
    def shared(self) -> tuple[str, ...]:
        return (FOLDER,)

    @cached_property
    def trained(self) -> dict[str, Trained]:
        """The networks that are explained, by the words of their cell; none if nothing needs them."""
        study = self.study
        if not study.attributions:
            return {}
        fingerprint = fingerprint_of(study.dataset)
        return {
            words: Trained(study.dataset, fingerprint, recipe, study.seeds, ensemble)
            for words, recipe, ensemble in study.networks.cells(study.attacks, "networks")
        }

    @cached_property
    def cells(self) -> dict[Cell, list[Retrained]]:
        """The retrained networks of every cell, one for each replicate."""
        study, fingerprint = self.study, fingerprint_of(self.study.dataset)
        sources: list[tuple[str, str, int, Trained | None]] = []
        for words, networks in self.trained.items():
            sources += [(words, method, study.seeds, networks) for method in study.attributions]
        if study.random_orders:
            sources.append((NOTHING, RANDOM, study.random_orders, None))
        if study.signal:
            sources.append((NOTHING, ORACLE, study.seeds, None))
        recipe, found = study.retrain.recipe(), dict[Cell, list[Retrained]]()
        for words, method, replicates, trained in sources:
            signal = study.signal if method == ORACLE else ""
            for fill in study.fill.fills():
                for k in study.k:
                    found[Cell(words, method, fill, k)] = [
                        Retrained(
                            Ranking(study.dataset, fingerprint, method, replicate, trained, signal), k, fill, recipe
                        )
                        for replicate in range(replicates)
                    ]
        return found

    def check(self) -> list[str]:
        """Build one network of each kind; warn of few replicates and of fills under which masks can be read."""
        train, _ = float_data(self.study.dataset, 0)
        for recipe in (self.study.retrain.recipe(), *(one.recipe for one in self.trained.values())):
            recipe.stack(train.shape, train.classes)
        warnings, orders = [], self.study.random_orders
        if self.study.seeds < 3:
            warnings.append(f"seeds: intervals over {self.study.seeds} replicates say little; give 3 or more")
        if 0 < orders < FEWEST_ORDERS:
            warnings.append(f"random_orders: the score of {orders} random orders is uncertain; give {FEWEST_ORDERS}")
        return warnings

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        yield Wave(
            "training", tuple(one.step(words) for words, one in self.trained.items()), noun="cells", verb="train"
        )
        there = {words: one for words, one in self.trained.items() if not read_failure(store, one.product.reference)}
        tested = tuple(Tested(one).step(f"{words} tested") for words, one in there.items())
        yield Wave("testing", tested, noun="cells", verb="test")
        # The steps of one ranking follow each other, so that it is made once in a process.
        every = [
            (cell, replicate, one)
            for cell, ones in self.cells.items()
            if cell.networks in (NOTHING, *there)
            for replicate, one in enumerate(ones)
        ]
        every.sort(key=lambda one: (one[0].networks, one[0].attribution, one[1]))
        steps = tuple(one.step(cell.words(replicate)) for cell, replicate, one in every)
        yield Wave("retraining", steps, noun="cells", verb="retrain")

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        networks = {}
        for words, trained in self.trained.items():
            failure = read_failure(store, trained.product.reference)
            networks[words] = (
                {"failure": str(failure["reason"])}
                if failure
                else {"failure": "", "accuracy": interval_of(Tested(trained).read(store))}
            )
        rows = [
            _row(store, cell, ones)
            for cell, ones in self.cells.items()
            if cell.networks == NOTHING or not networks[cell.networks]["failure"]
        ]
        values = int(np.prod(float_data(self.study.dataset, 0)[0].shape))
        return {
            "networks": networks,
            "scores": rows,
            "values": values,
            "kept": [{"k": k, "values": kept_values(k, values)} for k in self.study.k],
            "seeds": self.study.seeds,
            "random_orders": self.study.random_orders,
        }

    def present(self, summary: Mapping[str, Any]) -> Shown:
        return Shown(f"What attributions of {self.name} rank highest and lowest", findings(summary), tables(summary))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        return {"Scores by the share of values kept": scores_plot(summary)}


def _row(store: ObjectStore, cell: Cell, ones: list[Retrained]) -> dict[str, Any]:
    """Return accuracies and scores of a cell over its replicates; those that diverged are left out and counted."""
    there = [one for one in ones if not read_failure(store, one.reference)]
    row: dict[str, Any] = {
        "networks": cell.networks,
        "attribution": cell.attribution,
        "fill": cell.fill.kind,
        "k": cell.k,
        "diverged": len(ones) - len(there),
    }
    if not there:
        return row
    found = [one.read(store) for one in there]
    row |= {side: {way: interval_of([one[side][way] for one in found]) for way in WAYS} for side in SIDES}
    scores = [scores_of(one) for one in found]
    return row | {name: interval_of([one[name] for one in scores]) for name in scores[0]}
