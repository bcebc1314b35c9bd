"""The responses, matrices and fits of a study: what is stored where, for each network."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from modeldiff_core.designs import Bernoulli, LeaveOneOut
from modeldiff_core.experiments.components.settings import ComponentsStudy
from modeldiff_core.responses import Ablated, Ablations
from modeldiff_core.responses.networks import Network
from modeldiff_core.stages.matrix import MatrixSpec
from modeldiff_core.stages.regression import Regression

TEST_SEED = 1_000_003
"""Added to the seed of the ablations that weights are fitted on, for those that test them."""
ALONE_WORDS = "one at a time"


def test_words(alpha: float) -> str:
    """Return what the tests at a share are called."""
    return f"tests at {alpha:g}"


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
        how = asked.memory_mb, asked.precision
        return Ablated(self.network, selections, asked.fill, study.attributed, study.output, *how)

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

    @property
    def held(self) -> int:
        """Ablations that no fit uses, the first: those that say when the rounds of an adaptive study end."""
        asked = self.study.ablation
        return asked.rounds.held_rows if asked.adaptive else 0

    def sizes(self) -> tuple[int, ...]:
        """Return how many ablations are fitted after each round, in whole shards; one round for a plain study."""
        asked = self.study.ablation
        if not asked.adaptive:
            return (asked.rows,)
        sizes, wanted = list[int](), asked.rounds.first * self.count
        while not sizes or sizes[-1] < asked.rows:
            whole = -(-(self.held + round(wanted)) // asked.shard_size) * asked.shard_size - self.held
            size = min(asked.rows, whole)
            sizes += [size] if size > (sizes[-1] if sizes else 0) else []
            wanted *= asked.rounds.growth
        return tuple(sizes)

    def tests(self) -> Mapping[str, tuple[Ablations, int]]:
        """Return what is ablated besides the rows that are fitted, by what it is called, with the number of rows."""
        asked = self.study.ablation
        tests = {test_words(alpha): (self.test(alpha), asked.test_rows) for alpha in asked.tests}
        return {ALONE_WORDS: (self.alone, self.count + 1), **tests}

    def gathered(self, rows: int) -> MatrixSpec:
        """Return the matrix of so many fitted ablations, and of those held out before them."""
        return MatrixSpec(self.fitted, self.held + rows)

    def matrices(self) -> Mapping[str, MatrixSpec]:
        """Return the matrices of the tests."""
        return {name: MatrixSpec(responses, rows) for name, (responses, rows) in self.tests().items()}

    def regression(self, rows: int) -> Regression:
        """Return the fit of the weights on so many ablations."""
        study = self.study
        return Regression(
            matrix=self.gathered(rows).reference,
            folder=self.fitted.home,
            targets=study.attributed,
            units=self.count,
            first=self.held,
            half=None,
            kind=study.fit.estimator,
            settings=study.fit.complete(),
            block_size=study.fit.block_size,
        )

    def _ablations(self, name: str, design: Bernoulli | LeaveOneOut) -> Ablations:
        return Ablations(f"components_{name}", self.ablated, design, self.study.ablation.shard_size)
