"""A comparison's counterfactual check: both algorithms, the same targets."""

from dataclasses import dataclass

from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.counterfactual.removals import VERSION, Removal
from modeldiff_core.identity import generator
from modeldiff_core.plan import Reference, refer
from modeldiff_core.stages.regression import Regression
from modeldiff_core.study.counterfactual import CounterfactualConfig


@dataclass(frozen=True)
class CounterfactualCheck:
    """The check of a comparison, whose number of models is settled."""

    comparison: Comparison
    settings: CounterfactualConfig

    def targets(self) -> list[int]:
        """Return the targets as given, or drawn from all of the study's."""
        if not isinstance(self.settings.targets, int):
            return list(self.settings.targets)
        among = self.comparison.trainings[0].targets
        drawn = generator("counterfactual targets", self.settings.seed).permutation(among)
        return sorted(drawn[: self.settings.targets].tolist())

    def regression(self, which: int) -> Regression:
        """Return the regression on all models of algorithm A (0) or B (1)."""
        return self.comparison.regression(self.comparison.trainings[which], None)

    def removals(self, which: int) -> list[Removal]:
        """Return one removal a target, of algorithm A (0) or B (1)."""
        training, fit = self.comparison.trainings[which], self.regression(which)
        top_k, models = self.settings.top_k, self.settings.models
        return [Removal(training, fit, target, top_k, models) for target in self.targets()]

    @property
    def record(self) -> Reference:
        """Where the verdict is, written after its page and figures."""
        identity = [[removal.reference.digest for removal in self.removals(which)] for which in (0, 1)]
        return refer(self.comparison.folder, "counterfactual", {"version": VERSION, "removals": identity})

    @property
    def page(self) -> str:
        """Key of the page."""
        return f"{self.record.key}/index.html"
