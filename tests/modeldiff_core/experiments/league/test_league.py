"""Four algorithms as one run: shards are shared, pairs are what comparisons alone give, and the overview says all."""

import copy
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare.experiment import Compare
from modeldiff_core.experiments.experiment import experiments, parse_settings
from modeldiff_core.experiments.league.experiment import League
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import InProcess, NoProgress, Outcome, RunFailed, Step, Wave, run, survey, verify
from modeldiff_core.report import render
from modeldiff_core.store import ObjectStore, StoreSettings, read_record
from modeldiff_core.training import Execution
from tests.modeldiff_core.experiments.league.leagues import ALGORITHMS, LEAGUE, PAIRS, SHARDS, SMALLER, THREE, alone
from tests.modeldiff_core.undrawn import undrawn


class Counted(InProcess):
    """Carries out steps and counts them by what completes them."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store, Execution())
        self.made: Counter[str] = Counter()

    def __call__(self, wave: Wave, steps: Sequence[Step], *others: Any) -> Outcome:
        self.made.update(step.reference.record for step in steps)
        return super().__call__(wave, steps, *others)


def opened(root: object) -> ObjectStore:
    return ObjectStore(StoreSettings(str(root)))


@pytest.fixture(scope="module", autouse=True)
def undrawn_pairs() -> Iterator[None]:
    """Pages of pairs hold what would be drawn; the test of one pair's real pages runs at night."""
    with undrawn():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter[str]]:
    """The root of a store with a finished league, and what was made in it."""
    root = tmp_path_factory.mktemp("league")
    experiment, store = open_experiment(SMALLER, root)
    counted = Counted(store)
    run(experiment, store, counted)
    return root, counted.made


def test_nothing_is_made_twice_and_no_shard_depends_on_the_pair(finished: tuple[Path, Counter[str]]) -> None:
    root, made = finished
    assert set(made.values()) == {1}
    shards = [key for key in made if "/shards/" in key]
    assert len(shards) == SHARDS * len(THREE)
    assert len({key.split("/")[1] for key in shards}) == len(THREE)
    experiment, store = open_experiment(SMALLER, root)
    assert survey(experiment, store).complete


@pytest.mark.nightly
def test_a_fourth_algorithm_adds_three_pairs_and_its_own_models(
    finished: tuple[Path, Counter[str]], tmp_path: Path
) -> None:
    """Six pairs of four algorithms, of which three are there: only the fourth is trained, and no shard twice."""
    root = tmp_path / "copy"
    shutil.copytree(finished[0], root)
    experiment, store = open_experiment(LEAGUE, root)
    counted = Counted(store)
    run(experiment, store, counted)
    shards = [key for key in counted.made if "/shards/" in key]
    assert len(shards) == SHARDS
    assert len({key.split("/")[1] for key in shards}) == 1
    assert set(counted.made.values()) == {1}
    assert len(list(root.glob("trainings/*/*/shards/*.safetensors"))) == SHARDS * len(ALGORITHMS)
    summary = read_record(store, experiment.summary.record)
    assert {(entry["a"], entry["b"]) for entry in summary["pairs"]} == set(PAIRS)


def test_a_pair_is_bit_for_bit_what_a_comparison_alone_gives(
    finished: tuple[Path, Counter[str]], tmp_path: Path
) -> None:
    """Everything that a pair alone writes into an empty store, and all that its page shows, is in the league's."""
    root, _ = finished
    run_study(alone("again", "short"), root=tmp_path, progress=NoProgress())
    own, shared = opened(tmp_path), opened(root)
    keys = [key for key in own.sizes("") if key.startswith("comparisons/") or "/shards/" in key]
    assert sum("/report/" in key for key in keys) > 2
    assert [key for key in keys if own.read(key) != shared.read(key)] == []


