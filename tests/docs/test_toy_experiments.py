"""The documented experiments of a user's own: installed as packages, run, killed, mended, swept, without any server."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.own_experiments import EXAMPLES, STUDIES, content, installed, opened
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import Experiment, experiments, parse_settings
from modeldiff_core.plan import InProcess, Outcome, Step, Wave, run, survey, verify
from modeldiff_core.store import ObjectStore, StoreSettings, read_record, read_tensors
from modeldiff_core.training import Execution

KINDS = tuple(STUDIES)
RUN = """
import json, sys
from modeldiff_core.experiments.experiment import experiments, parse_settings
from modeldiff_core.plan import InProcess, run
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.training import Execution
kind, root, study = sys.argv[1:]
cls, store = experiments().get(kind), ObjectStore(StoreSettings(root=root))
run(cls.of(parse_settings(cls.settings, json.loads(study)), store), store, InProcess(store, Execution()))
"""


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The three packages, installed into a folder of their own, which this process and its children find."""
    place = installed(tmp_path_factory)
    sys.path.insert(0, str(place))
    yield place
    sys.path.remove(str(place))
    for kind in KINDS:
        sys.modules.pop(kind, None)


@pytest.fixture(scope="module")
def finished(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the store of a finished study of a kind, made once."""
    stores: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in stores:
            stores[kind] = tmp_path_factory.mktemp(kind)
            make(*opened(kind, stores[kind]))
        return stores[kind]

    return of


def make(experiment: Experiment, store: ObjectStore) -> list[Step]:
    """Run an experiment in this process; return the steps that were carried out."""
    carried_out: list[Step] = []
    in_process = InProcess(store, Execution())

    def submit(
        wave: Wave, steps: Sequence[Step], done: Callable[[Step], None], complete: Sequence[Step] = ()
    ) -> Outcome:
        carried_out.extend(steps)
        return in_process(wave, steps, done, complete)

    run(experiment, store, submit)
    return carried_out


@pytest.mark.parametrize("kind", KINDS)
def test_is_short(kind: str) -> None:
    assert len((EXAMPLES / kind / f"{kind}.py").read_text().splitlines()) < 200


@pytest.mark.parametrize("kind", KINDS)
def test_runs_to_its_report(kind: str, finished: Callable[[str], Path], tmp_path: Path) -> None:
    nothing = survey(*opened(kind, tmp_path))
    assert nothing.missing
    assert not nothing.complete
    experiment, store = opened(kind, finished(kind))
    assert survey(experiment, store).complete
    assert verify(experiment, store) == ()
    assert make(experiment, store) == []
    shown = experiment.shown(store)
    page = store.read(experiment.report.record).decode()
    assert shown.findings
    assert all(finding.replace("'", "&#39;") in page for finding in shown.findings)
    assert shown.links["Report"].endswith("/report/index.html")
    assert [store.read(figure)[:4] for figure in shown.figures] == [b"\x89PNG"]
    before = content(finished(kind))
    experiment.redraw(store)
    assert content(finished(kind)) == before


def test_an_informative_pixel_weighs_more_than_a_constant_one(finished: Callable[[str], Path]) -> None:
    from sklearn.datasets import load_digits

    experiment, store = opened("feature_knockout", finished("feature_knockout"))
    summary = read_record(store, experiment.summary.record)
    strength, varies = np.array(summary["strength"]), load_digits().data.std(0) > 0
    assert 0 < (~varies).sum() < 10
    assert strength[varies].max() > 5 * strength[~varies].max()
    assert summary["lds"]["ci_low"] > 0.3


def test_pixels_that_a_network_chose_are_better_than_random_ones(finished: Callable[[str], Path]) -> None:
    experiment, store = opened("rank_and_mask", finished("rank_and_mask"))
    cells = read_record(store, experiment.summary.record)["cells"]
    chosen = {
        cell["kept"]: cell["accuracy"] for cell in cells if cell["learning rate"] == 1.0 and cell["pixels"] == "ranked"
    }
    random = {cell["kept"]: cell["accuracy"] for cell in cells if cell["pixels"] == "random"}
    assert random.keys() == chosen.keys() == {0.1, 0.3}
    assert all(chosen[kept] > random[kept] + 0.2 for kept in random)


def test_a_network_that_diverges_is_a_recorded_failure(finished: Callable[[str], Path], tmp_path: Path) -> None:
    experiment, store = opened("rank_and_mask", finished("rank_and_mask"))
    failed = survey(experiment, store).of_state("failed")
    assert [step.name.endswith("at rate 300") for step in failed] == [True, True]
    rows = {cell["learning rate"]: cell for cell in read_record(store, experiment.summary.record)["cells"]}
    assert rows[300.0]["accuracy"] is None
    assert rows[300.0]["failure"].startswith("diverged at step ")
    again = Path(shutil.copytree(finished("rank_and_mask"), tmp_path / "again"))
    (path,) = (again / f"{failed[0].reference.key}.failed.json",)
    path.unlink()
    assert [step.name for step in make(*opened("rank_and_mask", again))] == [failed[0].name]
    assert content(again) == content(finished("rank_and_mask"))


def test_a_planted_difference_is_found_and_none_where_there_is_none(
    finished: Callable[[str], Path], tmp_path: Path
) -> None:
    store_of_both = Path(shutil.copytree(finished("ridge_derivatives"), tmp_path / "both"))
    planted, store = opened("ridge_derivatives", store_of_both)
    null, _ = opened("ridge_derivatives", store_of_both, name="alike", hidden_b=0)
    trained = [step.name for step in make(null, store) if "shard" in step.name]
    assert trained == [f"derivatives_b shard {index}" for index in range(4)]  # side A is the same in both studies
    assert read_record(store, planted.summary.record)["p"] < 0.02
    assert read_record(store, null.summary.record)["p"] > 0.1
    assert "differ" in planted.shown(store).findings[0]
    assert "may be alike" in null.shown(store).findings[0]
    assert verify(null, store) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_step_is_made_again_alone(kind: str, finished: Callable[[str], Path], tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished(kind), tmp_path / "store"))
    before = content(root)
    experiment, store = opened(kind, root)
    one_each = {step.stage.__name__: step for step in survey(experiment, store).of_state("done")}
    assert len(one_each) == {"feature_knockout": 8, "rank_and_mask": 4, "ridge_derivatives": 4}[kind]
    if counting := one_each.pop("count_masks", None):
        path = root / counting.reference.record
        counts = path.read_bytes()
        path.unlink()
        assert survey(experiment, store).complete  # an intermediate result, not missed once the weights are complete
        path.write_bytes(counts)
    for step in one_each.values():
        (root / step.reference.record).unlink()
        assert step.name in [missing.name for missing in survey(experiment, store).missing]
        (finding,) = [one for one in verify(experiment, store) if one.key == step.reference.record]
        assert finding.kind == "missing"
        assert [made.name for made in make(experiment, store)] == [step.name]
        assert content(root) == before


def test_a_damaged_ranking_is_made_again_before_a_network_is_trained_on_it(
    finished: Callable[[str], Path], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(finished("rank_and_mask"), tmp_path / "store"))
    before = content(root)
    experiment, store = opened("rank_and_mask", root)
    (ranking,) = root.glob("rank_and_mask/ranking-*.safetensors")
    data = bytearray(ranking.read_bytes())
    data[-1] ^= 1
    ranking.write_bytes(data)
    (finding,) = verify(experiment, store)
    assert (finding.kind, finding.key) == ("damaged", f"rank_and_mask/{ranking.name}")
    cell = next(step for step in survey(experiment, store).of_state("done") if step.name.endswith("at rate 1"))
    (root / cell.reference.record).unlink()
    assert [step.name for step in make(experiment, store)] == [cell.name, "ranking", cell.name]
    assert content(root) == before


def killed(kind: str, root: Path, place: Path, far_enough: Callable[[], bool]) -> None:
    """Run a study in a process of its own and kill it as soon as it is far enough."""
    environment = {**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{Path(__file__).parents[2]}"}
    study = json.dumps({"experiment": kind, **STUDIES[kind]})
    process = subprocess.Popen([sys.executable, "-c", RUN, kind, str(root), study], env=environment)
    try:
        until = time.monotonic() + 120
        while not far_enough():
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.002)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("kind", ["feature_knockout", "ridge_derivatives"])
def test_a_killed_run_goes_on_where_it_stopped(
    kind: str, finished: Callable[[str], Path], place: Path, tmp_path: Path
) -> None:
    killed(kind, tmp_path, place, lambda: len(list(tmp_path.glob("responses/*/shards/*.safetensors"))) >= 2)
    experiment, store = opened(kind, tmp_path)
    there = {step.name for step in survey(experiment, store).of_state("done")}
    assert len(there) >= 2
    assert not survey(experiment, store).complete
    assert there.isdisjoint(step.name for step in make(experiment, store))
    assert verify(experiment, store) == ()
    assert content(tmp_path) == content(finished(kind))


def test_the_longest_network_goes_on_from_its_checkpoint(
    finished: Callable[[str], Path], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rank_and_mask

    experiment, store = opened("rank_and_mask", tmp_path)
    cells = {cell.step().name: cell for cell in experiment.cells}
    longest = max((cell.step() for cell in cells.values()), key=lambda step: step.cost.seconds)
    shortest = min((cell.step() for cell in cells.values()), key=lambda step: step.cost.seconds)
    assert longest.cost.seconds >= 20 * shortest.cost.seconds
    checkpoint = tmp_path / longest.scratch / "checkpoint.safetensors"
    killed("rank_and_mask", tmp_path, place, checkpoint.exists)
    position = read_tensors(store, f"{longest.scratch}checkpoint.safetensors").facts["position"]
    assert isinstance(position, int)
    assert 0 < position < longest.cost.units
    assert [finding.kind for finding in verify(experiment, store) if "checkpoint" in finding.key] == []
    steps: list[int] = []
    real = rank_and_mask.generator

    def noted(purpose: str, seed: int, step: int = 0) -> np.random.Generator:
        steps.extend([step] if purpose == "batch" else [])
        return real(purpose, seed, step) if purpose == "batch" else real(purpose, seed)

    monkeypatch.setattr(rank_and_mask, "generator", noted)
    assert make(experiment, store)[0].name == longest.name
    assert steps[: longest.cost.units - position] == list(range(position, longest.cost.units))
    assert not checkpoint.exists()
    assert content(tmp_path) == content(finished("rank_and_mask"))


def test_a_sweep_takes_any_of_them(tmp_path: Path) -> None:
    kind = "ridge_derivatives"
    study = {"experiment": kind, **STUDIES[kind]}
    points = [{"words": f"hidden_b={hidden}", "study": {**study, "hidden_b": hidden}} for hidden in (0, 5)]
    cls, store = experiments().get("sweep"), ObjectStore(StoreSettings(root=str(tmp_path)))
    sweep = cls.of(parse_settings(cls.settings, {"name": "hidden", "points": points}), store)
    make(sweep, store)
    assert survey(sweep, store).complete
    rows = {row["point"]: row["findings"] for row in sweep.shown(store).tables[0].rows}
    assert "may be alike" in rows["hidden_b=0"]
    assert "differ" in rows["hidden_b=5"]


def test_what_cannot_give_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows: expected at least 64 more than evaluation_rows, got 150"):
        opened("feature_knockout", tmp_path, rows=150)[0].check()
    with pytest.raises(ConfigError, match="budget"):
        opened("rank_and_mask", tmp_path, budget=0)
    with pytest.raises(ConfigError, match="hiden_b"):
        opened("ridge_derivatives", tmp_path, hiden_b=1)
