"""Stage: directions of both sides with cross-fitted variances, and blocks of the permutation null."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison import (
    CommonFits,
    Method,
    Pairs,
    common_fits,
    part_differences,
    permuted_differences,
    residual_crossfit,
    residual_pca,
    similarity,
    subpopulation_overlap,
)
from modeldiff_core.comparison.contrast import Hypothesis
from modeldiff_core.comparison.groups import joined
from modeldiff_core.comparison.residuals import explained
from modeldiff_core.datamodels import FromMasks
from modeldiff_core.errors import ConfigError
from modeldiff_core.plan import Array, Cost, Label, Reference, Step, Tensors, refer
from modeldiff_core.stages.gram import counts_of
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.stages.regression import Regression, replicates_of, rows_used
from modeldiff_core.store import MarginMatrix, ObjectStore, TensorObject, write_tensors
from modeldiff_core.study.config import ComparisonConfig

VERSION = 4
CONTRAST_VERSION = 7
"""Raised by hand when a change of the code changes what a contrast gives.

2: slopes outside directions were bent, all that differs has slopes of all models, and what a ridge shrinks no longer
counts as noise. 3: the null is drawn at slopes that noise moves less. 4: several differences are told apart.
5: where masks are their own, models change sides in the null; each difference after the first has a null of its own,
and slopes outside several are held together. 6: sizes along directions are measured at slopes of the half that measures
them, without their bias, and all that differs without what it gains by the choice of directions; directions,
eigenvalues and draws are those of 5. 7: slopes outside one direction are held as those outside several.
"""
SIDES = ("a-b", "b-a")
NULL_BLOCK = 2
"""Draws in one object of the null."""
FOLDER = "comparisons"
Null = Literal["exchange", "parts"]
Fits = tuple[Regression, Regression, Regression]
"""One algorithm's regressions on all models, on the even and on the odd ones."""


@dataclass(frozen=True)
class Pair:
    """The regressions of A and of B, on all models and on each half, and how their directions are found.

    method: 'pca' of the residuals of all models, or 'crossfit': from the cross-covariance of the halves' residuals.
    normalize: rows to unit length before residuals are taken. top: targets at each end of a direction.
    null_from: what directions are tested against, exchanges of A and B or disjoint parts of either.
    A method of 'contrast' has stages of its own (stages.contrast) and rests on the margins alone.
    """

    a: Fits
    b: Fits
    components: int
    seed: int
    method: Literal["contrast", "pca", "crossfit"]
    normalize: bool
    top: int
    null_from: Null
    hypothesis: Hypothesis = "identical"

    @classmethod
    def of(cls, a: Fits, b: Fits, settings: ComparisonConfig) -> "Pair":
        """Return the pair under a study's settings."""
        names = ("components", "seed", "method", "normalize", "top", "null_from", "hypothesis")
        return cls(a, b, **{name: getattr(settings, name) for name in names})

    @property
    def digests(self) -> dict[str, list[str]]:
        """What the comparison depends on."""
        return {"a": [r.reference.digest for r in self.a], "b": [r.reference.digest for r in self.b]}

    @property
    def directions(self) -> Reference:
        """Where the directions are stored."""
        if self.method == "contrast":
            return refer(FOLDER, "contrast", self.contrasted, record="{key}.safetensors")
        identity = {"version": VERSION, **self.digests, **self._way, "top": self.top}
        return refer(FOLDER, "directions", identity, record="{key}.safetensors")

    def null_block(self, block: int) -> Reference:
        """Return where block number `block` of the null is stored; the number of permutations is no part of it."""
        halves = {name: digests[1:] for name, digests in self.digests.items()}
        identity = {"version": VERSION, **halves, **self._way, "seed": self.seed}
        identity |= {} if self.null_from == "exchange" else {"null_from": self.null_from}
        return refer(FOLDER, "null", identity, record=f"{{key}}/{block:05d}.safetensors")

    @property
    def contrasted(self) -> dict[str, Any]:
        """What a contrast depends on: the margins behind both algorithms' datamodels."""
        return {
            "version": CONTRAST_VERSION,
            "a": self.a[0].reference.digest,
            "b": self.b[0].reference.digest,
            "hypothesis": self.hypothesis,
            "components": self.components,
            "top": self.top,
            "seed": self.seed,
        }

    @property
    def _way(self) -> dict[str, Any]:
        return {"components": self.components, "method": self.method, "normalize": self.normalize}

    def step(self, name: str, label: Label) -> Step:
        """Return the step that finds the directions."""
        targets, units = self.a[0].targets, self.a[0].units
        arrays = [Array("similarity", {"targets": targets})]
        for side in SIDES:
            arrays.append(Array(f"{side}.directions", {"components": self.components, "train": units}))
            arrays.append(Array(f"{side}.projections", {"targets": targets, "components": self.components}))
        made = Tensors(self.directions, {"directions": self.directions.digest}, tuple(arrays))
        needs = tuple(fit.reference for fit in (*self.a, *self.b))
        return Step(name, made, find_directions, self, needs, label, Cost(1e-8 * targets * units))


