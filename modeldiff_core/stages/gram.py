"""Stage: how often training examples are left in together, counted once for all targets and kept in the store.

Counts belong to the masks alone, so algorithms that were trained on the same masks share them.
"""

import time
from collections.abc import Mapping

import numpy as np
import torch

from modeldiff_core.datamodels import FromMasks
from modeldiff_core.datamodels.gram import co_occurrence
from modeldiff_core.datamodels.protocol import Counts, Masks
from modeldiff_core.errors import DamagedObject
from modeldiff_core.identity import digest
from modeldiff_core.plan import Array, Cost, Label, Product, Reference, Step, Tensors, refer
from modeldiff_core.stages.regression import Regression, rows_asked, rows_used
from modeldiff_core.stages.times import write_time
from modeldiff_core.store import MarginMatrix, ObjectStore, TensorObject, read_tensors, write_tensors

VERSION = 1
FOLDER = "grams"
LARGEST = 2**32
"""Most bytes of counts (float32) that are kept; beyond them an estimator sees to its memory itself."""


def gram_steps(store: ObjectStore, fits: Mapping[str, Regression], label: Label) -> tuple[Step, ...]:
    """Return the counting of the masks of these regressions, each once, whichever algorithms and estimators share them.

    Counts are intermediate results of the datamodels: not missed once those are complete. Raises FileNotFoundError or
    DamagedObject if a matrix cannot be read, whose record decides which rows are counted.
    """
    serving: dict[Reference, dict[str, Product]] = {}
    found: dict[Reference, tuple[str, Regression, int]] = {}
    for words, fit in fits.items():
        if not (isinstance(fit.estimator, FromMasks) and fit.estimator.uses_counts):
            continue
        matrix = MarginMatrix.open(store, fit.matrix.key)
        if not fits_store(matrix):
            continue
        reference = gram_reference(matrix, fit.first, fit.half)
        found.setdefault(reference, (words, fit, int(matrix.record["n_train"])))
        serving.setdefault(reference, {})[fit.reference.key] = fit.product
    return tuple(
        Step(
            f"{words} masks counted",
            Tensors(reference, {"gram": reference.digest}, (Array("counts", {"train": n, "others": n}),)),
            count_masks,
            fit,
            (fit.matrix,),
            label,
            Cost(1e-10 * n * n * 1000, 4 * n * n),
            serves=tuple(serving[reference].values()),
        )
        for reference, (words, fit, n) in found.items()
    )


def gram_reference(matrix: MarginMatrix, first: int, half: int | None) -> Reference:
    """Return where the counts of some rows of masks are stored, whichever algorithm they were trained for."""
    diverged = rows_asked(matrix, first, half) & ~matrix.valid()
    identity = {
        "version": VERSION,
        "masks": _design(matrix),
        "train": matrix.record["n_train"],
        "models": matrix.record["models"],
        "first": first,
        "half": half,
        "left_out": np.flatnonzero(diverged).tolist(),
    }
    return refer(FOLDER, "gram", identity, record="{key}.safetensors")


def _design(matrix: MarginMatrix) -> object:
    """Return what decides a matrix's masks: the subset design, or all of a training whose masks were not drawn here."""
    training = matrix.record["identity"]["training"]
    if "subsets" not in training:
        return digest(training)
    design = {name: training["subsets"][name] for name in ("fraction", "seed", "seeds") if name in training["subsets"]}
    return {"recipe_version": training["recipe_version"], **design}


def count_masks(store: ObjectStore, spec: Regression) -> None:
    """Count the masks of a regression unless that is done."""
    matrix = MarginMatrix.open(store, spec.matrix.key)
    counts_of(store, spec, matrix.masks()[rows_used(matrix, spec.first, spec.half)])


def counts_of(store: ObjectStore, regression: Regression, masks: Masks) -> Counts | None:
    """Return the counts of a regression's masks, kept once computed; None if they are too large to keep."""
    matrix = MarginMatrix.open(store, regression.matrix.key)
    if not fits_store(matrix):
        return None
    reference = gram_reference(matrix, regression.first, regression.half)
    try:
        kept = read_tensors(store, reference.record, {"gram": reference.digest}).arrays["counts"]
        return torch.from_numpy(kept.astype(np.float32))
    except (FileNotFoundError, DamagedObject):
        began = time.process_time()
        counts = co_occurrence(masks)
        whole = np.min_scalar_type(int(matrix.record["models"]))
        arrays = {"counts": counts.numpy().astype(whole)}
        write_time(store, reference.record, time.process_time() - began)
        write_tensors(store, reference.record, TensorObject(arrays, {"gram": reference.digest}, {}))
        return counts


def fits_store(matrix: MarginMatrix) -> bool:
    """Return whether counts are kept, which depends on the number of training examples."""
    return 4 * int(matrix.record["n_train"]) ** 2 <= LARGEST
