"""On a finished store of each experiment: whatever is lost or damaged is named, and a run makes that again alone.

One object of each kind of step is deleted, or has a byte flipped, in a copy of a store that was made once. `make test`
has the kinds of steps of a comparison, `make nightly` those of the experiments that rest on one.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.experiments.adopted.experiment import CompareAdopted
from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.experiments.counterfactual.experiment import Counterfactual, CounterfactualStudy
from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.experiments.preview.experiment import Preview, PreviewStudy
from modeldiff_core.experiments.sweep import Sweep, SweepStudy
from modeldiff_core.identity import digest
from modeldiff_core.plan import InProcess, repair, run, survey, verify
from modeldiff_core.plan.step import stage_of
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import parse_study
from modeldiff_core.study.adopted import AdoptedStudy
from tests.modeldiff_core.plan.cases import Case, bits, carried_out
from tests.modeldiff_core.stages.studies import EXECUTION, local
from tests.modeldiff_core.undrawn import undrawn

WATERMARK = {"top": 0, "left": 0, "height": 3, "width": 2}
SGD: dict[str, Any] = {"epochs": 10, "batch_size": 25, "network": {"kind": "mlp", "widths": [32]}}
PLANTED: dict[str, Any] = {
    "name": "planted",
    "dataset": {
        "kind": "digits",
        "n_train": 150,
        "n_test": 120,
        "seed": 0,
        "plant": {"label": 8, "fraction": 0.9, "seed": 0, "watermark": WATERMARK},
    },
    "algorithm_a": {"name": "as is", "kind": "sgd", "seed": 1, "recipe": SGD},
    "algorithm_b": {
        "name": "erased",
        "kind": "sgd",
        "seed": 1,
        "recipe": {**SGD, "augmentations": [{"kind": "erase", **WATERMARK}]},
    },
    "subsets": {"models": 600, "evaluation_models": 20, "shard_size": 200},
    "ensemble": {"models": 4, "shard_size": 2},
    "regression": {"n_lambdas": 8, "block_size": 60},
    "comparison": {"components": 1, "permutations": 20, "top": 5},
    "search": {"directions": 1, "candidates": 4, "confirmed": 1},
    "transformations": [
        {
            "name": "watermark",
            "kind": "watermark",
            "target_class": 8,
            "parameters": WATERMARK,
            "intensities": [1.0],
        }
    ],
}
"""A relies on the watermark that B never sees: a direction that is significant."""
SEARCHED = {"describe", "propose_candidates", "rank_candidates", "measure_finalists"}


def compare() -> Comparison:
    return Comparison.of(parse_study(PLANTED))


def of_margins(store: ObjectStore) -> Experiment:
    comparison = compare()
    a, b = (comparison.matrix(training).reference.key for training in comparison.trainings)
    sides = {"a": a, "b": b}
    return adopted("adopted", sides, store)


def of_scores(store: ObjectStore) -> Experiment:
    pair = compare().pair
    return adopted("scores", {"a": pair.a[0].reference.key, "b": pair.b[0].reference.key}, store)


def adopted(name: str, sides: dict[str, str], store: ObjectStore) -> Experiment:
    shared = {key: PLANTED[key] for key in ("dataset", "regression", "comparison")}
    study = AdoptedStudy.model_validate({"name": name, **sides, "evaluation_models": 20, **shared})
    return CompareAdopted.of(study, store)


def check_of(store: ObjectStore) -> Experiment:
    asked = {"targets": 3, "top_k": 10, "models": 10}
    return Counterfactual.of(CounterfactualStudy.parse({**PLANTED, "counterfactual": asked}), store)


def sweep(store: ObjectStore) -> Experiment:
    other = {**PLANTED, "comparison": {**PLANTED["comparison"], "top": 6}}
    points = [{"words": f"top={study['comparison']['top']}", "study": study} for study in (PLANTED, other)]
    return Sweep.of(SweepStudy.model_validate({"name": "two", "points": points}), store)


def preview(store: ObjectStore) -> Experiment:
    asked = {"trainings": 1, "probes": 3, "components": 1}
    return Preview(PreviewStudy.parse({**PLANTED, "preview": asked}))


EXPERIMENTS: dict[str, Callable[[ObjectStore], Experiment]] = {
    "compare": lambda store: Compare(compare()),
    "counterfactual": check_of,
    "adopted margins": of_margins,
    "adopted scores": of_scores,
    "sweep": sweep,
    "preview": preview,
}
KINDS: dict[str, tuple[str, ...]] = {
    "compare": (
        "write_training", "make_shard", "gather", "follow_curve", "count_masks", "regress_block", "finish_regression",
        "measure_effect", "compare_plainly", "compare_spread", "score", "find_directions", "null_block",
        "describe", "propose_candidates", "rank_candidates", "measure_finalists", "write_summary", "write_report",
    ),
    "counterfactual": ("train_without",),
    "adopted margins": ("score_alone", "describe_adopted"),
    "adopted scores": ("find_directions_of_scores",),
    "sweep": (),
    "preview": ("make_reverse", "find_basis", "make_forward", "find_training_directions", "measure_smoothness"),
}  # fmt: skip
"""Kinds of steps, each under the first experiment that has it."""
OTHER_FILES = {
    "counterfactual": ("write_summary",),
    "sweep": ("write_summary",),
    "adopted margins": ("write_summary", "write_report"),
    "preview": ("write_summary", "write_report"),
}
"""Kinds of steps that make other files in another experiment than the first one."""
READERS = {
    "make_shard": "score",
    "gather": "score",
    "regress_block": "find_directions",
    "finish_regression": "score",
    "measure_effect": "write_summary",
    "compare_plainly": "write_summary",
    "compare_spread": "write_summary",
    "score": "write_summary",
    "find_directions": "write_summary",
    "null_block": "write_summary",
    "describe": "write_summary",
    "propose_candidates": "measure_finalists",
    "rank_candidates": "measure_finalists",
    "measure_finalists": "write_summary",
    "write_summary": "write_report",
    "train_without": "write_summary",
    "score_alone": "write_summary",
    "describe_adopted": "write_summary",
    "find_directions_of_scores": "write_summary",
    "make_reverse": "find_basis",
    "find_basis": "make_forward",
    "make_forward": "find_training_directions",
    "measure_smoothness": "write_summary",
}
"""A kind of step whose stage reads the result of another kind; results of kinds that are left out only people read."""
READ_BY_PEOPLE = {"counterfactual", "sweep"}
"""Experiments whose summary no stage reads."""
RECORDS = {"write_summary"}
"""Kinds of steps of whose objects only the record is read by another stage, or holds a checksum."""
COMPARED = "compare"
"""The experiment that others rest on, and that `make test` has."""
NAMES = [pytest.param(name, marks=() if name == COMPARED else pytest.mark.nightly) for name in EXPERIMENTS]
CASES = [
    pytest.param((name, kind), marks=() if name == COMPARED else pytest.mark.nightly)
    for named in (KINDS, OTHER_FILES)
    for name, kinds in named.items()
    for kind in kinds
]


@pytest.fixture(scope="module", autouse=True)
def undrawn_reports() -> Iterator[None]:
    """What a report is drawn from stands in its place: a report is files like any other here."""
    with undrawn():
        yield


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a store in which the comparison is complete."""
    root = tmp_path_factory.mktemp("compared")
    complete(root, COMPARED)
    return root