@pytest.mark.nightly
@pytest.mark.parametrize("pair", combinations(THREE, 2))
def test_the_pages_of_every_pair_are_bit_for_bit_those_of_a_comparison_alone(
    finished: tuple[Path, Counter[str]], pair: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modeldiff_core.experiments.compare.experiment.render", render)
    experiment, shared = open_experiment(SMALLER, finished[0])
    assert isinstance(experiment, League)
    run_study(alone(*pair), root=tmp_path, progress=NoProgress())
    own = opened(tmp_path)
    compared = experiment.pairs[pair]
    pages = compared.pages(shared)
    assert len(pages) > 10
    assert compared.folder in {key.partition("/report/")[0] for key in own.sizes("comparisons")}
    assert [name for name, content in pages.items() if own.read(f"{compared.folder}/report/{name}") != content] == []


def test_the_overview_tells_every_pair_and_links_to_its_report(finished: tuple[Path, Counter[str]]) -> None:
    root, _ = finished
    experiment, store = open_experiment(SMALLER, root)
    summary = read_record(store, experiment.summary.record)
    assert {(entry["a"], entry["b"]) for entry in summary["pairs"]} == set(combinations(THREE, 2))
    totals = [entry["total"]["value"] for entry in summary["pairs"]]
    assert totals == sorted(totals, reverse=True)
    assert [one["short"] for one in summary["algorithms"]] == list(THREE)
    page = root / experiment.report.record
    began = time.process_time()
    text = page.read_text()
    assert time.process_time() - began < 1
    assert len(text) < 500_000, "opens at once"
    for entry in summary["pairs"]:
        alone_summary = read_record(store, str(Path(entry["report"]).parents[1] / "summary.json"))
        assert entry["similarity"] == alone_summary["similarity"]
        assert entry["p_adjusted"] >= entry["p"]
    links = [part.split('"')[0] for part in text.split('href="')[1:]]
    pairs = {link for link in links if link.endswith("report/index.html")}
    assert len(pairs) == 3
    assert all((page.parent / link).resolve().is_file() for link in pairs)
    shown = experiment.shown(store)
    assert [len(table.rows) for table in shown.tables] == [3]
    assert len(shown.links) == 1 + 3


def test_what_is_damaged_is_found(finished: tuple[Path, Counter[str]], tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(finished[0], root)
    experiment, store = open_experiment(SMALLER, root)
    assert list(verify(experiment, store)) == []
    (root / experiment.report.record).write_bytes(b"another page")
    assert any("leagues/" in str(finding) for finding in verify(experiment, store))


@pytest.mark.nightly
def test_it_is_redrawn_and_named_anew_like_any_experiment(finished: tuple[Path, Counter[str]], tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(finished[0], root)
    experiment, store = open_experiment(SMALLER, root)
    page = root / experiment.report.record
    before = page.read_bytes()
    experiment.redraw(store)
    assert page.read_bytes() == before
    renamed = copy.deepcopy(SMALLER)
    renamed["algorithms"]["long"]["name"] = "more epochs"
    other, _ = open_experiment(renamed, root)
    assert other.digest == experiment.digest
    assert other.refresh(store)
    assert "more epochs" in page.read_text()
    assert not other.refresh(store)


@pytest.mark.nightly
def test_a_pair_that_fails_stops_no_other(tmp_path: Path) -> None:
    broken = copy.deepcopy({**LEAGUE, "algorithms": {name: ALGORITHMS[name] for name in ("short", "long", "slow")}})
    broken["algorithms"]["slow"]["recipe"]["learning_rate"] = 1e12
    experiment, store = open_experiment(broken, tmp_path)
    with pytest.raises(RunFailed):
        run(experiment, store, InProcess(store, Execution()))
    shown = experiment.so_far(store)
    assert shown is not None
    assert [row["status"] == "done" for row in shown.tables[0].rows] == [True, False, False]
    assert "results missing" in shown.tables[0].rows[1]["status"]


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"comparison": {"method": "pca"}}, "comparison.method", "contrast, in a league"),
        ({"comparison": {"method": "contrast", "draws": 99}}, "comparison.draws", "119 or more"),
        ({"verdict": {"probability": 0.1}}, "verdict.probability", "0, in a league"),
        ({"algorithms": {**ALGORITHMS, "slow": {**ALGORITHMS["short"], "name": "twin"}}}, "algorithms.slow", "short's"),
        ({"algorithms": {**ALGORITHMS, "slow": {**ALGORITHMS["slow"], "name": "short"}}}, "algorithms.slow.name", "an"),
        ({"subsets": {"models": 30, "evaluation_models": 20}}, "subsets.models", "at least"),
    ],
)
def test_a_league_that_cannot_give_a_result_is_refused_before_training(
    change: dict[str, Any], key: str, words: str
) -> None:
    experiment, _ = open_experiment({**LEAGUE, **change}, "memory://refused")
    with pytest.raises(ConfigError) as raised:
        experiment.check()
    assert raised.value.key == key
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"algorithms": {"short": ALGORITHMS["short"]}}, "algorithms"),
        ({"algorithms": {**ALGORITHMS, "No": ALGORITHMS["short"]}}, "algorithms"),
        ({"algorithm_a": ALGORITHMS["short"]}, "algorithm_a"),
        ({"algorithms": {**ALGORITHMS, "odd": {"name": "x"}}}, "algorithms.odd.kind"),
        ({"algorithms": {"long": ALGORITHMS["long"], "odd": {"name": "x", "kind": "sgdd"}}}, "algorithms.odd.kind"),
        ({"name": "x" * 60}, "name"),
    ],
)
def test_settings_that_are_wrong_are_named_by_the_keys_of_the_league(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_experiment({**LEAGUE, **change}, "memory://wrong").__getitem__(0).check()
    assert raised.value.key.startswith(key)


def test_the_order_in_which_algorithms_are_written_decides_nothing() -> None:
    study = parse_settings(experiments().get("league").settings, LEAGUE)
    turned = {**LEAGUE, "algorithms": dict(reversed(ALGORITHMS.items()))}
    assert parse_settings(League.settings, turned) == study
    assert isinstance(study, League.settings)
    again = parse_settings(League.settings, study.model_dump(mode="json"))
    store = ObjectStore(StoreSettings("memory://order"))
    one, other = League.of(study, store), League.of(again, store)  # type: ignore[arg-type]
    assert one.digest == other.digest
    assert [type(pair) for pair in one.comparisons] == [Compare] * 6
