"""What a configuration says of its store before anything is run: keys, digests and masks. The tests' only view of that.

Golden files are compared with what the functions of this module give, so whoever plans or runs studies in another way
changes this module and nothing else of the golden tests.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.golden_files import DEPENDENT, FIRST_MASKS, Golden
from modeldiff_core import plan
from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.experiments.adopted.examples import read_examples
from modeldiff_core.experiments.adopted.experiment import CompareAdopted
from modeldiff_core.experiments.adopted.stored import Stored
from modeldiff_core.experiments.adopted.training import Adopted
from modeldiff_core.experiments.compare.experiment import Compare
from modeldiff_core.experiments.counterfactual.experiment import Counterfactual, CounterfactualStudy
from modeldiff_core.identity import digest
from modeldiff_core.plan import Plan, Reference, Step, refer
from modeldiff_core.stages.curve import CurvePoints
from modeldiff_core.stages.gram import gram_reference
from modeldiff_core.stages.matrix import matrix_reference
from modeldiff_core.stages.regress import BlockSpec
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.times import time_key
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings
from modeldiff_core.store.chunks import metadata
from modeldiff_core.store.matrices import COLUMNS, ROWS, grids
from modeldiff_core.study import parse_study
from modeldiff_core.study.adopted import AdoptedStudy
from modeldiff_core.training import Execution
from modeldiff_platform.flows.cli.compose import request

NOWHERE = StoreSettings("memory://golden")
"""A store that stays empty: references are made without looking into it."""
UNLISTED = re.compile(r"/shards/|/targets-|/report/|^grams/")
"""Keys of what golden files hold no digests of: parts, and reports, whose digest is their comparison's."""


def composed(name: str) -> dict[str, Any]:
    """Return all settings of the study of that name in conf/ with residual analyses, as plain values."""
    return request([f"study={name}", "comparison=residual"]).study.model_dump(mode="json")


def static_keys(golden: Golden) -> list[str]:
    """Return every key that follows from the configuration alone, sorted, under the assumption that no model diverges.

    Those of the plan, and those that no plan can name: parts of a matrix, counts of its masks, and times.
    """
    nowhere = ObjectStore(NOWHERE)
    found = {key for step in _steps(golden) for key in step.makes.lacking(nowhere, ())}
    for experiment in _experiments(golden):
        found |= {key for key in _around(experiment) if not DEPENDENT.fullmatch(key)}
    return sorted(found)


def digests(golden: Golden) -> dict[str, str]:
    """Return the digest of every result by the key of the object that makes it complete, without shards and blocks."""
    found: dict[str, str] = {}
    for step in _steps(golden):
        makes = step.makes
        references = [point for _, point in makes.points] if isinstance(makes, CurvePoints) else [makes.reference]
        found |= {reference.record: reference.digest for reference in references}
    if golden.adopted is not None:
        sides = [_side(golden.adopted[which]) for which in ("a", "b")]
        found |= {f"{side.folder}/training.json": digest(side.training) for side in sides}
    return {key: value for key, value in found.items() if not UNLISTED.search(key)}


def masks(golden: Golden) -> dict[str, list[str]]:
    """SHA-256 of the first masks of each training, packed eight to a byte, by the training's folder."""
    return {
        training.prefix: [
            hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
            for mask in training.sampler(len(training.load().train)).masks(range(FIRST_MASKS))
        ]
        for study in golden.studies
        for training in Compare.of(parse_study(study), ObjectStore(NOWHERE)).comparison.trainings
    }


def complete(store: ObjectStore, golden: Golden) -> None:
    """Run the studies of a golden file, and the counterfactual check if there is one, in this process."""
    for experiment in _experiments(golden):
        plan.run(experiment, store, plan.InProcess(store, Execution(device="cpu", stack=20)))


Golds = Compare | Counterfactual | CompareAdopted