@dataclass(frozen=True)
class NullBlock:
    """A block of draws of the null of a pair's directions."""

    pair: Pair
    block: int

    def step(self, name: str, label: Label) -> Step:
        """Return the step that draws it."""
        reference = self.pair.null_block(self.block)
        sizes = {"draws": NULL_BLOCK, "sides": len(SIDES), "components": self.pair.components}
        made = Tensors(reference, {"null": reference.digest}, (Array("differences", sizes),))
        needs = tuple(fit.reference for fit in (*self.pair.a[1:], *self.pair.b[1:]))
        fit = self.pair.a[0]
        return Step(name, made, null_block, self, needs, label, Cost(4e-8 * NULL_BLOCK * fit.targets * fit.units))


def residual_method(pair: Pair) -> Method:
    """Return how residuals give directions; raises ValueError for a contrast, which takes none."""
    if pair.method == "contrast":
        raise ValueError("a contrast takes no residuals")
    return pair.method


def find_directions(store: ObjectStore, spec: Pair) -> None:
    """Store directions from all models and the cross-fitted variances of each, for both sides."""
    fits = {"a": spec.a, "b": spec.b}
    theta = {name: read_datamodels(store, own[0]).weights for name, own in fits.items()}
    _check_explained(store, spec, theta)
    common = _common(store, spec)
    halves = {"a": common.a, "b": common.b}
    arrays = {"similarity": similarity(theta["a"], theta["b"])}
    for side, (first, second) in zip(SIDES, (("a", "b"), ("b", "a")), strict=True):
        if spec.method == "pca":
            found = residual_pca(theta[first], theta[second], spec.components, normalize=spec.normalize)
        else:
            found = residual_crossfit(halves[first], halves[second], spec.components, normalize=spec.normalize)
        fit = common.compare(spec.components, found.directions, reverse=first == "b", normalize=spec.normalize)
        # From here on "a" is algorithm A again, whichever side the direction is of.
        variance = {first: fit.variance_a, second: fit.variance_b}
        in_sample = {first: found.explained_variance_a, second: found.explained_variance_b}
        arrays |= {
            f"{side}.directions": found.directions,
            f"{side}.projections": found.projections,
            f"{side}.stability": fit.stability,
            f"{side}.overlap": subpopulation_overlap(halves[first], halves[second], fit, spec.top),
            **{f"{side}.variance_{name}": variance[name] for name in ("a", "b")},
            **{f"{side}.in_sample_{name}": in_sample[name] for name in ("a", "b")},
            "excluded": found.excluded,
        }
    facts = {"components": spec.components}
    write_tensors(store, spec.directions.record, TensorObject(arrays, {"directions": spec.directions.digest}, facts))


