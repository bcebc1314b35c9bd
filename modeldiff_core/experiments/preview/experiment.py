"""The experiment ``preview``: products of a few trainings of each algorithm, their directions, and one page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from modeldiff_core.data.inventory import Inventory
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.experiments.preview.found import find, present, sheets
from modeldiff_core.identity import digest
from modeldiff_core.metagradients import check_differentiable
from modeldiff_core.plan import Label, Tensors, Wave
from modeldiff_core.report.figures import Plot
from modeldiff_core.stages.products import FOLDER, CommonBasis, Derived, Forward, Reverse, seconds_of
from modeldiff_core.stages.trainings import training_step
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import StudyConfig, Training, load_dataset, trainings_of
from modeldiff_core.study.build import build_algorithm
from modeldiff_core.study.config import parse_as_study
from modeldiff_core.study.preview import PreviewConfig

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
        settings = self.study.preview.model_dump(mode="json")
        return digest({"experiment": self.kind, "version": self.version, "trainings": trainings, "preview": settings})

    @property
    def folders(self) -> tuple[str, ...]:
        return (*dict.fromkeys(training.prefix for training in self.trainings), self.folder)

    @property
    def shared(self) -> tuple[str, ...]:
        return (FOLDER,)

    def inventories(self) -> tuple[Inventory, ...]:
        """Return what the dataset holds."""
        return (load_dataset(self.study.dataset).inventory,)

    def check(self) -> list[str]:
        data, asked = load_dataset(self.study.dataset), self.study.preview
        for training in self.trainings:
            algorithm = build_algorithm(training.algorithm, training.key)
            try:
                algorithm.check(data.image_shape, len(data.classes))
            except ConfigError as error:
                raise ConfigError(f"{training.key}.{error.key}", error.expected, error.got, error.hint) from error
            check_differentiable(algorithm, training.output, f"{training.key}.kind")
        limit = min(2 * asked.probes, self.trainings[0].targets - 1, len(data.train))
        if asked.components > limit:
            raise ConfigError("preview.components", f"at most {limit}, the directions of the basis", asked.components)
        return []

    def derived(self, which: str, number: int) -> Derived:
        """Return a training of a side."""
        training = self.trainings[SIDES.index(which)]
        return Derived(training, number, len(training.load().train), self.study.preview.batch_statistics)

    def reverse(self, which: str) -> tuple[Reverse, ...]:
        """Return the products of a side that choose the basis; the sides have weightings of their own."""
        asked = self.study.preview
        first = SIDES.index(which) * asked.probes
        return tuple(Reverse(self.derived(which, number), asked.probes, first, asked.seed) for number in asked.choosing)

    @property
    def basis(self) -> CommonBasis:
        """The basis."""
        return CommonBasis(self.reverse("a"), self.reverse("b"))

    def forward(self, which: str) -> tuple[Forward, ...]:
        """Return the products of a side that are compared."""
        return tuple(Forward(self.derived(which, number), self.basis) for number in self.study.preview.compared)

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield reverse products, the basis and forward products."""
        name, names = self.name, self.names
        steps = [training_step(training) for training in self.trainings]
        for which in SIDES:
            label = Label(f"{names[which]}: reverse products", "differentiate", ("metagradient",))
            steps += [
                one.step(f"{name} {names[which]} reverse products of training {one.derived.number}", label)
                for one in self.reverse(which)
            ]
        yield Wave("reverse products", tuple(steps))
        yield Wave("basis", (self.basis.step(f"{name} basis", Label("basis", "basis", ("metagradient",))),))
        steps = []
        for which in SIDES:
            label = Label(f"{names[which]}: forward products", "differentiate", ("metagradient",))
            steps += [
                one.step(f"{name} {names[which]} forward products of training {one.derived.number}", label)
                for one in self.forward(which)
            ]
        yield Wave("forward products", tuple(steps))

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        return find(store, self.study.preview, self.basis, (self.forward("a"), self.forward("b")), self.names)

    def present(self, summary: Mapping[str, Any]) -> Shown:
        return present(self.name, summary, load_dataset(self.study.dataset).classes, self.study)

    def shown(self, store: ObjectStore) -> Shown:
        # How long it took is no part of the summary, which the same products give bit for bit.
        made: list[Tensors] = []
        for which in SIDES:
            made += [one.product for one in self.reverse(which)]
            made += [one.product for one in self.forward(which)]
        found = super().shown(store)
        took = f"The products took {seconds_of(store, made):.1f} s of processor time."
        return replace(found, findings=(found.findings[0], took, *found.findings[1:]))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        return sheets(summary, load_dataset(self.study.dataset))
