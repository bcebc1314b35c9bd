"""The experiment ``components``: attribution of a network's outputs to its components by random ablations (COAR)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.data import Dataset
from modeldiff_core.experiments.components.baselines import FOLDER, Gradients
from modeldiff_core.experiments.components.parts import Parts
from modeldiff_core.experiments.components.present import findings, score_plot, tables
from modeldiff_core.experiments.components.scores import ALONE, FITTED, ComponentScores
from modeldiff_core.experiments.components.settings import ComponentsStudy, check_components
from modeldiff_core.experiments.components.summarize import layers_of, rho_of, strongest_of
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.plan import Label, Step, Wave, later
from modeldiff_core.report.figures import Plot
from modeldiff_core.responses import FullModels
from modeldiff_core.responses.networks import TrainedNetwork
from modeldiff_core.stages.gram import FOLDER as GRAMS
from modeldiff_core.stages.gram import gram_steps
from modeldiff_core.stages.regress import block_steps, record_steps
from modeldiff_core.stages.shards import shard_steps
from modeldiff_core.stages.trainings import training_step
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import Training, load_dataset

SECONDS_A_ROW = 0.002
"""Predicted time of an ablation of a small network, for the order of steps alone."""


@dataclass(frozen=True)
class ComponentAttribution(OnePage):
    """Attributions of outputs to components, beside those of methods that need no regression."""

    study: ComponentsStudy
    kind: ClassVar[str] = "components"
    settings: ClassVar[type[BaseModel]] = ComponentsStudy

    @classmethod
    def of(cls, study: ComponentsStudy, store: ObjectStore) -> "ComponentAttribution":
        """Find the components; raises ConfigError for a selection that finds none."""
        experiment = cls(study)
        for parts in experiment.parts.values():
            assert parts.count
        return experiment

    @property
    def data(self) -> Dataset:
        """The data set."""
        return load_dataset(self.study.dataset)

    @cached_property
    def training(self) -> Training:
        """The training whose full-data models are looked into."""
        study, data = self.study, self.data
        return Training(
            dataset=study.dataset,
            fingerprint=data.fingerprint,
            targets=len(data.test) if study.targets is None else study.targets,
            algorithm=study.algorithm,
            key="algorithm",
            fraction=study.subsets.fraction,
            subset_seed=study.subsets.seed,
            shard_size=study.subsets.shard_size,
            ensemble_shard_size=study.ensemble.shard_size,
            output=study.output,
        )

    @cached_property
    def parts(self) -> dict[int, Parts]:
        """The parts of each network, by its number."""
        return {number: Parts(self.study, TrainedNetwork(self.training, number)) for number in self.study.networks}

    @property
    def folders(self) -> tuple[str, ...]:
        homes = (responses.home for parts in self.parts.values() for responses, _ in parts.rows().values())
        return (self.folder, *dict.fromkeys(homes), self.training.prefix)

    @property
    def shared(self) -> tuple[str, ...]:
        return GRAMS, FOLDER

    def check(self) -> list[str]:
        parts = next(iter(self.parts.values()))
        task = self.training.task()
        task.algorithm.check(self.data.image_shape, len(self.data.classes))
        return check_components(self.study, self.data, parts.count)

    def scores(self, parts: Parts) -> ComponentScores:
        """Return the scores of a network."""
        matrices, asked = parts.matrices(), self.study.ablation
        tests = tuple((alpha, matrices[f"tests at {alpha:g}"]) for alpha in asked.tests)
        gradients = Gradients(parts.ablated)
        return ComponentScores(parts.regression(), matrices["one at a time"], gradients, tests, asked.seed)

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        name, study = self.name, self.study
        trained, label = max(study.networks) + 1, Label("networks", "train", ("shard",), "models")
        networks = shard_steps(FullModels(self.training), trained, f"{name} networks", label, 0.2)
        yield Wave("training", (training_step(self.training), *networks), noun="shards", verb="train")
        yield Wave("ablating", tuple(self._ablations()), noun="shards")
        gathered = (
            matrix.step(f"{name} network {number} {words} gathered", Label("matrices"))
            for number, parts in self.parts.items()
            for words, matrix in parts.matrices().items()
        )
        yield Wave("gathering outputs", tuple(gathered))
        fits = {f"{name} network {number}": parts.regression() for number, parts in self.parts.items()}
        yield later("counting masks", "the outputs are gathered", lambda: gram_steps(store, fits, Label("counts")))
        yield Wave("regression", block_steps(fits, Label("blocks of weights", "regress")))
        yield Wave("completing weights", record_steps(fits, Label("weights")))
        label = Label("scores", "score")
        scores = (
            self.scores(parts).step(f"{name} network {number} scores", label) for number, parts in self.parts.items()
        )
        yield Wave("scores", tuple(scores))

    def _ablations(self) -> Iterator[Step]:
        for number, parts in self.parts.items():
            for words, (responses, rows) in parts.rows().items():
                label = Label(f"network {number}: {words}", "ablate", ("shard",), "rows")
                name = f"{self.name} network {number} {words}"
                yield from shard_steps(responses, rows, name, label, SECONDS_A_ROW)
            label = Label("gradients", "differentiate")
            yield Gradients(parts.ablated).step(f"{self.name} network {number} gradients", label)

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        records = [self.scores(parts).read(store) for parts in self.parts.values()]
        parts = next(iter(self.parts.values()))
        components, asked = parts.ablated.components, self.study.ablation
        return {
            "components": components.counts(),
            "count": len(components),
            "networks": list(self.study.networks),
            "alpha": asked.alpha,
            "fill": asked.fill,
            "ablations": {FITTED: asked.rows, ALONE: len(components) + 1},
            "rho": rho_of(records),
            "unablated": [record["unablated"] for record in records],
            "layers": layers_of(components, records),
            "strongest": strongest_of(components, records[0]),
        }

    def present(self, summary: Mapping[str, Any]) -> Shown:
        return Shown(f"Components of {self.name}", findings(summary), tables(summary))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        return {"Scores by share of components ablated": score_plot(summary)}

    def advice(self, store: ObjectStore) -> list[str]:
        parts = next(iter(self.parts.values()))
        counts = ", ".join(f"{name} {count:,}" for name, count in parts.ablated.components.counts().items())
        return [f"components: {parts.count:,} ({counts})"]
