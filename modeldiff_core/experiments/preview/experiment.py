"""The experiment ``preview``: products of a few trainings of each algorithm, their directions, and one page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.experiments.preview.found import candidates, find, present, sheets
from modeldiff_core.identity import digest, plain
from modeldiff_core.plan import Label, Step, Wave, later
from modeldiff_core.report.figures import Plot
from modeldiff_core.responses import FullModels
from modeldiff_core.stages.handful import Handful
from modeldiff_core.stages.matrix_free import MatrixFree, read_directions_of
from modeldiff_core.stages.products import FOLDER, seconds_of
from modeldiff_core.stages.search import BOTH, Search
from modeldiff_core.stages.shards import shard_steps
from modeldiff_core.stages.smoothness import smoothness_entry
from modeldiff_core.stages.trainings import training_step
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import StudyConfig, Training, load_dataset, trainings_of
from modeldiff_core.study.build import build_algorithm, check_images
from modeldiff_core.study.check_estimators import check_derivatives
from modeldiff_core.study.config import parse_as_study
from modeldiff_core.study.preview import PreviewConfig
from modeldiff_core.study.trainings import target_examples
from modeldiff_core.transformations.search import check_halves

SIDES = ("a", "b")


class PreviewStudy(StudyConfig):
    """A comparison's study, and how it is previewed."""

    experiment: Literal["preview"] = "preview"
    preview: PreviewConfig = PreviewConfig()

    @classmethod
    def parse(cls, content: object) -> "PreviewStudy":
        """Return a validated study; raises ConfigError."""
        return parse_as_study(cls, content)


@dataclass(frozen=True)
class Preview(OnePage):
    """A preview of a comparison."""

    study: PreviewStudy
    kind: ClassVar[str] = "preview"
    settings: ClassVar[type[BaseModel]] = PreviewStudy
    command: ClassVar[str] = "preview"
    version: ClassVar[int] = 2
    """2: the trainings that choose the basis of a test are the first ones; candidates."""

    @cached_property
    def trainings(self) -> tuple[Training, Training]:
        """A's and B's."""
        return trainings_of(self.study, load_dataset(self.study.dataset))

    @property
    def names(self) -> dict[str, str]:
        """What people call the algorithms, by their letters."""
        return {"a": self.study.algorithm_a.name, "b": self.study.algorithm_b.name}

    @property
    def digest(self) -> str:
        trainings = [training.identity for training in self.trainings]
        settings: dict[str, Any] = {"preview": self.study.preview.model_dump(mode="json")}
        if self.study.preview.searched:
            settings |= {
                "search": plain(self.study.search),
                "effects": plain(self.study.effects),
                "models": self.ranking,
            }
        return digest({"experiment": self.kind, "version": self.version, "trainings": trainings, **settings})

    @property
    def folders(self) -> tuple[str, ...]:
        return (*dict.fromkeys(training.prefix for training in self.trainings), self.folder)

    @property
    def shared(self) -> tuple[str, ...]:
        return (FOLDER,)

    def check(self) -> list[str]:
        data, asked = load_dataset(self.study.dataset), self.study.preview
        check_images(data, self.kind)
        for training in self.trainings:
            algorithm = build_algorithm(training.algorithm, training.key)
            try:
                algorithm.check(data.image_shape, len(data.classes))
            except ConfigError as error:
                raise ConfigError(f"{training.key}.{error.key}", error.expected, error.got, error.hint) from error
            check_derivatives(training, f"{training.key}.kind")
        limit = min(2 * asked.probes, self.trainings[0].targets - 1, len(data.train))
        if asked.components > limit:
            raise ConfigError("preview.components", f"at most {limit}, the directions of the basis", asked.components)
        if asked.searched:
            check_halves(target_examples(data, self.trainings[0].targets).labels, self.study.search)
        return []

    @property
    def handful(self) -> Handful:
        """The trainings and their products."""
        asked = self.study.preview
        return Handful(self.trainings, asked.trainings, asked.probes, asked.seed, asked.batch_statistics)

    @property
    def pair(self) -> MatrixFree:
        """The directions."""
        return self.handful.pair(self.study.preview.components, self.study.preview.top)

    @property
    def ranking(self) -> int:
        """Full-data models of each algorithm that rank candidates: a shard's, which a full comparison trains too."""
        ensemble = self.study.ensemble
        return min(ensemble.models, ensemble.shard_size)

    def searches(self, store: ObjectStore) -> list[Search]:
        """Return the searches along the first directions of either side."""
        study, pair = self.study, self.pair
        found = read_directions_of(store, pair)
        return [
            Search(
                pair, self.trainings, self.ranking, "a-b" if side == "a-b" else "b-a", at, study.search, study.effects
            )
            for side, at in found.ranked()
            if at < study.preview.searched
        ]

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield the products, the directions, and candidates along the first of them, ranked on full-data models."""
        name, names = self.name, self.names
        steps = [training_step(training) for training in self.trainings]
        if self.study.preview.searched:
            for which, training in zip(SIDES, self.trainings, strict=True):
                label = Label(f"{names[which]}: ensemble", "train shard", ("shard",), "models")
                steps += shard_steps(FullModels(training), self.ranking, f"{name} {names[which]} ensemble", label, 0.02)
        yield from self.handful.waves(name, names, (*steps, *self.handful.smoothness_steps(name, names)))
        yield Wave(
            "directions", (self.pair.step(f"{name} directions", Label("directions", "directions", ("comparison",))),)
        )
        if self.study.preview.searched:
            yield later("candidates", "directions are there", lambda: self._proposed(store))
            yield later("ranked candidates", "directions are there", lambda: self._ranked(store))

    def _proposed(self, store: ObjectStore) -> list[Step]:
        label = Label("candidates", "propose", ("search",))
        return [
            one.propose_step(f"{self.name} candidates along {one.side} {one.index + 1}", label)
            for one in self.searches(store)
        ]

    def _ranked(self, store: ObjectStore) -> list[Step]:
        label = Label("ranked candidates", "rank", ("search",))
        return [
            one.rank_step(which, f"{self.name} {self.names[which]} rank along {one.side} {one.index + 1}", label)
            for one in self.searches(store)
            for which in BOTH
        ]

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        found = find(store, self.study.preview, self.pair, self.names)
        searched = self.searches(store) if self.study.preview.searched else []
        smooth = smoothness_entry(store, [self.handful.smoothness(which) for which in SIDES])
        return {
            **found,
            "smoothness": smooth,
            "ranking_models": self.ranking,
            "candidates": candidates(store, searched),
        }

    def present(self, summary: Mapping[str, Any]) -> Shown:
        return present(self.name, summary, load_dataset(self.study.dataset).classes, self.study)

    def shown(self, store: ObjectStore) -> Shown:
        # How long it took is no part of the summary, which the same products give bit for bit.
        found = super().shown(store)
        took = f"The products took {seconds_of(store, self.pair.products):.1f} s of processor time."
        return replace(found, findings=(found.findings[0], took, *found.findings[1:]))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        return sheets(summary, load_dataset(self.study.dataset), self.study)