@pytest.fixture(scope="module")
def finished(compared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a store in which every experiment is complete."""
    root = tmp_path_factory.mktemp("finished") / "store"
    shutil.copytree(compared, root)
    for name in EXPERIMENTS:
        complete(root, name)
    return root


def complete(root: Path, name: str) -> None:
    """Run an experiment to its end."""
    store, of = local(root), EXPERIMENTS[name]
    run(of(store), store, InProcess(store, EXECUTION))
    assert survey(of(store), store).complete, name


def root_of(request: pytest.FixtureRequest, name: str) -> Path:
    """Return the root of a store in which the experiment is complete, with no more in it than it takes."""
    root: Path = request.getfixturevalue("compared" if name == COMPARED else "finished")
    return root


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """The last step of a kind: of several objects, blocks or sides it is not the first."""
    name, kind = request.param
    shutil.copytree(root_of(request, name), tmp_path / "store")
    store = local(tmp_path / "store")
    experiment = EXPERIMENTS[name](store)
    steps = [known.step for known in survey(experiment, store).steps if known.step.stage.__name__ == kind]
    return Case(store, experiment, steps[-1], bits(store))


def test_every_kind_of_step_of_a_comparison_is_tried(compared: Path) -> None:
    store = local(compared)
    known = survey(EXPERIMENTS[COMPARED](store), store).steps
    assert {one.step.stage.__name__ for one in known} == set(KINDS[COMPARED])


@pytest.mark.nightly
def test_every_kind_of_step_is_tried(finished: Path) -> None:
    store, met = local(finished), set[str]()
    for name, of in EXPERIMENTS.items():
        kinds = {known.step.stage.__name__ for known in survey(of(store), store).steps} - {"adopt_again"}
        assert kinds - met == set(KINDS[name])
        met |= kinds


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_of_every_step_travels(request: pytest.FixtureRequest, name: str) -> None:
    store = local(root_of(request, name))
    steps = [known.step for known in survey(EXPERIMENTS[name](store), store).steps]
    stages = {step.stage.__name__ for step in steps}
    assert name != "compare" or {"make_shard", "regress_block", "describe", "measure_finalists"} <= stages
    for step in steps:
        stage, spec = stage_of(json.loads(json.dumps(step.work())))
        assert stage is step.stage
        assert spec == step.spec
        assert digest(spec) == digest(step.spec)


@pytest.mark.parametrize("case", CASES, indirect=True, ids=" ".join)
def test_what_is_deleted_is_named_and_made_again_alone(case: Case) -> None:
    allowed = case.dependents()
    key = case.own()[-1]
    case.store.delete(key)
    found = case.survey()
    if case.step.stage.__name__ == "count_masks":
        assert found.complete, "counts are only on the way to datamodels, which are there"
        assert case.rerun() == []
        return
    assert case.step.name in [step.name for step in found.missing]
    assert {step.name for step in found.missing} <= allowed
    assert not found.complete
    (named,) = [one for one in verify(case.experiment, case.store) if one.kind == "missing" and one.key == key]
    assert named.why
    made = {step.name for step in case.rerun()}
    assert case.step.name in made
    assert made <= allowed
    assert bits(case.store) == case.before
    assert case.survey().complete


@pytest.mark.parametrize("case", CASES, indirect=True, ids=" ".join)
def test_a_flipped_byte_is_named_and_mended(case: Case) -> None:
    kind, own = case.step.stage.__name__, case.own()
    key = own[0] if kind in RECORDS else next((name for name in own if "/margins/c/" in name), own[-1])
    known = {one.step.stage.__name__: one.step for one in case.survey().steps}
    path = Path(case.store.path(key))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    findings = verify(case.experiment, case.store)
    record = case.step.reference.record if kind == "gather" else key
    assert (record, "damaged") in [(one.key, one.kind) for one in findings]
    if kind in READERS and (kind != "write_summary" or case.experiment.kind not in READ_BY_PEOPLE):
        reader = known[READERS[kind]]
        case.store.delete(reader.reference.record)
        made = [step.name for step in case.rerun()]
        assert case.step.name in made, "whoever reads it"
        assert reader.name in made
    else:
        removed = repair(case.store, findings)
        assert record in removed
        case.rerun()
    assert verify(case.experiment, case.store) == ()
    after = bits(case.store)
    if kind == "count_masks":
        assert set(case.before) - set(after) == {key}, "not needed any more"
        del case.before[key]
    assert after == case.before


@pytest.mark.nightly
def test_a_run_that_ended_before_the_search_is_seen_as_what_it_is(finished: Path, tmp_path: Path) -> None:
    """What a kill before the search leaves: directions are significant, and nothing that follows from them is there."""
    shutil.copytree(finished, tmp_path / "store")
    store = local(tmp_path / "store")
    experiment = Compare(compare())
    before = bits(store)
    entries = read_record(store, experiment.summary.record)["directions"]
    assert any(entry["significant"] for entry in entries)
    gone = [
        key
        for key in store.sizes("comparisons")
        if re.match(r"comparisons/(finalists|candidates|proposed|subpopulations)-", key)
        or key.startswith(f"{experiment.summary.key}/")
    ]
    for key in gone:
        store.delete(key)
    found = survey(experiment, store)
    kinds = {step.stage.__name__ for step in found.missing}
    assert kinds == {*SEARCHED, "write_summary", "write_report"}
    assert not found.complete
    assert {one.kind for one in verify(experiment, store)} == {"missing"}
    made = carried_out(experiment, store)
    assert {step.stage.__name__ for step in made} == kinds
    assert survey(experiment, store).complete
    for name, of in EXPERIMENTS.items():
        run(of(store), store, InProcess(store, EXECUTION))
        assert survey(of(store), store).complete, name
    assert bits(store) == before
