"""Stage: directions of two algorithms from products of a few trainings in a common basis, without any datamodel."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.training_directions import SIDES, SidedDirections, directions_of_trainings, repeatability
from modeldiff_core.errors import Diverged
from modeldiff_core.metagradients.basis import missed_by_others
from modeldiff_core.plan import Array, Label, Reference, Step, Tensors, refer
from modeldiff_core.stages.directions import FOLDER
from modeldiff_core.stages.products import CommonBasis, Forward, Reverse, pooled_products, read_finite
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors, write_tensors

VERSION = 1
"""Raised by hand when a change of the code changes the numbers."""
OF_EACH = ("strength", "p", "variance_a", "variance_b", "stability", "overlap")
"""What is stored of every direction of a side."""


@dataclass(frozen=True)
class MatrixFree:
    """Forward products of as many trainings of A as of B, and the directions that they give.

    components: most directions of a side. top: targets at an end. seed: of random patterns of signs.
    """

    a: tuple[Forward, ...]
    b: tuple[Forward, ...]
    components: int
    top: int
    seed: int

    @property
    def basis(self) -> CommonBasis:
        """The basis of all of them."""
        return self.a[0].basis

    @property
    def directions(self) -> Reference:
        """Where the directions are stored."""
        sides = {side: [one.product.reference.digest for one in own] for side, own in (("a", self.a), ("b", self.b))}
        own = {"components": self.components, "top": self.top, "seed": self.seed}
        return refer(FOLDER, "trainings", {"version": VERSION, **sides, **own}, record="{key}.safetensors")

    @property
    def products(self) -> Iterator[Tensors]:
        """All products behind the directions."""
        yield from (one.product for one in (*self.basis.a, *self.basis.b))
        yield from (one.product for one in (*self.a, *self.b))

    def step(self, name: str, label: Label) -> Step:
        """Return the step that finds the directions."""
        targets, units, many = self.a[0].derived.training.targets, self.a[0].derived.units, self.components
        arrays = [
            Array("similarity", {"targets": targets}),
            Array("log_slopes", {"halves": 2, "targets": targets}, False),
        ]
        for side in SIDES:
            arrays.append(Array(f"{side}.directions", {"components": many, "train": units}))
            arrays.append(Array(f"{side}.projections", {"targets": targets, "components": many}))
            arrays += [Array(f"{side}.{what}", {"components": many}, finite=False) for what in OF_EACH]
        made = Tensors(self.directions, {"directions": self.directions.digest}, tuple(arrays))
        needs = tuple(product.reference for product in (self.basis.product, *self.products))
        return Step(name, made, find_training_directions, self, needs, label)


@dataclass(frozen=True)
class FoundDirections:
    """Directions read back.

    arrays: `{side}.directions` [components, train], `{side}.projections` [targets, components], `{side}.rank` (−1 for
    rows that are left), OF_EACH by side, `similarity`, `excluded`, `log_slopes`, `null`. pairs: trainings of each that
    are compared. left_out: numbers of those that diverged, or whose partner did. missed: see
    ``missed_by_others``. cost: see ``cost_of``. repeatability: of A's and of B's trainings, None where there is one of
    each.
    """

    content: TensorObject
    pairs: int
    left_out: tuple[int, ...]
    missed: float
    cost: dict[str, int]
    repeatability: tuple[float | None, float | None]

    @property
    def tested(self) -> bool:
        """Whether there are p-values."""
        return len(self.content.arrays["null"]) > 0

    def ranked(self) -> list[tuple[str, int]]:
        """Return side and index of each direction, the strongest first."""
        ranks = [(int(rank), side, at) for side in SIDES for at, rank in enumerate(self.content.arrays[f"{side}.rank"])]
        return [(side, at) for rank, side, at in sorted(ranks) if rank >= 0]

    def told(self, side: str, index: int, what: str) -> float:
        """Return one of OF_EACH of a direction."""
        return float(self.content.arrays[f"{side}.{what}"][index])


def find_training_directions(store: ObjectStore, spec: MatrixFree) -> None:
    """Store the directions of either side; trainings of which either side diverged are left out in pairs.

    Raises Diverged if no pair is left.
    """
    read = [[read_finite(store, one.product) for one in side] for side in (spec.a, spec.b)]
    pairs = [(a, b) for a, b in zip(*read, strict=True) if a is not None and b is not None]
    left_out = [one.derived.number for one, a, b in zip(spec.a, *read, strict=True) if a is None or b is None]
    if not pairs:
        raise Diverged("no pair of trainings has derivatives that are finite. Lower recipe.learning_rate")
    a, b = (np.stack([pair[side] for pair in pairs]) for side in (0, 1))
    found = directions_of_trainings(a, b, spec.components, top=spec.top, seed=spec.seed)
    vectors = spec.basis.product.read(store)["vectors"].astype(np.float64)
    facts = {
        **cost_of(spec),
        "pairs": len(pairs),
        "left_out": left_out,
        "unit": found.unit,
        "repeatability": [None if value != value else value for value in map(repeatability, (a, b))],
        "missed": missed_by_others(pooled_products(store, spec.basis)),
    }
    arrays = _arrays(found, vectors, spec.components)
    content = TensorObject(arrays, {"directions": spec.directions.digest}, facts)
    write_tensors(store, spec.directions.record, content)


def _arrays(found: SidedDirections, vectors: Float[np.ndarray, "train q"], components: int) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {
        "similarity": found.similarity,
        "excluded": np.zeros(len(found.similarity), bool),
        "log_slopes": found.log_slopes,
        "null": found.null,
    }
    for side in SIDES:
        own = [(rank, one) for rank, one in enumerate(found.directions) if one.side == side]
        directions = np.zeros((components, len(vectors)))
        projections = np.zeros((len(found.similarity), components))
        ranks = np.full(components, -1)
        told = {what: np.full(components, np.nan) for what in OF_EACH}
        for at, (rank, one) in enumerate(own):
            directions[at], projections[:, at], ranks[at] = vectors @ one.coefficients, one.projections, rank
            for what in OF_EACH:
                told[what][at] = getattr(one, what)
        arrays |= {f"{side}.directions": directions, f"{side}.projections": projections, f"{side}.rank": ranks}
        arrays |= {f"{side}.{what}": values for what, values in told.items()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def read_directions_of(store: ObjectStore, spec: MatrixFree) -> FoundDirections:
    """Return the directions, checked."""
    content = read_tensors(store, spec.directions.record, {"directions": spec.directions.digest})
    facts: Any = content.facts
    cost = {name: facts[name] for name in ("trainings", "reverse", "forward")}
    of_a, of_b = facts["repeatability"]
    return FoundDirections(content, facts["pairs"], tuple(facts["left_out"]), facts["missed"], cost, (of_a, of_b))


def cost_of(spec: MatrixFree) -> dict[str, int]:
    """Return how many trainings and products are behind the directions, both sides together.

    A training that has both reverse and forward products is counted once.
    """
    reverse, forward = (*spec.basis.a, *spec.basis.b), (*spec.a, *spec.b)
    every: tuple[Reverse | Forward, ...] = (*reverse, *forward)
    trainings = {(one.derived.training.digest, one.derived.number) for one in every}
    return {
        "trainings": len(trainings),
        "reverse": sum(one.probes for one in reverse),
        "forward": spec.basis.size * len(forward),
    }
