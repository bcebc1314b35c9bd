"""Every verb for every experiment: what is there, what is missing, which command makes it, and that it does."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import Experiment, experiments, parse_settings
from modeldiff_core.plan import InProcess, Survey, run, survey
from modeldiff_core.store import ObjectStore
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.experiment import carry_out
from modeldiff_platform.flows.resolve import experiment_of
from tests.modeldiff_core.stages.studies import EXECUTION, TINY, local

SEARCHED: dict[str, Any] = {
    **TINY,
    "dataset": {**TINY["dataset"], "n_train": 200},
    "comparison": {**TINY["comparison"], "components": 1, "significance": 0.999},
    "ensemble": {"models": 6, "shard_size": 2},
    "search": {"directions": 1, "candidates": 8, "confirmed": 2, "share": 0.1},
}
"""With so few models nothing is significant: here what comes nearest is searched as if it were."""
CHECKED = {
    **SEARCHED,
    "experiment": "counterfactual",
    "counterfactual": {"targets": 3, "top_k": 5, "models": 4},
}
COMMANDS = {"compare": "compare", "counterfactual": "counterfactual", "compare_adopted": "compare-adopted"}
LAST = {"compare": ("summary", "report"), "counterfactual": ("verdict",), "compare_adopted": ("summary", "report")}
"""What is missing, by the words of status, when the record of what was found is."""


def opened(kind: str, study: dict[str, Any], store: ObjectStore) -> Experiment:
    cls = experiments().get(kind)
    return cls.of(parse_settings(cls.settings, study), store)


def looked_at(kind: str, root: Path) -> tuple[Experiment, Survey]:
    """Return an experiment of the folder, and what its store lacks."""
    asked = request([f"study={root / kind}.json", f"store.root={root / 'store'}"])
    assert asked.kind == kind
    experiment = experiment_of(asked)
    return experiment, survey(experiment, ObjectStore(asked.store))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store in which three experiments are complete, and the study of each as a file."""
    root = tmp_path_factory.mktemp("finished")
    store = local(root / "store")
    compared = opened("compare", SEARCHED, store)
    run(compared, store, InProcess(store, EXECUTION))
    (a, b) = [key.removesuffix(".json") for key in store.sizes("trainings") if re.search(r"/margins-\w+\.json$", key)]
    adopted = {
        "experiment": "compare_adopted",
        "name": "adopted",
        "a": a,
        "b": b,
        "evaluation_models": 10,
        "regression": TINY["regression"],
        "comparison": TINY["comparison"],
    }
    for kind, study in (("compare", SEARCHED), ("counterfactual", CHECKED), ("compare_adopted", adopted)):
        (root / f"{kind}.json").write_text(json.dumps(study))
        run(opened(kind, study, store), store, InProcess(store, EXECUTION))
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """A copy of the folder, for a test that writes to it."""
    return shutil.copytree(finished, tmp_path, dirs_exist_ok=True)


Told = Callable[..., str]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """A verb on the study of a kind: what it says on its output, or on its errors if it is to fail."""

    def tell(verb: str, kind: str, root: Path, *overrides: str, code: int = 0) -> str:
        assert main([verb, f"study={root / kind}.json", f"store.root={root / 'store'}", *overrides]) == code
        said = capsys.readouterr()
        return said.out if code == 0 or verb == "verify" else said.err

    return tell


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_complete_experiment(kind: str, root: Path, told: Told) -> None:
    experiment, _ = looked_at(kind, root)
    page = ObjectStore(request([f"store.root={root / 'store'}"]).store).url(experiment.report.record)
    said = told("status", kind, root)
    assert not re.search(r"^(missing|later)", said, re.MULTILINE), said
    assert len(re.findall(r"^done", said, re.MULTILINE)) >= 4
    assert said.endswith(f"report: {page}\n")
    assert "0 results to compute after training\n" in told("plan", kind, root)
    assert told("report", kind, root).endswith(f": {page}\n")
    assert told("verify", kind, root).endswith("everything is sound\n")


@pytest.mark.parametrize("kind", ["compare", "counterfactual"])
def test_a_plan_begins_with_the_table_of_the_data(kind: str, root: Path, told: Told) -> None:
    said = told("plan", kind, root).split("\n")
    assert said[0].split() == ["images", "train", "test"]
    assert said[1].split() == ["read", "200", "40"]
    assert re.fullmatch(r"  label 3: 3 +\d+ +\d+", said[5])
    (methods,) = (root / "store").glob("comparisons/tiny-*/report/methods.html")
    assert '<section id="data"' in methods.read_text()


