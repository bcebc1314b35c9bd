"""Stages: the contrast of two algorithms with sizes and slopes, and its null, one direction after another."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Sample, centered, contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.contrast_null import decided, null_sample, sequential_p
from modeldiff_core.comparison.differences import naming_differences, standing_alone
from modeldiff_core.comparison.effect_sizes import EffectSizes, effect_sizes, more_under_a
from modeldiff_core.comparison.leading import leading_pair
from modeldiff_core.comparison.residuals import similarity
from modeldiff_core.comparison.slope_test import SlopeTest, slope_test
from modeldiff_core.comparison.subpopulations import shared_extremes
from modeldiff_core.errors import DamagedObject
from modeldiff_core.plan import Array, Cost, Label, Reference, Step, Tensors, Wave, refer
from modeldiff_core.stages.directions import CONTRAST_VERSION, FOLDER, SIDES, Pair
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.stages.regression import replicates_of, rows_used
from modeldiff_core.store import MarginMatrix, ObjectStore, TensorObject, read_tensors, write_tensors
from modeldiff_core.study.config import ComparisonConfig

BLOCK = 10
"""Draws in one object of a contrast's null."""
SLOPES = (0, 1)
"""Numbers of the largest directions outside which slopes are tested."""
SIZES = (
    "contrast",
    "under_a",
    "under_b",
    "totals",
    "influence",
    "twice",
    "influence_a",
    "influence_b",
    "twice_a",
    "twice_b",
)
"""Arrays of effect sizes that are stored under their own names."""


def contrast_step(pair: Pair, name: str, label: Label) -> Step:
    """Return the step that finds a contrast's directions."""
    targets, units = pair.a[0].targets, pair.a[0].units
    arrays = [Array("similarity", {"targets": targets})]
    for side in SIDES:
        arrays.append(Array(f"{side}.directions", {"components": pair.components, "train": units}))
        arrays.append(Array(f"{side}.projections", {"targets": targets, "components": pair.components}))
    arrays += [Array(f"log_slopes.{named}", {"halves": 2, "targets": targets}, finite=False) for named in SLOPES]
    made = Tensors(pair.directions, {"directions": pair.directions.digest}, tuple(arrays))
    needs = (pair.a[0].reference, pair.b[0].reference)
    return Step(name, made, find_contrasts, pair, needs, label, Cost(1e-7 * targets * units))


def find_contrasts(store: ObjectStore, spec: Pair) -> None:
    """Store the directions of a contrast by side, their sizes, and how strongly targets react.

    Directions of a side are its rows, the largest difference first; rows that are left are zero. `rank` tells the
    place of each among all. Where several differences stand out, the first directions are one of them each.
    """
    sample = read_sample(store, spec)
    fits = sample.fits()
    contrast = contrast_of(sample, fits, spec.hypothesis)
    contrast = naming_differences(contrast, sample, fits, spec.components, spec.seed)
    found = find_contrast(contrast, fits, spec.components)
    sizes = effect_sizes(sample, fits, contrast, found)
    reactions = [
        slope_test(sample, fits, contrast, found.directions[:named].T if named else None, spec.seed) for named in SLOPES
    ]
    theta_a, theta_b = (read_datamodels(store, fit[0]).weights for fit in (spec.a, spec.b))
    rows = centered(contrast.rows(fits)[0])
    versions = sizes.versions.transpose(1, 0, 2)
    overlap = [shared_extremes(rows[0] @ one, rows[1] @ other, spec.top) for one, other in versions]
    arrays: dict[str, np.ndarray] = {
        "similarity": similarity(theta_a, theta_b),
        "excluded": contrast.weights == 0,
        "eigenvalues": found.eigenvalues / sizes.unit,
        "stability": np.abs(sizes.stability),
        "overlap": np.array(overlap),
        "weights": contrast.weights,
        **{f"log_slopes.{named}": one.log_slopes for named, one in zip(SLOPES, reactions, strict=True)},
        **{name: getattr(sizes, name) for name in SIZES},
    }
    of_a = more_under_a(fits, contrast, found)
    for side, own in zip(SIDES, (np.flatnonzero(of_a), np.flatnonzero(~of_a)), strict=True):
        directions, projections = np.zeros_like(found.directions), np.zeros_like(found.projections)
        directions[: len(own)], projections[:, : len(own)] = found.directions[own], found.projections[:, own]
        rank = np.full(spec.components, -1)
        rank[: len(own)] = own
        arrays |= {f"{side}.directions": directions, f"{side}.projections": projections, f"{side}.rank": rank}
    facts = {
        "components": spec.components,
        "unit": sizes.unit,
        "share": sample.share,
        "paired": sample.paired,
        "differences": contrast.differences,
        "slopes": [{"middle": one.middle, "spread": one.spread, "p": one.p} for one in reactions],
        "models": int(min(len(sample.a), len(sample.b))),
    }
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_tensors(store, spec.directions.record, TensorObject(plain, {"directions": spec.directions.digest}, facts))


