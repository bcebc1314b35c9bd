"""The cells of a study and their trainings."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from modeldiff_core.designs import Factor, Grid
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.moe_grid.corpus import Corpus
from modeldiff_core.experiments.moe_grid.settings import ScalingStudy, SizeConfig
from modeldiff_core.experiments.moe_grid.training import Training
from modeldiff_core.training.moe import MoeNetwork, active_experts, parameters


@dataclass(frozen=True)
class Cell:
    """A network and a budget, trained with some learning rates and seeds."""

    study: ScalingStudy
    corpus: Corpus
    network: MoeNetwork
    budget: float

    def training(self, rate: float, seed: int) -> Training:
        """Return its training with a learning rate and a seed."""
        study = self.study
        recipe, looks = study.recipe.recipe(rate), (study.evaluation_windows, study.curve_points)
        return Training(self.corpus, self.network, recipe, self.budget, seed, *looks)

    def trainings(self, rates: tuple[float, ...], seeds: int) -> tuple[Training, ...]:
        """Return its trainings, the seeds of a rate together."""
        return tuple(self.training(rate, seed) for rate in rates for seed in range(seeds))

    @property
    def words(self) -> str:
        """What it is called on screens and in tables."""
        network = self.network
        return (
            f"N {parameters(network):,}, S {network.sparsity:.3f}, G {network.granularity}, C {self.budget:.3g}, "
            f"{network.width} x {network.layers} x {network.experts}"
        )


@dataclass(frozen=True)
class Cells:
    """All cells of a study."""

    study: ScalingStudy
    corpus: Corpus

    @cached_property
    def groups(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells of each size, granularity and budget, which differ in sparsity.

        Raises ConfigError for a network that cannot be, by the key of the level at fault.
        """
        study, found = self.study, list[tuple[Cell, ...]]()
        grid = Grid(
            (
                Factor("sizes", tuple(range(len(study.sizes)))),
                Factor("granularities", study.granularities),
                Factor("budgets", study.budgets, study.budgets),
            )
        )
        for number in range(len(grid)):
            levels = grid.cell(number)
            at, granularity, budget = int(levels["sizes"]), int(levels["granularities"]), float(levels["budgets"])
            size = study.sizes[at]
            sparsities = size.sparsities or study.sparsities
            key = f"sizes.{at}.sparsities" if size.sparsities else "sparsities"
            active = [active_experts(size.experts, sparsity, key) for sparsity in sparsities]
            if len(set(active)) < len(active):
                raise ConfigError(key, f"distinct sparsities among {size.experts} experts", list(sparsities))
            networks = (self._network(size, granularity, experts) for experts in active)
            found.append(tuple(Cell(study, self.corpus, network, budget) for network in networks))
        return tuple(found)

    def _network(self, size: SizeConfig, granularity: int, active: int) -> MoeNetwork:
        study = self.study
        return MoeNetwork(
            vocabulary=study.tokens.size,
            context=study.context,
            width=size.width,
            layers=size.layers,
            heads=size.heads,
            experts=size.experts,
            active=active,
            granularity=granularity,
            tied=study.tied,
            gates=study.gates,
        )

    @property
    def all(self) -> tuple[Cell, ...]:
        """The cells: sizes × granularities × budgets × sparsities, the last varying fastest."""
        return tuple(cell for group in self.groups for cell in group)

    def tuned(self) -> Iterator[Cell]:
        """Yield the cells whose rates the rule is fitted on.

        Of each size, granularity and budget the same share of the sparsities, spread evenly, from another first one in
        each.
        """
        for number, group in enumerate(self.groups):
            count = min(len(group), max(1, round(self.study.tuning.share * len(group))))
            chosen = {(number + part * len(group) // count) % len(group) for part in range(count)}
            yield from (cell for place, cell in enumerate(group) if place in chosen)
