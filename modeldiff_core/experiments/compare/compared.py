"""What comparisons of two trainings and of adopted results share: regressions, directions and their null, keys."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from modeldiff_core.datamodels import FromMasks
from modeldiff_core.experiments.experiment import Summarized
from modeldiff_core.experiments.reported import Reported
from modeldiff_core.plan import Label, Reference, Step, Wave
from modeldiff_core.stages.contrast import NullSettings, contrast_step, null_references, null_waves
from modeldiff_core.stages.directions import FOLDER, NULL_BLOCK, NullBlock, Pair
from modeldiff_core.stages.gram import FOLDER as GRAMS
from modeldiff_core.stages.matrix_free import MatrixFree
from modeldiff_core.stages.regression import Checkpoints, Regression
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import build_estimator

HALVES = (None, 0, 1)
PARTS = {None: "all models", 0: "even models", 1: "odd models"}


@dataclass(frozen=True)
class Margins:
    """The margins of one algorithm: their matrix, the folder of what is computed from them, and their sizes.

    held: models that are kept for evaluation, the first ones.
    """

    matrix: Reference
    folder: str
    targets: int
    units: int
    held: int


class Compared(Summarized):
    """Two sides, a and b, resolved against data or a store; every property is a pure function of both."""

    if TYPE_CHECKING:  # at run time a property here would be taken for the default of a member's field of that name

        @property
        def study(self) -> Any: ...

    @property
    @abstractmethod
    def sides(self) -> Mapping[str, Any]:
        """Both sides by their letters."""

    @property
    @abstractmethod
    def names(self) -> Mapping[str, str]:
        """What people call the sides, by their letters."""

    @abstractmethod
    def margins(self, side: Any) -> Margins:
        """Return the margins of a side."""

    def checkpoints(self, side: Any, kind: str) -> Checkpoints | None:
        """Return the models that an estimator of this kind looks into; None for one that takes margins."""
        return None

    @property
    def folder(self) -> str:
        """Where the summary and the report are stored."""
        return f"{FOLDER}/{self.study.name}-{self.digest[:8]}"

    def regression(self, side: Any, half: int | None, kind: str = "") -> Regression:
        """Return the regression of a side on all its models or on a half of them; kind: of another estimator than the
        comparison's own.
        """
        config, margins = self.study.regression, self.margins(side)
        kind = kind or config.estimator
        return Regression(
            prior=self._prior(side) if half is None and kind == config.estimator else None,
            matrix=margins.matrix,
            folder=margins.folder,
            targets=margins.targets,
            units=margins.units,
            first=margins.held,
            half=half,
            kind=kind,
            settings=config.settings_of(kind),
            block_size=config.block_size,
            checkpoints=self.checkpoints(side, kind),
        )

    def _prior(self, side: Any) -> Regression | None:
        """Return the datamodels whose predictions are taken away before a side's own are fitted, if there are any."""
        prior = self.study.regression.prior
        return self.regression(side, None, prior) if prior and prior != self.study.regression.estimator else None

    def regressions(self) -> dict[tuple[str, str], Regression]:
        """Return all regressions by side (a or b) and what a person would call them.

        Both sides on all models and, where residuals are compared, on both halves; every other estimator on all models.
        """
        also = self.study.regression.also
        return {
            (which, name): fit
            for which, side in self.sides.items()
            for name, fit in [
                *((PARTS[half], self.regression(side, half)) for half in ((None,) if self.contrasted else HALVES)),
                *((kind, self.regression(side, None, kind)) for kind in also),
            ]
        }

    def scored(self) -> dict[tuple[str, str], Regression]:
        """Return the regressions that are scored, by side (a or b) and kind of estimator."""
        config = self.study.regression
        kinds = (config.estimator, *config.also)
        return {
            (which, kind): self.regression(side, None, kind) for which, side in self.sides.items() for kind in kinds
        }

    @cached_property
    def pair(self) -> Pair | MatrixFree:
        """What directions of margins are found from."""
        fits = [tuple(self.regression(side, half) for half in HALVES) for side in self.sides.values()]
        (a, a0, a1), (b, b0, b1) = fits
        return Pair.of((a, a0, a1), (b, b0, b1), self.study.comparison)

    @property
    def regressed(self) -> Pair:
        """The same where directions are found from regressions or margins."""
        assert isinstance(self.pair, Pair)
        return self.pair

    @property
    def directions(self) -> Reference:
        """Where the directions are stored."""
        return self.pair.directions

    @property
    def contrasted(self) -> bool:
        """Whether the directions are those of a contrast, which rests on the margins alone."""
        return bool(self.study.comparison.method == "contrast")

    @property
    def permutations(self) -> int:
        """Draws of the null; none where the estimator takes no masks and margins that could be fitted again.

        Of a contrast the most for each direction.
        """
        if self.contrasted:
            return int(self.study.comparison.draws)
        config = self.study.regression
        exchangeable = isinstance(build_estimator(config, config.estimator), FromMasks)
        return int(self.study.comparison.permutations) if exchangeable else 0

    @property
    def null_blocks(self) -> range:
        """Blocks of the null's draws."""
        return range(-(-self.permutations // NULL_BLOCK))

    def direction_steps(self) -> Iterator[Step]:
        """Yield the steps that find the directions and draw their null, but for a contrast's (``null_waves``)."""
        name, label = self.study.name, Label("directions", "directions", ("comparison",))
        if self.contrasted:
            yield contrast_step(self.regressed, f"{name} contrast", label)
            return
        yield self.regressed.step(f"{name} residual directions", label)
        for block in self.null_blocks:
            null = Label("blocks of the null", "null", ("comparison",))
            yield NullBlock(self.regressed, block).step(f"{name} null block {block}", null)

    def null_waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield the draws of the null that depend on stored results: those of a contrast."""
        if self.contrasted:
            yield from null_waves(store, self.regressed, NullSettings.of(self.study.comparison))

    def null_references(self, store: ObjectStore) -> tuple[Reference, ...]:
        """Return where those draws of the null are stored that depend on stored results."""
        settings = NullSettings.of(self.study.comparison)
        return null_references(store, self.regressed, settings) if self.contrasted else ()


class TwoSides(Reported):
    """An experiment that is a comparison, as far as its rounds have come; it has the comparison's keys and digest."""

    if TYPE_CHECKING:

        @property
        def comparison(self) -> Compared: ...

    @property
    def study(self) -> Any:
        """The study."""
        return self.comparison.study

    @property
    def tags(self) -> tuple[str, ...]:
        return self.name, *self.comparison.names.values()

    @property
    def digest(self) -> str:
        return self.comparison.digest

    @property
    def folder(self) -> str:
        return self.comparison.folder

    @property
    def folders(self) -> tuple[str, ...]:
        comparison = self.comparison
        return (*dict.fromkeys(comparison.margins(side).folder for side in comparison.sides.values()), self.folder)

    @property
    def shared(self) -> tuple[str, ...]:
        return FOLDER, GRAMS
