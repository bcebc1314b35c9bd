"""Stage: directions in which the attributions of two algorithms' checkpoints differ, tested by whole checkpoints.

Every checkpoint s gives a matrix X_s [targets, train] of its own; nothing is averaged before. Its columns are divided
by σ_i + FLOOR·mean σ, where σ_i is the root of the mean square over targets of column i of the mean of all X_s of both
sides: a few training examples, the hardest, have large attributions in every checkpoint and would fill the basis. The
matrices are compared in a common basis V, the leading right singular vectors of their sum, centered over targets. The
sum is the same whichever checkpoints are exchanged between A and B, so V holds nothing of how they are split. The
contrast of the X_s·V and its test are those of whole trainings (``comparison.trainings``), with rows normalized, so
that all targets count alike: signs of whole pairs are flipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.training_directions import SIDES, SidedDirections, directions_of_trainings, repeatability
from modeldiff_core.errors import Diverged
from modeldiff_core.experiments.checkpoints.attributed import FOLDER, Attributed
from modeldiff_core.plan import Array, Cost, Label, Step, Tensors
from modeldiff_core.plan.failures import read_failure
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors, write_tensors

VERSION = 1
"""Raised by hand when a change of the code changes the directions."""
FLOOR = 0.3
"""Share of the mean size of all columns that is added to that of each before it divides."""
OF_EACH = ("strength", "p", "variance_a", "variance_b", "stability", "overlap")
"""Numbers that are stored of each direction."""


@dataclass(frozen=True)
class Compared:
    """Attributions of as many checkpoints of A as of B, and the directions that they give.

    basis: directions in which they are compared, at most. components: directions of a side that are kept. top: images
    at an end. seed: of random patterns of signs.
    """

    a: tuple[Attributed, ...]
    b: tuple[Attributed, ...]
    basis: int
    components: int
    top: int
    seed: int

    @property
    def product(self) -> Tensors:
        """The directions, the strongest first, with zeros where there are fewer."""
        targets, train, many = self.a[0].targets, self.a[0].train, 2 * self.components
        identity = {
            "version": VERSION,
            **{side: [one.product.reference.digest for one in getattr(self, side)] for side in ("a", "b")},
            **{name: getattr(self, name) for name in ("basis", "components", "top", "seed")},
        }
        arrays = (
            Array("directions", {"components": many, "train": train}),
            Array("projections", {"targets": targets, "components": many}),
            Array("similarity", {"targets": targets}),
            *(Array(name, {"components": many}, finite=False) for name in OF_EACH),
        )
        return Tensors.of(f"{FOLDER}/directions", "directions", identity, *arrays)

    def step(self, name: str) -> Step:
        """Return the step that finds them."""
        needs = tuple(one.product.reference for one in (*self.a, *self.b))
        label = Label("directions", "directions", ("checkpoints",))
        size = self.a[0].targets * self.a[0].train
        return Step(
            name, self.product, find_checkpoint_directions, self, needs, label, Cost(1e-7 * size * len(needs) + 1)
        )


@dataclass(frozen=True)
class FoundDirections:
    """Directions in which checkpoints differ.

    sided: the directions. vectors: the basis, over training examples whose columns are multiplied by `scale`. captured:
    share of the squares of the sum of all scaled attributions within the basis.
    repeatability: of A's and of B's checkpoints, see there; NaN with one.
    """

    sided: SidedDirections
    vectors: Float[np.ndarray, "train q"]
    scale: Float[np.ndarray, " train"]
    captured: float
    repeatability: tuple[float, float]


class Matrices:
    """Attributions of one checkpoint after the other. read: returns X of checkpoint `number` of a side, 0 or 1."""

    def __init__(self, count: int, read: Any) -> None:
        self.count, self.read = count, read

    def all(self) -> Iterator[Float[np.ndarray, "targets train"]]:
        """Yield X of every checkpoint."""
        for side in (0, 1):
            for number in range(self.count):
                yield self.read(side, number)


def directions_of_checkpoints(
    matrices: Matrices, basis: int, components: int, *, top: int, seed: int = 0
) -> FoundDirections:
    """Return the directions in which two sides differ; each matrix is read twice and none is kept.

    Args:
        matrices: Attributions of as many checkpoints of A as of B.
        basis: Size of the common basis, at most.
        components: Most directions of a side.
        top: Targets at an end.
        seed: Of random patterns of signs.

    """
    total: Any = 0
    for x in matrices.all():
        total = total + x.astype(np.float64)
    sizes = np.sqrt(np.square(total).mean(0))
    sizes += FLOOR * sizes.mean()
    scale = np.divide(1, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    total = (total - total.mean(0)) * scale
    values, left = np.linalg.eigh(total @ total.T)
    many = min(basis, int((values > values[-1] * 1e-10).sum()))
    chosen = slice(-1, -1 - many, -1)
    vectors = (total.T @ left[:, chosen]) / np.sqrt(values[chosen])
    scaled = vectors * scale[:, None]
    sides = [np.stack([matrices.read(side, number) @ scaled for number in range(matrices.count)]) for side in (0, 1)]
    sided = directions_of_trainings(sides[0], sides[1], components, top=top, seed=seed, normalize=True)
    captured = float(values[chosen].sum() / values.clip(0).sum())
    return FoundDirections(sided, vectors, scale, captured, (repeatability(sides[0]), repeatability(sides[1])))


def find_checkpoint_directions(store: ObjectStore, spec: Compared) -> None:
    """Store the directions; pairs of which one checkpoint has no finite gradients are left out.

    Raises:
        Diverged: If no pair is left.
    """
    pairs = [pair for pair in zip(spec.a, spec.b, strict=True) if not any(failed(store, one) for one in pair)]
    if not pairs:
        raise Diverged("no pair of checkpoints has finite gradients")
    matrices = Matrices(len(pairs), lambda side, number: pairs[number][side].read(store))
    found = directions_of_checkpoints(matrices, spec.basis, spec.components, top=spec.top, seed=spec.seed)
    content = TensorObject(_arrays(found, spec.components), spec.product.identity, _facts(found, len(pairs)))
    write_tensors(store, spec.product.reference.record, content)


def failed(store: ObjectStore, one: Attributed) -> bool:
    """Return whether a checkpoint's attributions are a recorded failure."""
    return read_failure(store, one.product.reference) is not None


def read_checkpoint_directions(store: ObjectStore, spec: Compared) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the facts that ``find_checkpoint_directions`` stored, checked."""
    arrays = spec.product.read(store)
    facts: Any = read_tensors(store, spec.product.reference.record).facts
    return dict(arrays), dict(facts)


def _arrays(found: FoundDirections, components: int) -> dict[str, np.ndarray]:
    directions, many = found.sided.directions, 2 * components
    told = {name: np.full(many, np.nan) for name in OF_EACH}
    vectors = np.zeros((many, len(found.vectors)))
    projections = np.zeros((len(found.sided.similarity), many))
    for at, one in enumerate(directions):
        vectors[at], projections[:, at] = found.vectors @ one.coefficients, one.projections
        for name in OF_EACH:
            told[name][at] = getattr(one, name)
    arrays = {"directions": vectors, "projections": projections, "similarity": found.sided.similarity}
    return {**arrays, **told, "null": found.sided.null}


def _facts(found: FoundDirections, pairs: int) -> dict[str, object]:
    repeated = [None if value != value else value for value in found.repeatability]
    sides = [SIDES.index(one.side) for one in found.sided.directions]
    return {"sides": sides, "pairs": pairs, "captured": found.captured, "repeatability": repeated}
