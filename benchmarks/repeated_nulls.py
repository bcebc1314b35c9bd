"""Count false alarms in comparisons of adopted margins whose rows repeat masks or models.

Rule, written down before the run: in each of four kinds of studies, at most 3 of the 20 studies with seeds 0 to 19
have any significant direction (adjusted p at most 0.05), though A and B do not differ. The kinds:

    independent   400 models, each on a mask of its own
    seeds         80 masks, 5 models with other noise on each
    twice         200 models on masks of their own, each row twice
    own           like seeds, but each algorithm deviates from a linear model in its own way on each mask

A and B have the same linear datamodels, the same masks, and on each mask the same deviation from any linear model (of
the kind own also one of their own, which an exchange of single models would average away); noise is each model's own.
Rows go the way of a user's: files, ``adopt`` with its usual settings, and the comparison up to its summary.
``--as-before`` keeps copies and treats every row as a replicate of its own, as it was until masks were looked at, to
show that the count can fail.

    python benchmarks/repeated_nulls.py [--as-before] [studies of a kind, 20 by default] [kind ...]
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from modeldiff_core.experiments.adopted.adopt import adopt
from modeldiff_core.experiments.adopted.experiment import CompareAdopted
from modeldiff_core.stages import directions, regression, score
from modeldiff_core.statistics.replicates import Replicates
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings, read_record
from modeldiff_core.study.adopted import AdoptedStudy, Adoption

STUDIES, MOST = 20, 3
TRAIN, TARGETS = 40, 24
KINDS = {"independent": (400, 1, 1), "seeds": (80, 5, 1), "twice": (200, 1, 2), "own": (80, 5, 1)}
"""Masks, models on each, and how often each row is there."""
DEVIATION, NOISE = 0.3, 0.4
"""Standard deviations of what no linear model explains of a mask, and of a model's own noise."""
SETTINGS: dict[str, Any] = {
    "regression": {"n_lambdas": 5},
    "comparison": {"components": 3, "permutations": 24, "top": 4},
}


def rows_of(kind: str, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return masks, and margins of A and of B that do not differ but by chance."""
    masks_drawn, models, times = KINDS[kind]
    rng = np.random.default_rng([seed, len(kind)])
    theta = rng.normal(0, 0.12, (TARGETS, TRAIN))
    drawn = np.argsort(rng.random((masks_drawn, TRAIN)), axis=1) < TRAIN // 2
    deviation = rng.normal(0, DEVIATION, (masks_drawn, TARGETS))
    of = np.repeat(np.arange(masks_drawn), models)
    expected = drawn[of] @ theta.T + deviation[of]
    margins = {side: expected + rng.normal(0, NOISE, expected.shape) for side in "ab"}
    if kind == "own":
        margins = {side: values + rng.normal(0, DEVIATION, deviation.shape)[of] for side, values in margins.items()}
    repeated = {side: np.repeat(values, times, axis=0).astype(np.float32) for side, values in margins.items()}
    return np.repeat(drawn[of], times, axis=0), repeated


def alarms(kind: str, seed: int, folder: Path, as_before: bool = False) -> int:
    """Return how many directions of one study are significant."""
    masks, margins = rows_of(kind, seed)
    store = ObjectStore(StoreSettings(str(folder / "store")))
    keys = {}
    for side, values in margins.items():
        np.save(folder / "masks.npy", masks)
        np.save(folder / "margins.npy", values)
        asked = {"name": side, "masks": str(folder / "masks.npy"), "margins": str(folder / "margins.npy")}
        keys[side] = adopt(
            store, Adoption.model_validate({**asked, "copies": "keep" if as_before else "leave_out"})
        ).key
    held = {"name": "null", "evaluation_models": len(masks) // 8}
    with ExitStack() as stack:
        if as_before:
            for module in (regression, directions, score):
                stack.enter_context(patch.object(module, "replicates_of", _single))
            stack.enter_context(patch.object(Replicates, "of_masks", lambda rows: Replicates.single(len(rows))))
        experiment = CompareAdopted.of(AdoptedStudy.model_validate({**SETTINGS, **held, **keys}), store)
        for wave in experiment.waves(store):
            for step in wave.steps:
                if not step.adopted and step.reference.record != experiment.report.record:
                    step.stage(store, step.spec)
    return sum(entry["significant"] for entry in read_record(store, experiment.summary.record)["directions"])


def _single(matrix: MarginMatrix) -> Replicates:
    """Return every row as a replicate of its own."""
    return Replicates.single(int(matrix.record["models"]))


def main() -> None:
    """Print a line for each kind, and whether the rule holds."""
    as_before = "--as-before" in sys.argv
    given = [argument for argument in sys.argv[1:] if argument != "--as-before"]
    studies = int(given[0]) if given else STUDIES
    print(f"{datetime.now(UTC):%Y-%m-%d} · {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    for kind in given[1:] or KINDS:
        began, found = time.process_time(), []
        for seed in range(studies):
            with tempfile.TemporaryDirectory() as folder:
                found.append(alarms(kind, seed, Path(folder), as_before))
        raised = sum(count > 0 for count in found)
        verdict = "" if as_before else ", as the rule asks" if raised <= MOST else f", MORE THAN {MOST}"
        seconds = time.process_time() - began
        counted = f"alarms in {raised} of {studies} studies{verdict}; significant directions {found}"
        print(f"{kind}: {counted}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