@pytest.mark.parametrize("kind", COMMANDS)
def test_an_experiment_whose_record_is_lost(kind: str, root: Path, told: Told) -> None:
    experiment, _ = looked_at(kind, root)
    lost = root / "store" / experiment.summary.record
    whole = lost.read_bytes()
    lost.unlink()
    (page,) = {experiment.report.record} - {experiment.summary.record}
    if kind != "counterfactual":  # its page and record are one result
        (root / "store" / page).unlink()
    missing = re.findall(r"^missing (.*)$", told("status", kind, root), re.MULTILINE)
    assert tuple(missing) == LAST[kind]
    assert f"{len(missing)} results to compute after training: " in told("plan", kind, root)
    said = told("report", kind, root, code=1)
    again = f"study={root / kind}.json store.root={root / 'store'}"
    assert re.search(rf"^modeldiff: {experiment.name} lacks \w+ .*\nRun: modeldiff {COMMANDS[kind]} {again}\n$", said)
    assert f"missing  file://{lost}: is not there\n" in told("verify", kind, root, code=1)
    store = local(root / "store")
    run(experiment, store, InProcess(store, EXECUTION))
    assert lost.read_bytes() == whole
    assert told("verify", kind, root).endswith("everything is sound\n")


def test_what_a_kill_before_the_search_leaves(root: Path, told: Told) -> None:
    """All that follows from the directions is gone, and the summary's folder."""
    experiment, before = looked_at("compare", root)
    parts = ("finalists", "candidates", "proposed", "subpopulations")
    found = [path for part in parts for path in (root / "store/comparisons").glob(f"{part}-*")]
    assert {path.name.partition("-")[0] for path in found} == set(parts)
    gone = [path for one in found for path in (one, *one.glob("*"))]
    folder = (root / "store" / experiment.summary.record).parent
    gone += [path for path in folder.rglob("*") if "/counterfactual-" not in str(path)]
    whole = {path: path.read_bytes() for path in gone if path.is_file()}
    for path in whole:
        path.unlink()

    said = told("status", "compare", root)
    missing = re.findall(r"^missing (.*?)(?: \(|$)", said, re.MULTILINE)
    assert missing == ["subpopulations", "candidates", "ranked candidates", "confirmed candidates", "summary", "report"]
    assert said.endswith("report: not written yet\n")
    _, after = looked_at("compare", root)
    count = len(after.missing)
    assert count == 2 + 2 + 4 + 4 + 1 + 1, "along one direction of each side, and the summary and the report"
    assert not before.missing
    assert f"{count} results to compute after training: " in told("plan", "compare", root)
    said = told("report", "compare", root, code=1)
    assert said.startswith("modeldiff: tiny lacks ")
    assert f"\nRun: modeldiff compare study={root / 'compare'}.json store.root={root / 'store'}\n" in said
    assert "Traceback" not in said

    store = local(root / "store")
    run(experiment, store, InProcess(store, EXECUTION))
    assert {path: path.read_bytes() for path in whole} == whole
    assert not re.search(r"^(missing|later)", told("status", "compare", root), re.MULTILINE)


def test_what_is_not_known_yet_is_said_to_be_awaited(root: Path, told: Told) -> None:
    experiment, _ = looked_at("compare", root)
    for path in (root / "store/comparisons").glob("directions-*"):
        path.unlink()
    said = told("status", "compare", root)
    assert "missing directions\n" in said
    assert "later   search: known when directions and their null are there\n" in said
    assert "; then as many as subpopulations, search, confirmation need\n" in told("plan", "compare", root)
    said = told("report", "compare", root, code=1)
    assert "lacks tiny residual directions" in said
    store = local(root / "store")
    run(experiment, store, InProcess(store, EXECUTION))
    assert told("verify", "compare", root).endswith("everything is sound\n")


@pytest.mark.parametrize("kind", COMMANDS)
def test_more_hours_than_a_run_may_take_are_refused(kind: str, root: Path, told: Told) -> None:
    least = "+runner.max_hours=1e-9"
    told("plan", kind, root, least)
    for path in (root / "store/trainings").glob("*/datamodels-*/record.json"):
        path.unlink()
    expected = r"(?m)^modeldiff: runner\.max_hours: expected at least the \S+ hours of missing work, got 1e-09"
    assert re.search(expected, told("plan", kind, root, least, code=2))
    assert re.search(expected, told("run", kind, root, least, code=2))
    asked = request([f"study={root / kind}.json", f"store.root={root / 'store'}", least])
    with pytest.raises(ConfigError, match=r"runner\.max_hours: expected at least the .* hours"):
        carry_out(asked)
    for path in (root / "store/trainings").glob("*/datamodels-*"):
        shutil.rmtree(path)
    said = told("plan", kind, root, "+runner.max_hours=100")
    assert re.search(
        r"^regression: \d of \d+ targets on 200 examples, predicted to take .* and 1 MB a process$", said, re.M
    )