def read_sample(store: ObjectStore, pair: Pair) -> Sample:
    """Return the margins of both algorithms' fitted models; where masks repeat, each is one replicate.

    With equal masks models count whose partner did not diverge either.
    """
    matrices = [MarginMatrix.open(store, fit[0].matrix.key) for fit in (pair.a, pair.b)]
    used = [rows_used(m, fit[0].first, None) for m, fit in zip(matrices, (pair.a, pair.b), strict=True)]
    masks = [matrix.masks() for matrix in matrices]
    if masks[0].shape == masks[1].shape and np.array_equal(masks[0], masks[1]):
        used = [np.logical_and(*used)] * 2
    groups = [replicates_of(m).groups[keep] for m, keep in zip(matrices, used, strict=True)]
    repeated = any(len(np.unique(group)) < len(group) for group in groups)
    return sample_of(
        (masks[0][used[0]], masks[1][used[1]]),
        (matrices[0].margins()[used[0]], matrices[1].margins()[used[1]]),
        groups=(groups[0], groups[1]) if repeated else None,
    )


def sizes_in(content: TensorObject) -> EffectSizes:
    """Return the stored effect sizes of a contrast."""
    arrays: dict[str, Any] = {name: content.arrays[name] for name in SIZES}
    facts: dict[str, Any] = dict(content.facts)
    stability = content.arrays["stability"]
    none = np.zeros((2, len(stability), 0), np.float32)
    return EffectSizes(**arrays, unit=facts["unit"], stability=stability, versions=none)


def slopes_in(content: TensorObject, significant: int) -> SlopeTest:
    """Return the stored test of a contrast's slopes, outside the first direction if any is significant."""
    named = min(significant, SLOPES[-1])
    tests: Any = content.facts["slopes"]
    told = tests[named]
    return SlopeTest(told["middle"], told["spread"], told["p"], content.arrays[f"log_slopes.{named}"])


def ranked(content: TensorObject) -> list[tuple[str, int]]:
    """Return side and index of each of a contrast's directions, the largest difference first."""
    places = {
        int(rank): (side, index)
        for side in SIDES
        for index, rank in enumerate(content.arrays[f"{side}.rank"])
        if rank >= 0
    }
    return [places[rank] for rank in sorted(places)]


@dataclass(frozen=True)
class ContrastNull:
    """A block of draws of the null of a contrast's direction number `rank`, the ones before it taken out.

    Where several differences are named, all others are taken out, but for the first, which is tested as if alone.
    """

    pair: Pair
    rank: int
    block: int

    @property
    def reference(self) -> Reference:
        """Where the block is stored."""
        identity = {"version": CONTRAST_VERSION, "contrast": self.pair.contrasted, "rank": self.rank}
        return refer(FOLDER, "null", identity, record=f"{{key}}/{self.block:05d}.safetensors")

    def step(self, name: str, label: Label) -> Step:
        """Return the step that draws it."""
        made = Tensors(self.reference, {"null": self.reference.digest}, (Array("largest", {"draws": BLOCK}),))
        fit = self.pair.a[0]
        cost = Cost(1e-6 * BLOCK * fit.targets * fit.units)
        return Step(name, made, draw_contrasts, self, (self.pair.directions,), label, cost)


def draw_contrasts(store: ObjectStore, spec: ContrastNull) -> None:
    """Store the largest eigenvalues of one block of draws, and of the contrast itself, in units of a squared length."""
    pair = spec.pair
    stored = read_tensors(store, pair.directions.record, {"directions": pair.directions.digest})
    differences: Any = stored.facts["differences"]
    directions = np.stack([stored.arrays[f"{side}.directions"][index] for side, index in ranked(stored)])
    sample = read_sample(store, pair)
    fits = sample.fits()
    contrast = contrast_of(sample, fits, pair.hypothesis)
    if differences > 1:
        contrast = standing_alone(contrast.naming(differences), directions, spec.rank)
    elif spec.rank:
        contrast = contrast.without(directions[: spec.rank])
    value = leading_pair(*centered(contrast.rows(fits)[0]))[0]
    angles = find_contrast(contrast, fits, 1).steady
    draws = range(spec.block * BLOCK, (spec.block + 1) * BLOCK)
    unit: Any = stored.facts["unit"]
    largest = null_sample(sample, contrast, angles).largest(draws, pair.seed) / unit
    facts = {"rank": spec.rank, "block": spec.block, "value": value / unit}
    write_tensors(
        store, spec.reference.record, TensorObject({"largest": largest}, {"null": spec.reference.digest}, facts)
    )


