"""A handful of trainings of two algorithms: which are differentiated, along what, and the steps that do it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from modeldiff_core.comparison.trainings import LEAST_TESTED
from modeldiff_core.plan import Label, Step, Wave
from modeldiff_core.stages.matrix_free import MatrixFree
from modeldiff_core.stages.products import CommonBasis, Derived, Forward, Reverse
from modeldiff_core.stages.smoothness import Smoothness
from modeldiff_core.study import Training

BASIS_TRAININGS = 2
"""Trainings of each algorithm, the first ones, that only choose the basis where directions are tested."""
LETTERS = ("a", "b")


@dataclass(frozen=True)
class Handful:
    """The same number of trainings of A and of B.

    Where they are enough for a test, two more of each, numbers 0 and 1, choose the basis and the next are compared;
    else all choose it and are compared. So what a preview of two trainings chooses serves a tested comparison of more.

    trainings: A's and B's. count: trainings of each that are compared. probes: reverse products of a training; the
    basis has twice as many directions. seed: of the random weightings of targets.
    """

    trainings: tuple[Training, Training]
    count: int
    probes: int
    seed: int
    batch_statistics: Literal["full", "weighted"] = "full"

    @property
    def tested(self) -> bool:
        """Whether there are enough trainings for p-values."""
        return self.count >= LEAST_TESTED

    @property
    def choosing(self) -> range:
        """Numbers of the trainings that choose the basis: others than are compared, where that is tested."""
        return range(BASIS_TRAININGS if self.tested else self.count)

    @property
    def compared(self) -> range:
        """Numbers of the trainings that are compared."""
        first = BASIS_TRAININGS if self.tested else 0
        return range(first, first + self.count)

    def derived(self, which: str, number: int) -> Derived:
        """Return a training of a side."""
        training = self.trainings[LETTERS.index(which)]
        return Derived(training, number, len(training.load().train), self.batch_statistics)

    def reverse(self, which: str) -> tuple[Reverse, ...]:
        """Return the products of a side that choose the basis; the sides have weightings of their own."""
        first = LETTERS.index(which) * self.probes
        return tuple(Reverse(self.derived(which, number), self.probes, first, self.seed) for number in self.choosing)

    @property
    def basis(self) -> CommonBasis:
        """The basis."""
        return CommonBasis(self.reverse("a"), self.reverse("b"))

    def forward(self, which: str) -> tuple[Forward, ...]:
        """Return the products of a side that are compared."""
        basis = self.basis
        return tuple(Forward(self.derived(which, number), basis) for number in self.compared)

    def smoothness(self, which: str) -> Smoothness:
        """Return the check whether a side's training is smooth enough, on the first that is compared."""
        return Smoothness(self.derived(which, self.compared.start), self.seed)

    def smoothness_steps(self, study: str, names: Mapping[str, str]) -> Iterator[Step]:
        """Yield the steps of both checks."""
        for which in LETTERS:
            label = Label(f"{names[which]}: smoothness of training", "check smoothness", ("metagradient",))
            yield self.smoothness(which).step(f"{study} {names[which]} smoothness of training", label)

    def pair(self, components: int, top: int) -> MatrixFree:
        """Return the directions that they give, at most `components` of either side."""
        return MatrixFree(self.forward("a"), self.forward("b"), components, top, self.seed)

    def waves(self, study: str, names: Mapping[str, str], others: tuple[Step, ...] = ()) -> Iterator[Wave]:
        """Yield reverse products, the basis and forward products; others: steps that are done beside the first."""
        steps = list(others)
        for which in LETTERS:
            label = Label(f"{names[which]}: reverse products", "differentiate", ("metagradient",))
            for one in self.reverse(which):
                steps.append(
                    one.step(f"{study} {names[which]} reverse products of training {one.derived.number}", label)
                )
        yield Wave("reverse products", tuple(steps))
        yield Wave("basis", (self.basis.step(f"{study} basis", Label("basis", "basis", ("metagradient",))),))
        steps = []
        for which in LETTERS:
            label = Label(f"{names[which]}: forward products", "differentiate", ("metagradient",))
            for other in self.forward(which):
                steps.append(
                    other.step(f"{study} {names[which]} forward products of training {other.derived.number}", label)
                )
        yield Wave("forward products", tuple(steps))
