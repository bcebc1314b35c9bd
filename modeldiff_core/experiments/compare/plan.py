"""The plan of a comparison: every stage, in order. Nothing else in the platform knows the order."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, product

from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.findings import descriptions, significant_entries
from modeldiff_core.experiments.compare.rounds import current_round, ending
from modeldiff_core.plan import Label, Reference, Step, Wave, later
from modeldiff_core.responses import FullModels, SubsetModels
from modeldiff_core.stages.curve import Curve
from modeldiff_core.stages.datamodels import datamodel_waves
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.score import TrainedScore
from modeldiff_core.stages.search import BOTH, Search, searches
from modeldiff_core.stages.shards import shard_steps
from modeldiff_core.stages.trainings import training_step
from modeldiff_core.store import ObjectStore


class ComparisonPlan:
    """The steps of a plain comparison, whose number of models is settled."""

    def __init__(self, comparison: Comparison, seconds_a_model: Mapping[str, float] | None = None) -> None:
        self.comparison, self.study = comparison, comparison.study
        self.names = comparison.names
        self.seconds_a_model = seconds_a_model or {}

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield every wave from the first shard to the confirmed candidates; the summary and the report follow."""
        yield self.training()
        yield self.matrices()
        yield self.curves()
        fits = {f"{self._words(which)} {name}": fit for (which, name), fit in self.comparison.regressions().items()}
        yield from self.datamodels(store, fits, self._effects())
        yield Wave("directions and null", (*self._beside(), *self._scores(), *self.comparison.direction_steps()))
        yield from self.comparison.null_waves(store)
        yield later("subpopulations", "directions and their null are there", lambda: self._along(store))
        yield later("search", "directions and their null are there", lambda: self._ranked(store))
        yield later("confirmation", "directions and their null are there", lambda: self._confirmed(store))

    def results(self, store: ObjectStore) -> tuple[Reference, ...]:
        """Return what the summary is made from, but for what follows from significant directions.

        Draws of a null that are made one after another are named as far as they are there.
        """
        steps = chain(self._beside(), self.comparison.direction_steps(), self._scores(), self._effects())
        return (*(step.reference for step in steps), *self.comparison.null_references(store))

    @property
    def subset_models(self) -> int:
        """Subset models of each algorithm."""
        return int(self.study.subsets.models)

    def training(self) -> Wave:
        """Return the shards of subset models and of full-data models of both algorithms."""
        study = self.study
        steps = [training_step(training) for training in self.comparison.trainings]
        for which, training in self.comparison.sides.items():
            for kind, responses, models in (
                ("subsets", SubsetModels(training), self.subset_models),
                ("ensemble", FullModels(training), study.ensemble.models),
            ):
                words = f"{self._words(which)} {kind}"
                label = Label(f"{self.names[which]}: {kind}", "train shard", ("shard",), "models")
                seconds = self.seconds_a_model.get(words, 0.02)
                steps += shard_steps(responses, models, words, label, seconds)
        return Wave("training", tuple(steps), noun="shards", verb="train")

    def matrices(self) -> Wave:
        """Return the gathering of the margins of each algorithm."""
        models, steps = self.subset_models, []
        for which, training in self.comparison.sides.items():
            label = Label(f"{self.names[which]}: margins", "consolidate", ("matrix",))
            words = f"{self._words(which)} consolidate {models} models"
            steps.append(self.comparison.matrix(training).step(words, label))
        return Wave("gathering margins", tuple(steps))

    def datamodels(
        self, store: ObjectStore, fits: Mapping[str, Regression], others: Iterable[Step] = ()
    ) -> Iterator[Wave]:
        """Yield the waves of regressions by what a person would call them; others: steps done at the same time."""
        return datamodel_waves(store, fits, self.study.name, others)

    def curves(self) -> Wave:
        """Return the learning curve of each algorithm."""
        models = self.study.subsets.models
        steps = [
            Curve.of(self.study, training)
            .to(models)
            .step(
                f"{self._words(which)} learning curve to {models} models",
                Label(f"{self.names[which]}: learning curve", "learning curve", ("evaluation",)),
            )
            for which, training in self.comparison.sides.items()
        ]
        return Wave("learning curves", tuple(steps))

    def _effects(self) -> Iterator[Step]:
        for pair in self.comparison.effects():
            for which, effect in zip("ab", pair, strict=True):
                name = f"{self._words(which)} effect of {effect.test.name}"
                label = Label(f"{self.names[which]}: effect of {effect.test.name}", "effect", ("effect",))
                yield effect.step(name, label)

    def _beside(self) -> Iterator[Step]:
        label = Label("plain differences", "plain differences", ("evaluation",))
        yield self.comparison.plain.step(f"{self.study.name} plain differences", label)
        if (spread := self.comparison.spread) is not None:
            yield spread.step(f"{self.study.name} differences in spread", Label("spread", "spread", ("comparison",)))

    def _scores(self) -> Iterator[Step]:
        for (which, kind), fit in self.comparison.scored().items():
            label = Label(f"{self.names[which]}: {kind} score", "score", ("evaluation",))
            name = f"{self._words(which)} {kind} linear datamodeling score"
            training = self.comparison.sides[which]
            yield TrainedScore(training, fit, self.study.ensemble.models).step(name, label)

    def _along(self, store: ObjectStore) -> list[Step]:
        entries = significant_entries(store, self.comparison)
        steps = []
        for spec in descriptions(self.comparison, entries):
            name = f"{self.study.name} ends of direction {spec.side} {spec.index + 1}"
            steps.append(spec.step(name, Label("subpopulations", "describe", ("subpopulation",))))
        for search in self._searches(store):
            name = f"{self.study.name} candidates along {search.side} {search.index + 1}"
            steps.append(search.propose_step(name, Label("candidates", "propose", ("search",))))
        return steps

    def _ranked(self, store: ObjectStore) -> list[Step]:
        label = Label("ranked candidates", "rank", ("search",))
        return [
            search.rank_step(which, f"{self._words(which)} rank along {search.side} {search.index + 1}", label)
            for search, which in product(self._searches(store), BOTH)
        ]

    def _confirmed(self, store: ObjectStore) -> list[Step]:
        label = Label("confirmed candidates", "confirm", ("search",))
        return [
            search.confirm_step(which, f"{self._words(which)} confirm along {search.side} {search.index + 1}", label)
            for search, which in product(self._searches(store), BOTH)
        ]

    def _searches(self, store: ObjectStore) -> list[Search]:
        entries = significant_entries(store, self.comparison)
        return searches(self.study, self.comparison.trainings, self.comparison.pair, entries)

    def _words(self, which: str) -> str:
        return f"{self.study.name} {self.names[which]}"


def rounds(store: ObjectStore, comparison: Comparison) -> Iterator[Wave]:
    """Yield rounds of training and learning curves while an adaptive design asks for more; nothing for a plain one."""
    subsets, trained = comparison.study.subsets, 0
    while not (now := current_round(store, comparison)).last:
        plan, models = ComparisonPlan(now.comparison), now.comparison.study.subsets.models
        if models == trained:  # what this round needs could not be made, or nothing is being made
            yield Wave("next round", (), "the learning curves of this round are there", damage=now.damage)
            return
        trained = models
        yield plan.training()
        yield plan.curves()
    if subsets.adaptive:
        said = ending(subsets, now.comparison.study.subsets.models)
        yield Wave("rounds", (), note=f"{comparison.study.name}: {said}")
