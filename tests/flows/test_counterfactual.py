"""``modeldiff counterfactual``: models trained again without what datamodels call helpful, and the page that judges."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.commands import Commands
from harness.small_studies import ADAPTIVE
from modeldiff_core.designs import FixedSize, Without
from modeldiff_core.evaluation.counterfactual import agreement
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.rounds import current_round
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.store import ObjectStore, read_tensors
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.compose import request
from tests.flows.conftest import AdaptiveRun
from tests.modeldiff_core.report.pages import Page

CHECK = (*ADAPTIVE, "counterfactual.targets=6", "counterfactual.top_k=30", "counterfactual.models=8")
TRAINED = re.compile(r"of 12 removals done before, (\d+) to train")


@pytest.fixture(scope="module")
def checked(commands: Commands, adaptive: AdaptiveRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store after a check of the adaptive study, and what the check printed."""
    root = shutil.copytree(adaptive.root, tmp_path_factory.mktemp("checked") / "store")
    done = commands.run("counterfactual", *CHECK, f"store.root={root}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Task run" not in done.stdout + done.stderr, "logs go to Prefect alone"
    return root, done.stdout


def test_a_report_before_the_check_says_what_is_lacking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("experiment=counterfactual", *CHECK, f"store.root={tmp_path}")
    assert main(["report", *asked]) == 1
    message = capsys.readouterr().err
    assert re.search(r"lacks record of trainings/\S+, .*subsets shard 0, .* and \d+ more", message), message
    assert f"Run: modeldiff counterfactual experiment=counterfactual {' '.join(ADAPTIVE)}" in message
    assert not list(tmp_path.glob("trainings/*/*"))


def folder(root: Path) -> Path:
    (page,) = root.glob("comparisons/digits_watermark-*/counterfactual-*/index.html")
    return page.parent


@pytest.mark.nightly
def test_predicted_and_actual_changes_are_those_of_the_models(checked: tuple[Path, str]) -> None:
    root, _ = checked
    asked = request([*ADAPTIVE, f"store.root={root}"])
    store = ObjectStore(asked.store)
    comparison = current_round(store, Comparison.of(asked.study)).comparison
    (record,) = folder(root).parent.glob("counterfactual-*.json")
    verdict = json.loads(record.read_text())
    for label, training in zip("ab", comparison.trainings, strict=True):
        found = verdict["algorithms"][label]
        weights = read_datamodels(store, comparison.regression(training, None)).weights
        design = training.sampler(200)
        before, predicted, actual = design.masks(range(8)), [], []
        stored = [read_tensors(store, str(p.relative_to(root))) for p in root.glob(f"{training.prefix}/counterf*")]
        arrays = {int(str(one.facts["target"])): one.arrays for one in stored}
        assert len(found["changes"]) == len(arrays) == 6
        for change in found["changes"]:
            helpful = np.argsort(-weights[change["target"]], kind="stable")[:30]
            assert change["removed"] == helpful.tolist()
            after = Without(FixedSize(200, design.fraction, design.seed), tuple(change["removed"])).masks(range(8))
            expected = ((after.astype(float) - before) * weights[change["target"]].astype(float)).sum(1)
            np.testing.assert_allclose(arrays[change["target"]]["predicted"], expected, atol=1e-9)
            assert change["predicted"] == pytest.approx(expected.mean(), abs=1e-9)
            assert change["actual"] == pytest.approx(arrays[change["target"]]["actual"].mean(), abs=1e-9)
            predicted.append(arrays[change["target"]]["predicted"])
            actual.append(arrays[change["target"]]["actual"])
        assert max(one.mean() for one in predicted) < -0.1
        assert np.mean(actual) < -0.1, "margins fall without what helps them"
        assert found["pearson"] == pytest.approx(agreement(np.stack(predicted, 1), np.stack(actual, 1)).pearson)


@pytest.mark.nightly
def test_the_page_shows_every_change(checked: tuple[Path, str]) -> None:
    root, out = checked
    page = Page((folder(root) / "index.html").read_bytes())
    words = page.words()
    assert "For each of 6 test images, the 30 training images of largest weight were taken out" in words
    assert "and 8 models that no regression had seen were trained again" in words
    of_the_data = 1 + 2 + 10
    assert len(page.all("tr")) == 1 + 2 + 1 + 6 + of_the_data
    assert [image["src"][:18] for image in page.all("img")] == ["data:image/svg+xml"]
    for name in ("trained as is", "corner erased"):
        found = re.search(rf"{name}: .*correlate with (−?-?\d\.\d\d) \[", out)
        assert found, out
        assert f"{name} {found[1].replace('-', '−')} [" in words
    assert f"Page: {(folder(root) / 'index.html').as_uri()}" in out
    assert (folder(root) / "scatter.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.nightly
def test_a_lost_removal_alone_is_trained_again(commands: Commands, checked: tuple[Path, str]) -> None:
    root, out = checked
    assert [found[1] for found in TRAINED.finditer(out)] == ["12"]
    (first, *_), (record,) = sorted(root.glob("trainings/*/counterf*")), folder(root).parent.glob("counterf*.json")
    before, verdict = first.read_bytes(), record.read_bytes()
    first.unlink()
    record.unlink()
    done = commands.run("counterfactual", *CHECK, f"store.root={root}")
    assert done.returncode == 0, done.stderr
    assert [found[1] for found in TRAINED.finditer(done.stdout)] == ["1"]
    assert (first.read_bytes(), record.read_bytes()) == (before, verdict)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("counterfactual.models=21", "counterfactual.models: expected at most subsets.evaluation_models (20), got 21"),
        ("counterfactual.top_k=101", "counterfactual.top_k: expected at most the 100 training examples"),
        ("counterfactual.targets=[1,2]", "counterfactual.targets: expected three or more different targets in 0..59"),
        ("counterfactual.targets=61", "counterfactual.targets: expected at most the study's 60 targets, got 61"),
        ("counterfactual.models=1", "counterfactual.models"),
    ],
)
def test_wrong_checks_are_refused(
    override: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["counterfactual", *ADAPTIVE, override, f"store.root={tmp_path}"]) == 2
    assert words in capsys.readouterr().err
