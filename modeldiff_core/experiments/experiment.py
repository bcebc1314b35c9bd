"""The contract of an experiment, and the registry of all of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel, ValidationError

from modeldiff_core.data.inventory import Inventory, table_lines
from modeldiff_core.errors import ConfigError
from modeldiff_core.plan import Reference, Wave
from modeldiff_core.registry import Registry
from modeldiff_core.settings import config_error
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.build import load_dataset
from modeldiff_core.study.config import DatasetConfig

KIND = "experiment"
"""The key of a study that names its experiment; a study without it is a comparison."""
DEFAULT = "compare"


@dataclass(frozen=True)
class Table:
    """A table for any screen: rows of plain values by column, and a sentence about them."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    description: str = ""


@dataclass(frozen=True)
class Shown:
    """What an experiment found, for the terminal, Prefect's UI and a notebook.

    Attributes:
        title: A line about the whole.
        findings: Sentences, the most important first.
        tables: Tables by name.
        figures: Keys of PNG images in the store.
        links: Addresses by what they are called, such as Report.

    """

    title: str
    findings: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    figures: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)


class Summarized(ABC):
    """What has a folder of its own, with a summary and a report."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """Digest of everything that decides its numbers."""

    @property
    @abstractmethod
    def folder(self) -> str:
        """Where the summary and the report are stored."""

    @property
    def summary(self) -> Reference:
        """The record of what was found."""
        return Reference(self.folder, self.digest, f"{self.folder}/summary.json")

    @property
    def report(self) -> Reference:
        """The page for people, written after all its figures."""
        return Reference(self.folder, self.digest, f"{self.folder}/report/index.html")


class Experiment(Summarized):
    """A study resolved against its data and a store; everything but `shown` and `now` is a pure function of both.

    It is a ``Plan``: its waves are all of its work.

    Attributes:
        kind: The name of the experiment.
        settings: The class of its studies, whose field ``name`` is for people.
        command: The verb that runs it, with the overrides that choose it.

    """

    kind: ClassVar[str]
    settings: ClassVar[type[BaseModel]]
    command: ClassVar[str] = "run"
    if TYPE_CHECKING:  # at run time a property here would be taken for the default of a member's field of that name

        @property
        def study(self) -> Any: ...

    @classmethod
    @abstractmethod
    def of(cls, study: Any, store: ObjectStore) -> "Experiment":
        """Resolve a study; raises ConfigError for one that names what is not there."""

    @property
    def name(self) -> str:
        """The study's name, for people."""
        return cast(str, self.study.name)

    @property
    def tags(self) -> tuple[str, ...]:
        """Words that runs are found by."""
        return self.name, self.kind

    @property
    def folders(self) -> tuple[str, ...]:
        """See ``Plan``."""
        return (self.folder,)

    @property
    def shared(self) -> tuple[str, ...]:
        """See ``Plan``."""
        return ()

    def inventories(self) -> tuple[Inventory, ...]:
        """Return what each dataset holds: that of the study's ``dataset``; none where it has no such setting."""
        dataset = getattr(self.study, "dataset", None)
        return (load_dataset(dataset).inventory,) if isinstance(dataset, DatasetConfig) else ()

    def check(self) -> list[str]:
        """Return warnings; raises ConfigError for a study that cannot give a result."""
        return []

    def now(self, store: ObjectStore) -> "Experiment":
        """Return the experiment as far as its rounds have come in a store; itself if it has none."""
        return self

    @abstractmethod
    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """See ``Plan``."""

    def refresh(self, store: ObjectStore) -> bool:
        """Draw a finished report again if settings that decide no number, such as names, are not those it shows."""
        return False

    def advice(self, store: ObjectStore) -> list[str]:
        """Return what the store says of more models, a sentence each."""
        return []

    def remarks(self) -> list[str]:
        """Return which of its settings mean something else than those of new studies, a sentence each."""
        return []

    def exit_code(self, store: ObjectStore) -> int:
        """Return what the command ends with once it is complete: 0, or 3 for a verdict that the study is to fail on."""
        return 0

    @abstractmethod
    def redraw(self, store: ObjectStore) -> None:
        """Write the summary and the report again from the stored results."""

    @abstractmethod
    def shown(self, store: ObjectStore) -> Shown:
        """Return what was found, of a complete experiment."""

    def so_far(self, store: ObjectStore) -> Shown | None:
        """Return what there is to show although some of it could not be made; None for nothing."""
        return None

    def row(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns that a sweep's table has of a summary, beside its findings."""
        return {}

    def drawn(self, store: ObjectStore) -> tuple[str, ...]:
        """Return the keys of the report's figures."""
        return tuple(sorted(key for key in store.sizes(f"{self.folder}/report/figures") if key.endswith(".png")))


def data_lines(experiment: Experiment) -> list[str]:
    """Return the tables of an experiment's data, a line each; none for an experiment that has no data of its own."""
    return [line for inventory in experiment.inventories() for line in table_lines(inventory)]


def experiment_kind(study: object) -> str:
    """Return the kind of experiment that a study of plain values names."""
    kind = study.get(KIND, DEFAULT) if isinstance(study, Mapping) else DEFAULT
    if not isinstance(kind, str):
        raise ConfigError(KIND, "the name of an experiment", kind)
    return kind


def parse_settings(cls: type[BaseModel], content: object) -> BaseModel:
    """Return a validated study; raises ConfigError that names the first key at fault."""
    if isinstance(content, Mapping) and KIND not in cls.model_fields:
        content = {name: value for name, value in content.items() if name != KIND}
    parse = getattr(cls, "parse", None)
    if parse is not None:
        study: BaseModel = parse(content)
        return study
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        raise config_error(error) from error


def experiments() -> Registry[type[Experiment]]:
    """Return the registry of experiments, those of installed packages among them."""
    from modeldiff_core.experiments.adopted.experiment import CompareAdopted
    from modeldiff_core.experiments.checkpoints.experiment import Checkpoints
    from modeldiff_core.experiments.compare.experiment import Compare
    from modeldiff_core.experiments.component_contrast.experiment import ComponentContrast
    from modeldiff_core.experiments.components.experiment import ComponentAttribution
    from modeldiff_core.experiments.counterfactual.experiment import Counterfactual
    from modeldiff_core.experiments.diffroar.experiment import DiffRoar
    from modeldiff_core.experiments.league.experiment import League
    from modeldiff_core.experiments.leakage.experiment import Leakage
    from modeldiff_core.experiments.moe_grid.experiment import Scaling
    from modeldiff_core.experiments.preview.experiment import Preview
    from modeldiff_core.experiments.removal.experiment import Removal
    from modeldiff_core.experiments.scaling.experiment import ScalingAdopted
    from modeldiff_core.experiments.simplicity.experiment import Simplicity
    from modeldiff_core.experiments.sweep import Sweep

    return Registry(
        "modeldiff.experiments",
        KIND,
        {
            "checkpoints": Checkpoints,
            "compare": Compare,
            "compare_adopted": CompareAdopted,
            "component_contrast": ComponentContrast,
            "components": ComponentAttribution,
            "counterfactual": Counterfactual,
            "diffroar": DiffRoar,
            "leakage": Leakage,
            "league": League,
            "preview": Preview,
            "removal": Removal,
            "scaling_adopted": ScalingAdopted,
            "scaling": Scaling,
            "simplicity": Simplicity,
            "sweep": Sweep,
        },
    )