@dataclass(frozen=True)
class Tested:
    """Draws of the null of the largest direction, and of those after it, as far as they were made.

    Attributes:
        values: Largest eigenvalue of the contrast of each rank.
        draws: Of the null of each rank.
        complete: Whether no further draw is needed for any.
        begun: Whether some but not all draws that the next direction needs were made.

    """

    values: tuple[float, ...]
    draws: tuple[Float[np.ndarray, " draws"], ...]
    complete: bool
    begun: bool = False

    def p(self, eigenvalues: Float[np.ndarray, " components"], differences: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return p and adjusted p of every direction.

        A direction that was not tested by itself is tested as the largest one of the last null, which holds for any; an
        adjusted p is at least as large as those before it. Where several differences were named, each is tested by
        itself, up to the first that is not significant, and directions after these have not stood out: their p is 1.
        """
        found = np.ones(len(eigenvalues))
        for rank, value in enumerate(eigenvalues if self.draws else ()):
            tested = rank < len(self.draws)
            own = self.draws[rank] if tested else self.draws[-1]
            found[rank] = sequential_p(self.values[rank] if tested else float(value), own)
        if differences > 1:
            found[max(differences, len(self.draws)) :] = 1.0
        return found, np.maximum.accumulate(found)


@dataclass(frozen=True)
class NullSettings:
    """How far the null of a contrast is drawn.

    Attributes:
        draws: Most draws for a direction.
        significance: Largest p of a direction that counts.
        one_by_one: Whether each direction after a significant one has draws of its own.

    """

    draws: int
    significance: float
    one_by_one: bool

    @classmethod
    def of(cls, settings: ComparisonConfig) -> "NullSettings":
        """Return those of a study."""
        return cls(settings.draws, settings.significance, settings.one_by_one)

    def ranks(self, pair: Pair, differences: int = 1) -> range:
        """Return the directions that may have draws of their own, if so many differences are named."""
        own = pair.components if self.one_by_one and differences < 2 else differences
        return range(own if self.draws else 0)

    @property
    def blocks(self) -> int:
        """Blocks of all draws of a direction."""
        return -(-self.draws // BLOCK)


def read_null(store: ObjectStore, pair: Pair, settings: NullSettings) -> Tested:
    """Return the draws that are in the store, rank by rank, up to the first direction that is not significant."""
    draws = settings.draws
    values: list[float] = []
    found: list[np.ndarray] = []
    for rank in settings.ranks(pair, differences_in(store, pair)):
        value, own = 0.0, np.empty(0)
        for block in range(settings.blocks):
            reference = ContrastNull(pair, rank, block).reference
            try:
                content = read_tensors(store, reference.record, {"null": reference.digest})
            except FileNotFoundError:
                return Tested(tuple(values), tuple(found), complete=False, begun=bool(len(own)))
            told: Any = content.facts["value"]
            value, own = float(told), np.append(own, content.arrays["largest"])[:draws]
            if block == 0 and decided(value, own, draws):
                break
        values.append(value)
        found.append(own)
        if sequential_p(value, own) > settings.significance:
            break
    return Tested(tuple(values), tuple(found), complete=True)


def differences_in(store: ObjectStore, pair: Pair) -> int:
    """Return how many differences a contrast names; 1 as long as it is not in the store."""
    try:
        told: Any = read_tensors(store, pair.directions.record, {"directions": pair.directions.digest}).facts
    except FileNotFoundError:
        return 1
    return int(told["differences"])


def null_waves(store: ObjectStore, pair: Pair, settings: NullSettings) -> Iterator[Wave]:
    """Yield the draws of the null of the largest direction, and of one after another if they have draws of their own.

    For each first one block, then, unless that tells that p is large, the others at once: several workers share them.
    """
    blocks = settings.blocks
    for rank in range(pair.components if settings.draws else 0):
        title = f"null of direction {rank + 1}"
        yield Wave(title, (_null_step(pair, rank, 0),))
        try:
            tested = read_null(store, pair, settings)
            if len(tested.draws) == rank and tested.begun:
                yield Wave(title, tuple(_null_step(pair, rank, block) for block in range(1, blocks)))
                tested = read_null(store, pair, settings)
            elif len(tested.draws) > rank and len(tested.draws[rank]) > BLOCK:
                yield Wave(title, tuple(_null_step(pair, rank, block) for block in range(1, blocks)))
        except DamagedObject as error:
            yield Wave(title, (), AWAITS, damage=error)
            return
        if len(tested.draws) <= rank:
            yield Wave(title, (), AWAITS)
            return
        if len(tested.draws) == rank + 1 and tested.complete:
            return


AWAITS = "the draws before them are there"


def _null_step(pair: Pair, rank: int, block: int) -> Step:
    label = Label("blocks of the null", "null", ("comparison",))
    return ContrastNull(pair, rank, block).step(f"null of direction {rank + 1}, block {block}", label)


def null_references(store: ObjectStore, pair: Pair, settings: NullSettings) -> tuple[Reference, ...]:
    """Return where the draws are stored that the tests rest on; none as long as one of them is damaged."""
    try:
        tested = read_null(store, pair, settings)
    except DamagedObject:  # `null_waves` says so, and a run makes it again
        return ()
    return tuple(
        ContrastNull(pair, rank, block).reference
        for rank, own in enumerate(tested.draws)
        for block in range(-(-len(own) // BLOCK))
    )
