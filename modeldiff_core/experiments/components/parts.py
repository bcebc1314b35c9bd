"""The responses, matrices and fits of a study: what is stored where, for each network."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from modeldiff_core.designs import Bernoulli, LeaveOneOut
from modeldiff_core.experiments.components.settings import ComponentsStudy
from modeldiff_core.identity import plain
from modeldiff_core.responses import Ablated, Ablations
from modeldiff_core.responses.networks import Network
from modeldiff_core.stages.matrix import MatrixSpec
from modeldiff_core.stages.regression import Regression

TEST_SEED = 1_000_003
"""Added to the seed of the ablations that weights are fitted on, for those that test them."""


@dataclass(frozen=True)
class Parts:
    """The parts of a study that belong to one network."""

    study: ComponentsStudy
    network: Network

    @cached_property
    def ablated(self) -> Ablated:
        """The network, its components and targets."""
        study = self.study
        selections = tuple(one.selection() for one in study.components)
        asked = study.ablation
        return Ablated(self.network, selections, asked.fill, study.attributed, study.output, asked.memory_mb)

    @cached_property
    def count(self) -> int:
        """The number of components."""
        return len(self.ablated.components)

    @property
    def fitted(self) -> Ablations:
        """The ablations that weights are fitted on."""
        asked = self.study.ablation
        return self._ablations("fitted", Bernoulli(self.count, 1 - asked.alpha, asked.seed))

    @property
    def alone(self) -> Ablations:
        """The network as it is, then without each component alone."""
        return self._ablations("alone", LeaveOneOut(self.count))

    def test(self, alpha: float) -> Ablations:
        """Return the ablations of a share that weights are tested on."""
        seed = self.study.ablation.seed + TEST_SEED
        return self._ablations("tests", Bernoulli(self.count, 1 - alpha, seed))

    def rows(self) -> Mapping[str, tuple[Ablations, int]]:
        """Return everything that is ablated, by what it is called, with the number of rows."""
        asked = self.study.ablation
        tests = {f"tests at {alpha:g}": (self.test(alpha), asked.test_rows) for alpha in asked.tests}
        return {"ablations": (self.fitted, asked.rows), "one at a time": (self.alone, self.count + 1), **tests}

    def matrices(self) -> Mapping[str, MatrixSpec]:
        """Return the matrices of all of them."""
        return {name: MatrixSpec(responses, rows) for name, (responses, rows) in self.rows().items()}

    def regression(self) -> Regression:
        """Return the fit of the weights."""
        study = self.study
        settings = plain(study.fit.settings)
        assert isinstance(settings, dict)
        return Regression(
            matrix=MatrixSpec(self.fitted, study.ablation.rows).reference,
            folder=self.fitted.home,
            targets=study.attributed,
            units=self.count,
            first=0,
            half=None,
            kind=study.fit.estimator,
            settings=settings,
            block_size=study.fit.block_size,
        )

    def _ablations(self, name: str, design: Bernoulli | LeaveOneOut) -> Ablations:
        return Ablations(f"components_{name}", self.ablated, design, self.study.ablation.shard_size)
