"""The experiment ``components``: attribution of a network's outputs to its components by random ablations (COAR)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.data import Dataset
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.components.baselines import FOLDER, Gradients
from modeldiff_core.experiments.components.edit_pictures import picture_plot
from modeldiff_core.experiments.components.edits import Edit, check_edits
from modeldiff_core.experiments.components.gallery import Gallery, gallery_plot
from modeldiff_core.experiments.components.parts import ALONE_WORDS, Parts, test_words
from modeldiff_core.experiments.components.present import (
    edit_findings,
    edit_plot,
    edit_table,
    findings,
    score_plot,
    tables,
)
from modeldiff_core.experiments.components.rounds import RoundScore, settled
from modeldiff_core.experiments.components.scores import ALONE, FITTED, ComponentScores
from modeldiff_core.experiments.components.settings import ComponentsStudy, check_components, check_source
from modeldiff_core.experiments.components.summarize import layers_of, rho_of, strongest_of
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.plan import Label, Step, Wave, later
from modeldiff_core.report.figures import Plot
from modeldiff_core.responses import FullModels
from modeldiff_core.responses.networks import Network, TrainedNetwork
from modeldiff_core.responses.stored_networks import LanguageNetwork, StoredNetwork, read_tokens
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
        check_source(study)
        experiment = cls(study)
        for parts in experiment.parts.values():
            assert parts.count
        return experiment

    @property
    def data(self) -> Dataset:
        """The data set of a network that takes images."""
        assert self.study.dataset is not None
        return load_dataset(self.study.dataset)

    @cached_property
    def training(self) -> Training:
        """The training whose full-data models are looked into, or that names data and recipe of stored networks."""
        study, data = self.study, self.data
        assert study.dataset is not None
        assert study.algorithm is not None
        targets = len(data.test) if study.targets is None else study.targets
        if targets > len(data.test):
            raise ConfigError("targets", f"at most the {len(data.test)} test examples", targets)
        return Training(
            dataset=study.dataset,
            fingerprint=data.fingerprint,
            targets=targets,
            algorithm=study.algorithm,
            key="algorithm",
            fraction=study.subsets.fraction,
            subset_seed=study.subsets.seed,
            shard_size=study.subsets.shard_size,
            ensemble_shard_size=study.ensemble.shard_size,
            output=study.output,
            seeds=study.subsets.seeds,
        )

    def network(self, number: int) -> Network:
        """Return a network by its number."""
        language = self.study.language
        if language is not None:
            return LanguageNetwork(language.tokens, language.weights, number, language.sizes())
        if self.study.weights == "trained":
            return TrainedNetwork(self.training, number)
        return StoredNetwork(self.training, number)

    @cached_property
    def parts(self) -> dict[int, Parts]:
        """The parts of each network, by its number."""
        return {number: Parts(self.study, self.network(number)) for number in self.study.networks}

    @property
    def is_trained(self) -> bool:
        """Whether the networks are models of a training."""
        return self.study.language is None and self.study.weights == "trained"

    @property
    def folders(self) -> tuple[str, ...]:
        homes = [
            responses.home
            for parts in self.parts.values()
            for responses in (parts.fitted, *(tests for tests, _ in parts.tests().values()))
        ]
        trained = (self.training.prefix,) if self.is_trained else ()
        return (self.folder, *dict.fromkeys(homes), *trained)

    @property
    def shared(self) -> tuple[str, ...]:
        return GRAMS, FOLDER

    def check(self) -> list[str]:
        count = next(iter(self.parts.values())).count
        language = self.study.language
        if language is not None:
            if self.study.edits:
                raise ConfigError("edits", "none for a network that takes no images", len(self.study.edits))
            return check_components(self.study, len(read_tokens(language.tokens)[0]), count)
        check_edits(self.study.edits, self.training.task().targets, self.study.attributed)
        task = self.training.task()
        task.algorithm.check(self.data.image_shape, len(self.data.classes))
        return check_components(self.study, self.training.targets, count)

    def scores(self, parts: Parts, rows: int) -> ComponentScores:
        """Return the scores of a network whose weights are fitted on so many ablations."""
        matrices, asked = parts.matrices(), self.study.ablation
        tests = tuple((alpha, matrices[test_words(alpha)]) for alpha in asked.tests)
        gradients = Gradients(parts.ablated)
        return ComponentScores(parts.regression(rows), matrices[ALONE_WORDS], gradients, tests, asked.seed)

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        if self.is_trained:
            yield self.training_wave()
        yield Wave("ablating", tuple(self._tests()), noun="shards")
        made = 0
        while not (now := settled(store, self.parts)).last:
            if now.rows == made:  # this round's scores could not be made, or nothing is being made
                yield Wave("next round", (), "the scores of this round are there")
                return
            made = now.rows
            yield from self._fits(store, made)
            fits = {f"{self.name} network {number}": parts.regression(made) for number, parts in self.parts.items()}
            scores = (
                RoundScore(fit).step(f"{name} round of {made} ablations", Label("rounds", "score"))
                for name, fit in fits.items()
            )
            yield Wave("score of the round", tuple(scores))
        yield from self._fits(store, now.rows)
        gathered = (
            matrix.step(f"{self.name} network {number} {words} gathered", Label("matrices of tests"))
            for number, parts in self.parts.items()
            for words, matrix in parts.matrices().items()
        )
        yield Wave("gathering tests", tuple(gathered))
        label = Label("scores", "score")
        scores = (
            self.scores(parts, now.rows).step(f"{self.name} network {number} scores", label)
            for number, parts in self.parts.items()
        )
        yield Wave("scores", tuple(scores))
        if self.study.language is None:
            step = self.gallery(now.rows).step(f"{self.name} gallery", Label("gallery", "gallery"))
            yield Wave("gallery", (step,))
        if self.study.edits:
            label = Label("edits", "edit")
            pairs = [
                edit.steps(f"{self.name} network {number} {edit.asked.name}", label)
                for number, edits in self.edits(now.rows).items()
                for edit in edits
            ]
            yield Wave("edits", tuple(choose for choose, _ in pairs))
            yield Wave("edited networks", tuple(write for _, write in pairs))

    def gallery(self, rows: int) -> Gallery:
        """Return the images of the first network's strongest components."""
        parts = next(iter(self.parts.values()))
        return Gallery(parts.ablated, self.scores(parts, rows))

    def edits(self, rows: int) -> dict[int, list[Edit]]:
        """Return the edits of each network, whose weights are fitted on so many ablations."""
        return {
            number: [Edit(parts.ablated, self.scores(parts, rows), asked) for asked in self.study.edits]
            for number, parts in self.parts.items()
        }

    def training_wave(self) -> Wave:
        """Return the training of the networks."""
        trained, label = max(self.study.networks) + 1, Label("networks", "train", ("shard",), "models")
        networks = shard_steps(FullModels(self.training), trained, f"{self.name} networks", label, 0.2)
        return Wave("training", (training_step(self.training), *networks), noun="shards", verb="train")

    def _tests(self) -> Iterator[Step]:
        for number, parts in self.parts.items():
            for words, (responses, rows) in parts.tests().items():
                label = Label(f"network {number}: {words}", "ablate", ("shard",), "rows")
                yield from shard_steps(responses, rows, f"{self.name} network {number} {words}", label, SECONDS_A_ROW)
            label = Label("gradients", "differentiate")
            yield Gradients(parts.ablated).step(f"{self.name} network {number} gradients", label)

    def _fits(self, store: ObjectStore, rows: int) -> Iterator[Wave]:
        """Yield the ablations, their matrices and the regressions on so many rows."""
        name, shards, gathered = self.name, list[Step](), list[Step]()
        fits = {f"{name} network {number}": parts.regression(rows) for number, parts in self.parts.items()}
        for number, parts in self.parts.items():
            label = Label(f"network {number}: ablations", "ablate", ("shard",), "rows")
            words = f"{name} network {number} ablations"
            shards += shard_steps(parts.fitted, parts.held + rows, words, label, SECONDS_A_ROW)
            gathered.append(parts.gathered(rows).step(f"{words} gathered to {rows}", Label("matrices")))
        yield Wave("ablating to fit", tuple(shards), noun="shards")
        yield Wave("gathering outputs", tuple(gathered))
        yield later("counting masks", "the outputs are gathered", lambda: gram_steps(store, fits, Label("counts")))
        yield Wave("regression", block_steps(fits, Label("blocks of weights", "regress")))
        yield Wave("completing weights", record_steps(fits, Label("weights")))

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        now = settled(store, self.parts)
        records = [self.scores(parts, now.rows).read(store) for parts in self.parts.values()]
        parts = next(iter(self.parts.values()))
        components, asked = parts.ablated.components, self.study.ablation
        return {
            "components": components.counts(),
            "count": len(components),
            "networks": list(self.study.networks),
            "alpha": asked.alpha,
            "fill": asked.fill,
            "ablations": {FITTED: now.rows, ALONE: len(components) + 1},
            "rounds": [{"ablations": rows, "rho": score} for rows, score in now.scores],
            "rho": rho_of(records),
            "unablated": [record["unablated"] for record in records],
            "layers": layers_of(components, records),
            "strongest": strongest_of(components, records[0]),
            "edits": {
                asked.name: [edits[at].read(store) for edits in self.edits(now.rows).values()]
                for at, asked in enumerate(self.study.edits)
            },
        }

    def present(self, summary: Mapping[str, Any]) -> Shown:
        edits = summary["edits"]
        said = (*findings(summary), *edit_findings(edits))
        return Shown(f"Components of {self.name}", said, (*tables(summary), *edit_table(edits)))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        edits = dict[str, Plot]()
        for name, records in summary["edits"].items():
            edits[f"Edit {name}"] = edit_plot(records)
            caption = f"Predictions of network {self.study.networks[0]} before → after {name}"
            images, classes = self.training.task().targets.images, self.data.classes
            edits[caption] = picture_plot(records[0]["pictures"], images, classes)
        drawn = {"Scores by share of components ablated": score_plot(summary), **edits}
        if self.study.language is None:
            found = self.gallery(settled(store, self.parts).rows).read(store)
            caption = f"Images that the strongest components of network {self.study.networks[0]} give most on"
            drawn[caption] = gallery_plot(found, self.training.task().targets.images)
        return drawn

    def advice(self, store: ObjectStore) -> list[str]:
        parts = next(iter(self.parts.values()))
        counts = ", ".join(f"{name} {count:,}" for name, count in parts.ablated.components.counts().items())
        return [f"components: {parts.count:,} ({counts})"]
