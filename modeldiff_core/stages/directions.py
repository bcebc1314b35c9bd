"""Stage: directions of both sides with cross-fitted variances, and blocks of the permutation null."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from modeldiff_core.comparison import Pairs, common_fits, cross_fit, permuted_differences, residual_pca, similarity
from modeldiff_core.comparison.crossfit import Halves
from modeldiff_core.datamodels import FromMasks
from modeldiff_core.stages.gram import counts_of
from modeldiff_core.stages.references import Reference, open_store, refer
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.stages.regression import Regression, rows_used
from modeldiff_core.store import MarginMatrix, ObjectStore, TensorObject, write_tensors

VERSION = 2
SIDES = ("a-b", "b-a")
NULL_BLOCK = 2
"""Permutations in one object of the null."""
FOLDER = "comparisons"


@dataclass(frozen=True)
class Pair:
    """The regressions of A and of B: on all models, and on each half."""

    a: tuple[Regression, Regression, Regression]
    b: tuple[Regression, Regression, Regression]
    components: int
    seed: int

    @property
    def digests(self) -> dict[str, list[str]]:
        """What the comparison depends on."""
        return {"a": [r.reference.digest for r in self.a], "b": [r.reference.digest for r in self.b]}

    @property
    def directions(self) -> Reference:
        """Where the directions stand."""
        identity = {"version": VERSION, **self.digests, "components": self.components}
        return refer(FOLDER, "directions", identity, record="{key}.safetensors")

    def null_block(self, block: int) -> Reference:
        """Where block number `block` of the null stands; the number of permutations is no part of it."""
        halves = {name: digests[1:] for name, digests in self.digests.items()}
        identity = {"version": VERSION, **halves, "components": self.components, "seed": self.seed}
        return refer(FOLDER, "null", identity, record=f"{{key}}/{block:05d}.safetensors")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a worker in another process."""
        return {
            "a": [r.to_json() for r in self.a], "b": [r.to_json() for r in self.b], "components": self.components,
            "seed": self.seed,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Pair":
        """What to_json gave."""
        a, b = ([Regression.from_json(r) for r in content[side]] for side in ("a", "b"))
        return cls((a[0], a[1], a[2]), (b[0], b[1], b[2]), content["components"], content["seed"])


def find_directions(store: dict[str, Any], pair: dict[str, Any]) -> dict[str, Any]:
    """Residual PCA on all models and the cross-fitted variances of its directions, for both sides."""
    objects, spec = open_store(store), Pair.from_json(pair)
    theta = {"a": read_datamodels(objects, spec.a[0]).weights, "b": read_datamodels(objects, spec.b[0]).weights}
    halves = _halves(objects, spec)
    arrays = {"similarity": similarity(theta["a"], theta["b"])}
    for side, (first, second) in zip(SIDES, (("a", "b"), ("b", "a")), strict=True):
        found = residual_pca(theta[first], theta[second], spec.components)
        fit = cross_fit(halves[first], halves[second], spec.components, found.directions)
        # From here on "a" is algorithm A again, whichever side the direction is of.
        variance = {first: fit.variance_a, second: fit.variance_b}
        in_sample = {first: found.explained_variance_a, second: found.explained_variance_b}
        arrays |= {
            f"{side}.directions": found.directions,
            f"{side}.projections": found.projections,
            f"{side}.stability": fit.stability,
            **{f"{side}.variance_{name}": variance[name] for name in ("a", "b")},
            **{f"{side}.in_sample_{name}": in_sample[name] for name in ("a", "b")},
        }
    facts = {"components": spec.components}
    write_tensors(objects, spec.directions.record, TensorObject(arrays, {"directions": spec.directions.digest}, facts))
    return spec.directions.to_json()


def null_block(store: dict[str, Any], pair: dict[str, Any], block: int) -> dict[str, Any]:
    """Cross-fitted differences under random exchanges of A and B, for one block of permutations."""
    objects, spec = open_store(store), Pair.from_json(pair)
    reference = spec.null_block(block)
    halves = (_pairs(objects, spec, 1), _pairs(objects, spec, 2))
    permutations = range(block * NULL_BLOCK, (block + 1) * NULL_BLOCK)
    arrays = {"differences": permuted_differences(halves, spec.components, permutations, spec.seed)}
    write_tensors(objects, reference.record, TensorObject(arrays, {"null": reference.digest}, {"block": block}))
    return reference.to_json()


def _halves(objects: ObjectStore, spec: Pair) -> dict[str, Halves]:
    """A's and B's datamodels of both halves, fitted alike where they come from masks and margins, else as they are."""
    if isinstance(spec.a[0].estimator, FromMasks):
        return dict(zip("ab", common_fits((_pairs(objects, spec, 1), _pairs(objects, spec, 2))), strict=True))
    own = {
        name: [read_datamodels(objects, fit).weights for fit in fits[1:]]
        for name, fits in (("a", spec.a), ("b", spec.b))
    }
    return {name: (first, second) for name, (first, second) in own.items()}


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
    )