def _experiments(golden: Golden) -> list[Golds]:
    """Return the experiments of a golden file; adopted sides are known by their training.json alone."""
    nowhere = ObjectStore(NOWHERE)
    found: list[Golds] = [Compare.of(parse_study(study), nowhere) for study in golden.studies]
    if golden.counterfactual is not None:
        studies = [{**study, "counterfactual": golden.counterfactual} for study in golden.studies]
        found += [Counterfactual.of(CounterfactualStudy.parse(study), nowhere) for study in studies]
    if golden.adopted is not None:
        study = AdoptedStudy.model_validate(golden.adopted["study"])
        a, b = (_side(golden.adopted[which]) for which in ("a", "b"))
        behind = read_examples(study, a.n_targets, a.n_train, NOWHERE)
        found.append(CompareAdopted(AdoptedComparison(study, a, b, behind)))
    return found


def _steps(golden: Golden) -> Iterator[Step]:
    """Yield the steps that are known of an empty store."""
    plans: list[Plan] = list(_experiments(golden))
    for one in plans:
        for wave in one.waves(ObjectStore(NOWHERE)):
            yield from wave.steps


def _around(experiment: Golds) -> Iterator[str]:
    """Keys that no plan names before they are there."""
    if isinstance(experiment, CompareAdopted):
        adopted = experiment.comparison
        for side in adopted.sides.values():
            if side.kind == "margins":
                sizes = side.models, side.n_train, side.n_targets
                fits = [fit for fit in adopted.regressions().values() if fit.matrix == side.reference]
                yield from _matrix_keys(side.reference, sizes, dict(side.training), fits)
            else:
                yield f"{side.reference.key}/targets-000000-{side.n_targets:06d}.safetensors"
        folder, table = adopted.folder, "directions.csv"
    else:
        comparison = experiment.comparison
        for training in comparison.trainings:
            fits = [fit for fit in comparison.regressions().values() if fit.folder == training.prefix]
            sizes = comparison.study.subsets.models, len(training.load().train), training.targets
            yield from _matrix_keys(comparison.matrix(training).reference, sizes, training.identity, fits)
        folder, table = comparison.folder, "effects.parquet"
    names = ("study.json", "summary.json", table, "report/index.html", "report/files.json")
    yield from (f"{folder}/{name}" for name in names)


def _side(record: dict[str, Any]) -> Stored:
    said = record["identity"]["adopted"]
    content = {name: value for name, value in said.items() if name not in ("name", "dataset")}
    training = Adopted(said["name"], said["dataset"], content)
    assert training.identity == record["identity"]
    models, n_train, n_targets = int(said.get("models", 0)), said["train"], said["targets"]
    if models:
        reference = matrix_reference(training.prefix, training.identity, models)
        return Stored("margins", training.name, reference, models, n_train, n_targets, training.identity, {})
    identity = {"version": record["identity"]["version"], "training": training.identity}
    reference = refer(training.prefix, "datamodels", identity, record="{key}/record.json")
    return Stored("datamodels", training.name, reference, 0, n_train, n_targets, training.identity, {})


def _matrix_keys(
    reference: Reference, sizes: tuple[int, int, int], identity: dict[str, Any], fits: list[Regression]
) -> Iterator[str]:
    """Yield the parts of a matrix, the counts of its masks, and the times of these regressions of it.

    sizes: models, training examples, targets.
    """
    models, n_train, n_targets = sizes
    chunk = -(-models // -(-models // ROWS)), min(COLUMNS, n_targets)
    record = {
        "identity": {"training": identity},
        "group": f"{reference.key.rsplit('/', 1)[-1]}.*.zarr",
        "models": models,
        "n_train": n_train,
        "n_targets": n_targets,
        "dtype": "float32",
        "chunk": list(chunk),
        "diverged": [],
    }
    matrix = MarginMatrix(ObjectStore(NOWHERE), reference.key, record)
    parts = grids(models, n_train, n_targets, chunk, np.dtype("float32"))
    yield from (f"{matrix.group}/{name}" for name in metadata(parts))
    for grid in parts:
        yield from (f"{matrix.group}/{grid.object(i, j)}" for i in range(grid.counts[0]) for j in range(grid.counts[1]))
    for fit in fits:
        if getattr(fit.estimator, "uses_counts", False):
            counts = gram_reference(matrix, fit.first, fit.half).record
            yield from (counts, time_key(counts))
        yield from (time_key(BlockSpec(fit, *block).key) for block in fit.blocks)
