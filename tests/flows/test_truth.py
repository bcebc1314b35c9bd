"""The shipped digits studies at full size: what was planted is found, and where nothing differs nothing is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from harness.commands import Commands
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.findings import read_findings
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.study import parse_study

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("truth")


def run(commands: Commands, root: Path, study: str, *overrides: str) -> tuple[dict[str, Any], Comparison]:
    before = set(root.glob(f"comparisons/{study}-*"))
    done = commands.run("compare", f"study={study}", f"store.root={root}", *overrides)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = set(root.glob(f"comparisons/{study}-*")) - before
    configuration = json.loads((folder / "study.json").read_text())["study"]
    return json.loads((folder / "summary.json").read_text()), Comparison.of(parse_study(configuration))


def test_the_watermark_is_found(commands: Commands, root: Path) -> None:
    found, comparison = run(commands, root, "digits_watermark")
    assert min(a["models"] for a in found["algorithms"].values()) >= 1000
    assert min(a["ensemble_models"] for a in found["algorithms"].values()) >= 20
    assert min(a["subset_accuracy"] for a in found["algorithms"].values()) > 0.9
    (direction,) = [d for d in found["directions"] if d["significant"]]
    assert separation(root, comparison, direction["side"], 1 + direction["index"])[-1] >= 0.85
    (difference,) = found["differences"]
    assert difference["directions"] == [direction["rank"]]
    assert difference["transformations"]
    assert found["verdict"]["answer"] == "different"
    check_effects(found, first=1)


def separation(root: Path, comparison: Comparison, side: str, directions: int) -> list[float]:
    """How well each of the first directions of a side separates the planted eights: the area under the ROC curve."""
    findings = read_findings(ObjectStore(StoreSettings(str(root))), comparison)
    targets = comparison.trainings[0].task().targets
    eights = targets.labels == 8
    planted = targets.metadata["planted"][eights]
    assert 0.5 < planted.mean() < 0.9
    areas = [roc_auc_score(planted, findings.side(side, "projections")[eights, i]) for i in range(directions)]
    return [max(area, 1 - area) for area in areas]


def test_residual_analyses_find_it_too(commands: Commands, root: Path) -> None:
    found, comparison = run(commands, root, "digits_watermark", "comparison=residual")
    assert max(separation(root, comparison, "a-b", 3)) >= 0.85
    findings = read_findings(ObjectStore(StoreSettings(str(root))), comparison)
    differences = [d["explained_variance"]["a"] - d["explained_variance"]["b"] for d in found["directions"][:3]]
    assert max(differences) > 10 * np.quantile(np.abs(findings.null), 0.95)
    check_effects(found, first=2)  # of the largest nothing is told within classes, of the second that it is planted


def check_effects(found: dict[str, Any], first: int) -> None:
    """The block is confirmed, as asked for and by the search, and its images are described."""
    effects = {e["name"]: e for e in found["transformations"]}
    assert effects["watermark"]["effect"]["a"] >= 0.3
    assert abs(effects["watermark"]["effect"]["b"]) <= 0.03
    assert [e["name"] for e in found["transformations"] if e["distinguishing"]] == ["watermark"]
    confirmed = [e for e in found["found"] if e["distinguishing"]]
    assert confirmed, "the search finds a transformation by itself"
    exact = [e for e in confirmed if e["kind"] == "stamp" and holds_the_watermark(e["parameters"])]
    assert exact, "and one of them is the planted watermark in its corner"
    assert exact[0]["class"] == 8
    assert exact[0]["effect"]["a"] >= 0.3
    ends = [end for direction in found["directions"][:first] for end in direction["subpopulations"].values()]
    said = [line for end in ends for line in end["targets"]["words"]]
    assert any(line.startswith("planted: ") for line in said)


def holds_the_watermark(parameters: dict[str, Any]) -> bool:
    """Whether the white pixels of the planted block, at least, lie where it was planted."""
    pixels = {
        (parameters["top"] + row, parameters["left"] + column): value
        for row, line in enumerate(parameters["pixels"])
        for column, value in enumerate(line)
    }
    return all(pixels.get(white) == 255 for white in ((0, 0), (1, 1), (2, 0)))


def test_nothing_is_found_between_seeds(commands: Commands, root: Path) -> None:
    """A is trained once for both studies; B differs in its seeds alone, so only chance is left."""
    found, _ = run(commands, root, "digits_null")
    check_no_effects(found)
    assert not any(d["significant"] for d in found["directions"])
    assert found["differences"] == []
    assert found["verdict"]["answer"] != "different"


def check_no_effects(found: dict[str, Any]) -> None:
    """Both react to the block, and no transformation tells them apart."""
    assert not any(e["distinguishing"] for e in found["transformations"])
    assert not any(e["distinguishing"] for e in found["found"])
    effects = {e["name"]: e for e in found["transformations"]}
    assert effects["watermark"]["effect"]["a"] >= 0.3
    assert effects["watermark"]["effect"]["b"] >= 0.3


def test_residual_analyses_find_nothing_between_seeds(commands: Commands, root: Path) -> None:
    found, comparison = run(commands, root, "digits_null", "comparison=residual")
    check_no_effects(found)
    findings = read_findings(ObjectStore(StoreSettings(str(root))), comparison)
    measured = np.array([abs(d["explained_variance"]["a"] - d["explained_variance"]["b"]) for d in found["directions"]])
    in_sample = np.array(
        [
            abs(d["explained_variance_in_sample"]["a"] - d["explained_variance_in_sample"]["b"])
            for d in found["directions"]
        ]
    )
    assert measured.max() < 3 * np.abs(findings.null).max()
    assert in_sample.min() > 3 * measured.max(), "measured on the models that chose them, noise looks real"
    assert max(d["stability"] for d in found["directions"]) < 0.6
