"""Laws fitted to stored runs, and the answers that rest on them, as steps of any experiment's plan."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.scaling.answers import answers
from modeldiff_core.experiments.scaling.settings import FitsConfig
from modeldiff_core.experiments.scaling.stored import FOLDER, StoredRuns
from modeldiff_core.identity import digest
from modeldiff_core.plan import Cost, Label, Record, Reference, Step, Tensors, Wave, refer
from modeldiff_core.scaling.cost import Cost as TokenCost
from modeldiff_core.scaling.forms import law_forms
from modeldiff_core.scaling.law import FittedLaw, Options, fit_law
from modeldiff_core.store import ObjectStore, read_record, write_record

VERSION = 1
LABEL = Label("laws", "fit", unit="laws")


@dataclass(frozen=True)
class Fitted:
    """A law fitted to stored runs.

    Attributes:
        runs: The runs.
        law: A registered form.
        options: How it is fitted.
        form: Digest of the form, so that a changed one of the same name is another law.
        version: Raised by hand when the numbers change.

    """

    runs: StoredRuns
    law: str
    options: Options
    form: str
    version: int = VERSION

    @property
    def product(self) -> Tensors:
        """Parameters, draws and residuals."""
        return Tensors.of(FOLDER, "law", self)

    @property
    def step(self) -> Step:
        """The step that fits it."""
        name = f"law {self.law} of {self.runs.identity[:8]}"
        return Step(name, self.product, fit_stored, self, (self.runs.reference,), LABEL, Cost(1.0))

    def read(self, store: ObjectStore) -> FittedLaw:
        """Return the law; raises DamagedObject or FileNotFoundError."""
        found = self.product.read(store)
        center, cost = (tuple(map(float, found[name])) for name in ("center", "cost"))
        noise, bend = map(float, found["scales"])
        form, bend = law_forms().get(self.law), bend or np.inf
        arrays = found["parameters"], found["draws"], found["residuals"]
        return FittedLaw(form, (center[0], center[1]), *arrays, noise, bend, TokenCost(*cost))


def fit_stored(store: ObjectStore, spec: Fitted) -> None:
    """Fit a law to the runs of each cell's best learning rate and write it."""
    law = fit_law(spec.runs.best(store), law_forms().get(spec.law), spec.options)
    cost = law.cost.factor, law.cost.power, law.cost.sparse, law.cost.error
    arrays = {
        "parameters": law.parameters,
        "draws": law.draws,
        "residuals": law.residuals,
        "center": np.array(law.center),
        "cost": np.array(cost),
        "scales": np.array([law.noise, law.bend if np.isfinite(law.bend) else 0.0]),
    }
    spec.product.write(store, arrays)


@dataclass(frozen=True)
class Fits:
    """Everything that is asked of stored runs.

    Attributes:
        runs: The runs.
        asked: Laws and questions.
        version: Raised by hand when the answers' numbers change.

    """

    runs: StoredRuns
    asked: FitsConfig
    version: int = VERSION

    @cached_property
    def laws(self) -> tuple[Fitted, ...]:
        """The laws; answers rest on the first."""
        options = Options(self.asked.bend, self.asked.draws, self.asked.seed)
        return tuple(Fitted(self.runs, name, options, digest(law_forms().get(name))) for name in self.asked.laws)

    @property
    def spec(self) -> "AnswersSpec":
        """What travels to a worker."""
        forms = tuple(law.form for law in self.laws)
        return AnswersSpec(self.runs, self.asked.model_dump_json(), forms, self.version)

    @property
    def product(self) -> Record:
        """The answers, as a record."""
        return Record(refer(FOLDER, "answers", self.spec))

    @property
    def reference(self) -> Reference:
        """Where the answers are."""
        return self.product.reference

    def check(self) -> None:
        """Raise ConfigError for laws that there are not, and a first one that says nothing of sparsity."""
        forms = [law_forms().get(name) for name in self.asked.laws]
        uses = {feature for term in forms[0].terms for _, feature, _ in term.powers}
        if "s" not in uses or forms[0].granular:
            raise ConfigError("fits.laws", "first a law of sparsity, without granularity", self.asked.laws[0])
        if len(set(self.asked.laws)) < len(forms):
            raise ConfigError("fits.laws", "each law once", list(self.asked.laws))

    def waves(self) -> Iterator[Wave]:
        """Yield the fits, then the answers. The runs are to be made by an earlier wave."""
        yield Wave("fitting laws", tuple(law.step for law in self.laws), noun="laws", verb="fit")
        needs = (self.runs.reference, *(law.product.reference for law in self.laws))
        name = f"answers of {self.runs.identity[:8]}"
        step = Step(name, self.product, write_answers, self.spec, needs, Label("answers", "answer"), Cost(5.0))
        yield Wave("answers", (step,))

    def read(self, store: ObjectStore) -> dict[str, Any]:
        """Return the answers."""
        return read_record(store, self.reference.record)


@dataclass(frozen=True)
class AnswersSpec:
    """`Fits` as plain values. asked: the settings as JSON. forms: digests of the laws."""

    runs: StoredRuns
    asked: str
    forms: tuple[str, ...]
    version: int

    @property
    def fits(self) -> Fits:
        """What it stands for."""
        return Fits(self.runs, FitsConfig.model_validate_json(self.asked), self.version)


def write_answers(store: ObjectStore, spec: AnswersSpec) -> None:
    """Write what the laws answer."""
    fits = spec.fits
    laws = [law.read(store) for law in fits.laws]
    found = answers(spec.runs.best(store), laws, fits.asked)
    write_record(store, fits.reference.record, {"digest": fits.reference.digest, **found})
