"""Run the comparisons of case_augmentation and case_pretraining in full, and write their pages from the store.

    OMP_NUM_THREADS=1 python -m benchmarks.cases augmentation STORE             # all that is missing, then the page
    OMP_NUM_THREADS=1 python -m benchmarks.cases augmentation STORE --rebuild   # the page and its picture alone

Rules, fixed before any result on the studies' own data (shares, augmentation and settings were chosen on data of
another seed). *Comparison*: the study as it ships. *Removal*: where the search confirms a difference,
`modeldiff remove` with MODELS models. *The named group*: all training coats over a texture are taken out, and RANDOM
times as many coats drawn from all; MODELS full-data models of each algorithm, of numbers that the comparison did not
use, on the half of the test images that the search does not propose from; by how much the difference of A's and B's
effects of the study's transformation `texture` shrinks, and by how much more than without random coats, with two-way
intervals over models and images. *Two estimators*: `comparison.method=matrix_free` with 16 trainings of each and 32
probes; |cosine| of its first direction over training examples with the regression's first, cosines of the angles
between the spans of both estimators' significant directions, correlation of the first two over test images, and the
area under the ROC curve of each for the background of the test coats and of the training coats.
What is not found is said to be.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.case_pages import CASES, FREE, MODELS, Case, key_of, page, read_kept, study_of
from benchmarks.case_records import machine
from modeldiff_core.evaluation.removal import beyond_random, difference, shrinkage
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.identity import generator
from modeldiff_core.plan import Bar
from modeldiff_core.statistics import Interval
from modeldiff_core.store import ObjectStore, read_record, read_tensors
from modeldiff_core.store.records import write_record
from modeldiff_core.study import StudyConfig, load_dataset, trainings_of
from modeldiff_core.training import Execution, train_ensemble
from modeldiff_core.transformations.search import image_halves, measure_tests
from modeldiff_platform.flows.cli.compose import request

RANDOM, FIRST, LABEL, LEVEL = 5, 1000, 1, 0.95
"""Random groups, number of the first model, the class of coats, level of intervals."""


def run_all(case: Case, root: str) -> None:
    """Make what the store lacks, the cheapest to lose first, and note what was spent."""
    study = study_of(case)
    spent = {"comparison": _timed(study, root)}
    experiment, store = open_experiment(study, root)
    summary = read_record(store, experiment.summary.record)
    kept = read_kept(store, summary)
    if "named" not in kept:
        began = process_time()
        kept["named"] = without_named(study)
        spent["named"] = process_time() - began
        keep(store, summary, kept, spent)
    if any(one["distinguishing"] for one in summary["found"]):
        removal = request([*case.overrides, f"removal.models={MODELS}"], "removal").study
        spent["removal"] = _timed(removal, root)
    spent["matrix_free"] = _timed(study_of(case, *FREE), root)
    kept["agreement"] = agreement(case, root)
    keep(store, summary, kept, spent)


def _timed(study: Any, root: str) -> float:
    began = process_time()
    print(*run_study(study, root, progress=Bar()).findings, sep="\n", flush=True)
    return process_time() - began


def keep(store: ObjectStore, summary: Mapping[str, Any], kept: dict[str, Any], spent: Mapping[str, float]) -> None:
    """Write what a case keeps; seconds of a part are the most that any run of it took, since a later one only reads."""
    known = kept.get("seconds", {})
    kept["seconds"] = {**known, **{name: max(value, known.get(name, 0.0)) for name, value in spent.items()}}
    kept |= {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    kept.pop("checksum", None)
    write_record(store, key_of(summary), kept)


def without_named(study: StudyConfig) -> dict[str, Any]:
    """Return what becomes of the effect of `texture` without the coats over textures, and without random coats."""
    data, (test,) = load_dataset(study.dataset), [one for one in study.transformations if one.name == "texture"]
    coats = np.flatnonzero(data.train.labels == LABEL)
    named = coats[data.train.metadata["background"][coats] == 1]
    draws = generator("case random coats", study.dataset.options().get("seed", 0))
    groups = [np.array([], int), named, *(draws.permutation(coats)[: len(named)] for _ in range(RANDOM))]
    half = image_halves(len(data.test), study.search.seed)[1]
    found: list[dict[str, np.ndarray]] = []
    for group in groups:
        masks = np.ones((MODELS, len(data.train)), bool)
        masks[:, group] = False
        changes = {}
        for side, training in zip("ab", trainings_of(study, data), strict=True):
            task = training.task()
            models, _ = train_ensemble(task, range(FIRST, FIRST + MODELS), Execution(), masks)
            (change,) = measure_tests(models, task.targets.select(half), [test], study.effects, (1.0,))
            changes[side] = change.probability[0]
        found.append(changes)
    differences = [difference(one) for one in found]
    return {
        "size": len(named),
        "coats": len(coats),
        "models": MODELS,
        "random": RANDOM,
        "effects": [{side: float(one[side].mean()) for side in "ab"} for one in found],
        "shrinkage": _ends(shrinkage(differences[0], differences[1], LEVEL)),
        "random_shrinkage": [_ends(shrinkage(differences[0], one, LEVEL)) for one in differences[2:]],
        "beyond_random": _ends(beyond_random(differences[0], differences[1], differences[2:], LEVEL)),
    }


def _ends(one: Interval) -> list[float]:
    return [one.mean, one.low, one.high]


@dataclass(frozen=True)
class Leading:
    """The first direction of a comparison: its side, p, weights of training examples and places of test images.

    spanned: Significant directions over training examples, orthonormal.
    """

    side: str
    p: float
    train: np.ndarray
    targets: np.ndarray
    spanned: np.ndarray


def leading(study: StudyConfig, root: str) -> Leading:
    """Return the first direction of a finished comparison."""
    experiment, store = open_experiment(study, root)
    told = read_record(store, experiment.summary.record)["directions"]
    first = told[0]
    found = experiment.comparison.directions  # type: ignore[attr-defined]
    arrays = read_tensors(store, found.record, {"directions": found.digest}).arrays
    side, index = first["side"], first["index"]
    significant = [arrays[f"{one['side']}.directions"][one["index"]] for one in told if one["significant"]]
    spanned = (
        np.linalg.qr(np.array(significant).T)[0].T
        if significant
        else np.zeros((0, arrays[f"{side}.directions"].shape[1]))
    )
    return Leading(
        side,
        first["p_adjusted"],
        arrays[f"{side}.directions"][index],
        arrays[f"{side}.projections"][:, index],
        spanned,
    )


def agreement(case: Case, root: str) -> dict[str, Any]:
    """Return how far the first directions of both estimators agree, and what each tells of the background."""
    study = study_of(case)
    both = {"regression": leading(study, root), "trainings": leading(study_of(case, *FREE), root)}
    data = load_dataset(study.dataset)
    one, other = both["regression"], both["trainings"]
    cosine = float(one.train @ other.train / (np.linalg.norm(one.train) * np.linalg.norm(other.train)))
    return {
        "cosine": abs(cosine),
        "correlation": abs(float(np.corrcoef(one.targets, other.targets)[0, 1])),
        "significant": [len(one.spanned), len(other.spanned)],
        "cosines": [float(c) for c in np.linalg.svd(one.spanned @ other.spanned.T, compute_uv=False)],
        **{
            name: {
                "side": found.side,
                "p": found.p,
                "auc_test": _area(data.test, found.targets),
                "auc_train": _area(data.train, found.train),
            }
            for name, found in both.items()
        },
    }


def _area(examples: Any, values: np.ndarray) -> float | None:
    """Return the AUC for the background among coats, whichever sign; None where all have the same."""
    among = examples.labels == LABEL
    textured = examples.metadata["background"][among]
    if textured.min() == textured.max():
        return None
    area = float(roc_auc_score(textured, values[among]))
    return max(area, 1 - area)


def main() -> None:
    """Make what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("store")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--rebuild", action="store_true", help="write the page only")
    parser.add_argument("--set", nargs="*", default=[], help="overrides of the study, to try this out")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known = CASES[asked.case]
    case = Case(known.name, known.title, known.question, known.setting, tuple(asked.set))
    if not asked.rebuild:
        run_all(case, asked.store)
    to = asked.page or Path(f"docs/cases/{case.name}.md")
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(page(case, asked.store, (to.parent / case.picture).resolve()), "utf-8")


if __name__ == "__main__":
    main()