def _check_explained(store: ObjectStore, spec: Pair, theta: Mapping[str, Float[np.ndarray, "targets train"]]) -> None:
    """Raise ConfigError where so few models were fitted that datamodels of zeros alone leave too few targets."""
    targets, units = theta["a"].shape
    kept = int(explained(theta["a"], theta["b"]).sum())
    if kept == targets or kept > spec.components or not isinstance(spec.a[0].estimator, FromMasks):
        return
    fit = spec.a[0]
    models = int(rows_used(MarginMatrix.open(store, fit.matrix.key), fit.first, fit.half).sum())
    needed = ", ".join(f"{models_needed(units, rho):,} where it is {rho:g}" for rho in (0.3, 0.1, 0.03))
    raise ConfigError(
        "subsets.models",
        f"enough models to tell which training examples matter to more than {spec.components} targets",
        models,
        f"With so many in the fit the datamodels of {targets - kept} of {targets} targets are zeros alone. An example "
        f"stands out among {units:,} from about 2·ln({units})/ρ² models on, ρ its correlation with a margin: {needed}",
    )


def models_needed(units: int, correlation: float) -> int:
    """Return from how many models on an example stands out among others: ⌈2·ln(units)/correlation²⌉.

    Among `units` examples that do not matter the largest of the correlations over m models is about √(2·ln(units)/m).
    """
    return math.ceil(2 * math.log(max(2, units)) / correlation**2)


def null_block(store: ObjectStore, spec: NullBlock) -> None:
    """Store cross-fitted differences where nothing differs but by chance, for one block of draws."""
    pair, block = spec.pair, spec.block
    reference = pair.null_block(block)
    halves = (_pairs(store, pair, 1), _pairs(store, pair, 2))
    draws = range(block * NULL_BLOCK, (block + 1) * NULL_BLOCK)
    by_chance = permuted_differences if pair.null_from == "exchange" else part_differences
    differences = by_chance(
        halves, pair.components, draws, pair.seed, method=residual_method(pair), normalize=pair.normalize
    )
    arrays = {"differences": differences}
    write_tensors(store, reference.record, TensorObject(arrays, {"null": reference.digest}, {"block": block}))


def _common(objects: ObjectStore, spec: Pair) -> CommonFits:
    """Datamodels of both halves, fitted alike where they come from masks and margins, else as they are."""
    if isinstance(spec.a[0].estimator, FromMasks):
        return common_fits((_pairs(objects, spec, 1), _pairs(objects, spec, 2)), method=residual_method(spec))
    (a0, a1), (b0, b1) = ([read_datamodels(objects, fit).weights for fit in fits[1:]] for fits in (spec.a, spec.b))
    return CommonFits((a0, a1), (b0, b1), ((a0,), (a1,)), ((b0,), (b1,)))


def _pairs(objects: ObjectStore, spec: Pair, which: int) -> Pairs:
    fits = spec.a[which], spec.b[which]
    estimator = fits[0].estimator
    assert isinstance(estimator, FromMasks)
    matrices = [MarginMatrix.open(objects, fit.matrix.key) for fit in fits]
    used = [rows_used(m, fit.first, fit.half) for m, fit in zip(matrices, fits, strict=True)]
    keep = np.logical_and(*used)
    masks = [matrix.masks()[keep] for matrix in matrices]
    shared = np.array_equal(keep, used[0]) and np.array_equal(masks[0], masks[1])
    return Pairs(
        masks_a=masks[0],
        masks_b=masks[1],
        margins_a=matrices[0].margins()[keep],
        margins_b=matrices[1].margins()[keep],
        refit=estimator.common(*(read_datamodels(objects, fit) for fit in fits)),
        counts=counts_of(objects, fits[0], masks[0]) if shared and estimator.uses_counts else None,
        repeated=joined(*(replicates_of(matrix).select(keep) for matrix in matrices)),
    )
