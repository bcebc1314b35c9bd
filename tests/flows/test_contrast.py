"""A contrast through the command: recorded by Prefect, on S3, of what was adopted, and with a verdict that fails it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.commands import Commands
from harness.s3_server import S3Server, s3_server
from harness.small_studies import CONTRASTED, SMALL
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_platform.flows.cli import main
from tests.flows.conftest import FinishedRun
from tests.modeldiff_core.experiments.compare.summaries import misfits

FAILING = "verdict.fail_on=[different,undecided]"


@pytest.fixture(scope="module")
def contrasted(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store after a contrast whose verdict is to fail the command, and what the command printed."""
    root = tmp_path_factory.mktemp("contrasted") / "store"
    done = commands.run("compare", *CONTRASTED, FAILING, f"store.root={root}")
    assert done.returncode == 3, done.stdout + done.stderr
    return root, done.stdout


def summary_of(root: Path) -> tuple[Path, dict[str, object]]:
    (path,) = root.glob("comparisons/digits_watermark-*/summary.json")
    return path, json.loads(path.read_text())


@pytest.mark.nightly
def test_a_verdict_that_is_to_fail_ends_the_command_with_3_when_all_is_done(
    commands: Commands, contrasted: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = contrasted
    path, summary = summary_of(root)
    assert misfits(summary) == []
    assert f"Report: {(path.parent / 'report' / 'index.html').as_uri()}" in out
    assert main(["status", *CONTRASTED, f"store.root={root}"]) == 0
    said = capsys.readouterr().out
    assert "missing" not in said
    assert "compares residuals" not in said
    assert main(["verify", *CONTRASTED, f"store.root={root}"]) == 0
    again = commands.run("compare", *CONTRASTED, FAILING, f"store.root={root}")
    assert again.returncode == 3, "nothing is made again, and the verdict is what it was"
    passing = commands.run("compare", *CONTRASTED, f"store.root={root}")
    assert passing.returncode == 0, passing.stdout + passing.stderr


@pytest.mark.nightly
def test_what_is_behind_differences_is_asked_of_the_same_store(
    commands: Commands, contrasted: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = contrasted
    done = commands.run("remove", *CONTRASTED, "removal.models=4", f"store.root={root}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(\d+) of \1 shards done before, 0 to train", done.stdout)
    assert "Difference 1" in done.stdout or "names no difference" in done.stdout
    asked = ("experiment=removal", *CONTRASTED, "removal.models=4", f"store.root={root}")
    for verb in ("status", "verify"):
        assert main([verb, *asked]) == 0
    assert "missing" not in capsys.readouterr().out


@pytest.mark.nightly
def test_adopted_margins_are_contrasted_by_the_command(commands: Commands, contrasted: tuple[Path, str]) -> None:
    root, _ = contrasted
    keys = sorted(str(path.relative_to(root).with_suffix("")) for path in root.glob("trainings/*/margins-*.json"))
    asked = [
        f"a={keys[0]}",
        f"b={keys[1]}",
        "comparison=standard",
        "comparison.draws=19",
        "comparison.components=4",
        "evaluation_models=40",
    ]
    done = commands.run("compare-adopted", *asked, "regression.estimator=ridge", f"store.root={root}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training examples" in done.stdout
    assert commands.run("verify-adopted", *asked, "regression.estimator=ridge", f"store.root={root}").returncode == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.mark.nightly
def test_a_contrast_on_s3_is_that_of_a_folder(
    commands: Commands, contrasted: tuple[Path, str], server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = contrasted
    on_s3 = Commands({**commands.environment, **server.environment}, commands.folder)
    settings = StoreSettings(f"s3://{server.bucket}/contrasted", server.endpoint)
    place = ["store=s3", f"store.root={settings.root}", f"store.endpoint={settings.endpoint}"]
    done = on_s3.run("compare", *CONTRASTED, *place)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    remote, local = ObjectStore(settings), ObjectStore(StoreSettings(str(root)))
    kept = re.compile(r"comparisons/(contrast|null|plain|spread|proposed)-.*(?<!\.time\.json)$")
    keys = [key for key in remote.sizes("comparisons") if kept.match(key) or key.endswith("/summary.json")]
    assert len(keys) > 4
    assert {key for key in keys if remote.read(key) != local.read(key)} == set()


def test_a_store_from_before_the_contrast_keeps_its_meaning(
    finished_run: FinishedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its study names no hypothesis; it is opened by its own study.json, and `status` says what new studies ask."""
    root = finished_run.copied(tmp_path / "store")
    path, summary = summary_of(root)
    record = json.loads((path.parent / "study.json").read_text())
    assert "hypothesis" not in record["study"]["comparison"]
    before = tmp_path / "before.json"
    del record["study"]["comparison"]["method"]  # as studies were written before there was a choice of it
    del record["study"]["verdict"]
    before.write_text(json.dumps(record["study"]))
    asked = [f"study={before}", f"store.root={root}"]
    assert main(["status", *asked]) == 0
    said = capsys.readouterr().out
    assert f"digest {str(summary['digest'])[:8]}" in said
    assert "missing" not in said
    assert "comparison.method=pca, hypothesis=identical" in said
    assert "method=contrast, hypothesis=reliance" in said
    assert main(["report", *asked]) == 0
    assert summary_of(root)[1] == summary, "the same words and numbers"
    assert str(summary["findings"]).count("rely on") == 0
    methods = (path.parent / "report" / "methods.html").read_text()
    assert "exchanged at random" in methods
    assert "c_t" not in methods
    assert main(["status", *SMALL, f"store.root={root}"]) == 0
