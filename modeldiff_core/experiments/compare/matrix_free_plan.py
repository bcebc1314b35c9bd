"""The plan of a comparison without datamodels."""

from collections.abc import Iterator
from itertools import chain

from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.matrix_free import MatrixFreeComparison
from modeldiff_core.experiments.compare.plan import ComparisonPlan
from modeldiff_core.plan import Label, Reference, Step, Wave, later
from modeldiff_core.stages.handful import LETTERS
from modeldiff_core.store import ObjectStore


class MatrixFreePlan(ComparisonPlan):
    """The steps of a comparison without datamodels."""

    comparison: MatrixFreeComparison

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        yield self.training()
        yield self.matrices()
        yield from self.comparison.handful.waves(self.study.name, self.names, self._beside_products())
        yield Wave("directions", (*self._beside(), *self._scores(), *self.comparison.direction_steps()))
        yield later("subpopulations", "directions are there", lambda: self._along(store))
        yield later("search", "directions are there", lambda: self._ranked(store))
        yield later("confirmation", "directions are there", lambda: self._confirmed(store))

    def results(self, store: ObjectStore) -> tuple[Reference, ...]:
        smooth = self.comparison.handful.smoothness_steps(self.study.name, self.names)
        steps = chain(smooth, self._beside(), self.comparison.direction_steps(), self._scores(), self._effects())
        return tuple(step.reference for step in steps)

    @property
    def subset_models(self) -> int:
        return self.study.subsets.evaluation_models

    def _beside_products(self) -> tuple[Step, ...]:
        smooth = self.comparison.handful.smoothness_steps(self.study.name, self.names)
        return (*smooth, *self._along_masks(), *self._effects())

    def _along_masks(self) -> Iterator[Step]:
        for which in LETTERS:
            label = Label(f"{self.names[which]}: products along held-out masks", "differentiate", ("metagradient",))
            for one in self.comparison.score(which).products:
                yield one.step(f"{self._words(which)} products along masks of training {one.derived.number}", label)

    def _scores(self) -> Iterator[Step]:
        for which in LETTERS:
            label = Label(f"{self.names[which]}: score", "score", ("evaluation",))
            yield self.comparison.score(which).step(f"{self._words(which)} score of products", label)


def plan_of(comparison: Comparison) -> ComparisonPlan:
    """Return the plan of a comparison."""
    return MatrixFreePlan(comparison) if isinstance(comparison, MatrixFreeComparison) else ComparisonPlan(comparison)
