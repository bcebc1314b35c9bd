"""The experiment ``counterfactual``: whether margins move as the datamodels of a comparison predict."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.experiments.compare.check import check_study
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.plan import ComparisonPlan, rounds
from modeldiff_core.experiments.compare.rounds import current_round
from modeldiff_core.experiments.counterfactual.check import CounterfactualCheck
from modeldiff_core.experiments.counterfactual.verdict import CHECKSUMS, FIGURE, judge
from modeldiff_core.experiments.experiment import Shown
from modeldiff_core.experiments.reported import Concluded, Content
from modeldiff_core.plan import Label, Reference, Wave
from modeldiff_core.stages.gram import FOLDER as GRAMS
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import StudyConfig, load_dataset
from modeldiff_core.study.build import check_images
from modeldiff_core.study.config import parse_as_study
from modeldiff_core.study.counterfactual import CounterfactualConfig, check_counterfactual


class CounterfactualStudy(StudyConfig):
    """A comparison's study, and what is left out of its training set."""

    experiment: Literal["counterfactual"] = "counterfactual"
    counterfactual: CounterfactualConfig = CounterfactualConfig()

    @classmethod
    def parse(cls, content: object) -> "CounterfactualStudy":
        """Return a validated study; raises ConfigError."""
        return parse_as_study(cls, content)

    @property
    def comparison_study(self) -> StudyConfig:
        """The comparison's own study."""
        own = self.model_dump(mode="json", exclude={"experiment", "counterfactual"})
        return StudyConfig.model_validate(own)


@dataclass(frozen=True)
class Counterfactual(Concluded):
    """The counterfactual check of a comparison, with the training and the regressions that it rests on."""

    study: CounterfactualStudy
    checked: CounterfactualCheck
    kind: ClassVar[str] = "counterfactual"
    settings: ClassVar[type[BaseModel]] = CounterfactualStudy
    command: ClassVar[str] = "counterfactual"
    beside: ClassVar[tuple[str, ...]] = (FIGURE, "scatter.svg", "index.html")
    rendered: ClassVar[tuple[str, ...]] = (CHECKSUMS,)

    @classmethod
    def of(cls, study: CounterfactualStudy, store: ObjectStore) -> "Counterfactual":
        """Load the data and name the two trainings."""
        return cls(study, CounterfactualCheck(Comparison.of(study.comparison_study), study.counterfactual))

    @property
    def comparison(self) -> Comparison:
        """The comparison whose datamodels are checked."""
        return self.checked.comparison

    @property
    def digest(self) -> str:
        return self.checked.record.digest

    @property
    def folder(self) -> str:
        return self.checked.record.key

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(training.prefix for training in self.comparison.trainings))

    @property
    def shared(self) -> tuple[str, ...]:
        return GRAMS, self.comparison.folder

    @property
    def summary(self) -> Reference:
        return self.checked.record

    @property
    def report(self) -> Reference:
        return replace(self.checked.record, record=self.checked.page)

    def check(self) -> list[str]:
        data, study = load_dataset(self.study.dataset), self.comparison.study
        check_images(data, self.kind)
        if study.comparison.method == "matrix_free":
            hint = "The check removes what datamodels name, and differentiated trainings form none"
            raise ConfigError("comparison.method", "contrast, pca or crossfit", "matrix_free", hint)
        warnings = check_study(study, data, self.comparison.trainings)
        check_counterfactual(self.checked.settings, study, data)
        return warnings

    def now(self, store: ObjectStore) -> "Counterfactual":
        settled = current_round(store, self.comparison).comparison
        study = self.study.model_copy(update={"subsets": settled.study.subsets})
        return replace(self, study=study, checked=replace(self.checked, comparison=settled))

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield rounds, training and regressions as far as they are needed, the removals, and the verdict."""
        yield from rounds(store, self.comparison)
        known = self.now(store)
        check, study, plan = known.checked, known.study, ComparisonPlan(known.comparison)
        yield plan.training()
        yield plan.matrices()
        names = study.algorithm_a.name, study.algorithm_b.name
        fits = {f"{study.name} {names[which]} all models": check.regression(which) for which in (0, 1)}
        yield from plan.datamodels(store, fits)
        label = Label("models without what helps a target most", "train without", ("counterfactual",), "models")
        removals = tuple(
            removal.step(f"{study.name} {names[which]} without what helps {removal.target}", label)
            for which in (0, 1)
            for removal in check.removals(which)
        )
        yield Wave("training without", removals, noun="removals", verb="train")
        needs, verdict = tuple(step.reference for step in removals), Label("verdict", "judge", ("counterfactual",))
        yield Wave("verdict", (known.concluding(needs, verdict, seconds=2.0),))

    def conclude(self, store: ObjectStore) -> tuple[dict[str, Any], dict[str, Content]]:
        record, files = judge(store, self.checked)
        return record, dict(files)

    def check_beside(self, store: ObjectStore, name: str, expected: Content) -> None:
        key, sums = f"{self.folder}/{name}", read_record(store, self.summary.record).get(CHECKSUMS, {})
        if name in sums and hashlib.sha256(store.read(key)).hexdigest() != sums[name]:
            raise DamagedObject(f"{store.url(key)}: does not match its checksum", keys=(key,))

    def shown(self, store: ObjectStore) -> Shown:
        check = self.now(store).checked
        record = read_record(store, check.record.record)
        return Shown(
            f"Counterfactual check of {self.name}",
            tuple(_sentence(found, check.settings.top_k) for found in record["algorithms"].values()),
            figures=(f"{check.record.key}/{FIGURE}",),
            links={"Page": store.url(check.page)},
        )


def _sentence(found: dict[str, Any], top_k: int) -> str:
    low, high = found["pearson_interval"]
    return (
        f"{found['name']}: without the {top_k} most helpful examples of {len(found['changes'])} targets, predicted and "
        f"actual changes of margin correlate with {found['pearson']:.2f} [{low:.2f}, {high:.2f}] (ranks "
        f"{found['spearman']:.2f}); actual changes are {found['slope']:.2f} times the predicted "
        f"({found['models']} models each)."
    )
