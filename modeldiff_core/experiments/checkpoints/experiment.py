"""The experiment ``checkpoints``: how two algorithms differ, from trained checkpoints of each alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel
from torch import nn

from modeldiff_core.data import Dataset
from modeldiff_core.datamodels.ekfac import attributed_parameters
from modeldiff_core.datamodels.trak import DampedTrak
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.checkpoints.attributed import FOLDER, Attributed, StoredState
from modeldiff_core.experiments.checkpoints.compared import Compared
from modeldiff_core.experiments.checkpoints.networks import OneNetwork, build, check_network, inputs_of, with_source
from modeldiff_core.experiments.checkpoints.present import find, present
from modeldiff_core.experiments.checkpoints.settings import CheckpointsStudy, SideConfig
from modeldiff_core.experiments.checkpoints.states import check_distinct, check_fits, digest_of, files_of, state_of
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.one_page import OnePage
from modeldiff_core.experiments.preview.found import ends_sheets
from modeldiff_core.identity import digest
from modeldiff_core.plan import Step, Wave
from modeldiff_core.report.figures import Plot
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import load_dataset
from modeldiff_core.study.build import check_images

MOST_TARGETS = 1000
"""Test images that are explained where nothing is said."""
TRIED = 4
"""Images that the network is tried on before anything is computed."""
SIDES = ("a", "b")


@dataclass(frozen=True)
class Checkpoints(OnePage):
    """Two algorithms by their checkpoints; `study` names each by the digest of its weights once it is resolved."""

    study: CheckpointsStudy
    kind: ClassVar[str] = "checkpoints"
    settings: ClassVar[type[BaseModel]] = CheckpointsStudy

    @classmethod
    def of(cls, study: CheckpointsStudy, store: ObjectStore) -> "Checkpoints":
        """Read the files of a study that names files, and return its experiment.

        Raises:
            ConfigError: For examples that are no images, for a network that cannot be made, for files that do not fit
                it, are not finite, are pickles, or hold the same weights twice, and for sides of unequal number.
        """
        data = load_dataset(study.dataset)
        check_images(data, cls.kind)
        networks = {"network": with_source(study.network)}
        if study.network_b is not None:
            networks["network_b"] = with_source(study.network_b)
        study = study.model_copy(update=networks)
        nets = {name: build(study.network_of(name), data.image_shape, len(data.classes)) for name in SIDES}
        sides = {name: _resolved(getattr(study, name), name, nets[name]) for name in SIDES}
        names = {name: side.checkpoints or side.states for name, side in sides.items()}
        check_distinct({name: side.states for name, side in sides.items()}, names)
        return cls(study.model_copy(update=sides))

    @property
    def digest(self) -> str:
        """Digest of all settings and of the checkpoints' weights, wherever their files are."""
        settings = self.study.model_dump(mode="json", exclude={"name", "experiment", "dataset", "a", "b"})
        states = {name: list(getattr(self.study, name).states) for name in SIDES}
        data = load_dataset(self.study.dataset).fingerprint
        content = {"experiment": self.kind, "version": self.version, "data": data, "states": states}
        return digest({**content, "settings": settings})

    @property
    def shared(self) -> tuple[str, ...]:
        return (FOLDER,)

    @cached_property
    def data(self) -> Dataset:
        """The data."""
        return load_dataset(self.study.dataset)

    def check(self) -> list[str]:
        """Try the network on a few images; warn where few directions can be told."""
        study, data = self.study, self.data
        if self.targets > len(data.test):
            raise ConfigError("targets", f"at most the {len(data.test)} test images", study.targets)
        for side in SIDES if study.network_b is not None else SIDES[:1]:
            self._check_network(side)
        limit = min(study.basis, self.targets - 1, len(data.train))
        if study.components > limit:
            raise ConfigError("components", f"at most {limit}, the directions of the basis", study.components)
        return []

    def _check_network(self, side: str) -> None:
        network, data = self.study.network_of(side), self.data
        net, prepare = build(network, data.image_shape, len(data.classes)), inputs_of(network)
        check_network(net, prepare(data.train.images[:TRIED]), len(data.classes))
        if self.study.estimator.kind == "trak":
            DampedTrak(self.study.estimator.dimensions).check(OneNetwork(net, prepare), len(data.train))
        elif not attributed_parameters(net)[0]:
            raise ConfigError("network", "one with linear or convolutional layers", type(net).__name__)

    @property
    def targets(self) -> int:
        """Test images that are explained."""
        return self.study.targets or min(len(self.data.test), MOST_TARGETS)

    def states(self, side: str) -> tuple[StoredState, ...]:
        """Return the checkpoints of a side."""
        own: SideConfig = getattr(self.study, side)
        files = own.checkpoints or ("",) * len(own.states)
        return tuple(StoredState(state, file) for state, file in zip(own.states, files, strict=True))

    def attributed(self, side: str) -> tuple[Attributed, ...]:
        """Return the attributions of a side."""
        study, data = self.study, self.data
        place = study.dataset, data.fingerprint, self.targets, len(data.train)
        network = study.network_of(side)
        return tuple(Attributed(*place, network, study.estimator, state) for state in self.states(side))

    @property
    def pair(self) -> Compared:
        """The directions."""
        study = self.study
        return Compared(
            self.attributed("a"), self.attributed("b"), study.basis, study.components, study.top, study.seed
        )

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        taken, steps = list[Step](), list[Step]()
        for side in SIDES:
            name = getattr(self.study, side).name
            taken += [one.step(f"{self.name} {name} checkpoint {at}") for at, one in enumerate(self.states(side))]
            steps += [one.step(f"{self.name} {name} attributions {at}") for at, one in enumerate(self.attributed(side))]
        yield Wave("checkpoints", tuple(taken), noun="checkpoints", verb="take in")
        yield Wave("attributions", tuple(steps), noun="checkpoints", verb="attribute")
        yield Wave("directions", (self.pair.step(f"{self.name} directions"),))

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        return find(store, self.pair, self.study)

    def present(self, summary: Mapping[str, Any]) -> Shown:
        study, data = self.study, self.data
        nets = [build(study.network_of(side), data.image_shape, len(data.classes)) for side in SIDES]
        counts = dict.fromkeys(attributed_parameters(net) for net in nets)
        return present(self.name, summary, tuple(counts), len(data.test))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        return ends_sheets(summary, self.data)


def _resolved(side: SideConfig, name: str, net: nn.Module) -> SideConfig:
    """Return a side whose files are read, if it names files alone."""
    if side.states:
        return side
    key = f"{name}.checkpoints"
    files, states = files_of(side.checkpoints, key), []
    for file in files:
        state = state_of(file, key)
        check_fits(state, net, key, Path(file).name)
        states.append(digest_of(state))
    return side.model_copy(update={"checkpoints": files, "states": tuple(states)})
