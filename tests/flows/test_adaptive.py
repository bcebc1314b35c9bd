"""Adaptive studies: they end before their budget, go on after a kill, and say how many models a wish would take."""

import json
import re
from pathlib import Path

import pytest

from flows.cli import main
from tests.flows.conftest import Commands, kill_all, wait_for

DESIGN = (
    "study=digits_watermark",
    "dataset.n_train=200",
    "targets=60",
    "subsets.models=400",
    "subsets.evaluation_models=20",
    "subsets.shard_size=20",
    "ensemble.models=4",
    "ensemble.shard_size=2",
    "regression.n_lambdas=6",
)
FEW = (*DESIGN, "comparison.components=2", "comparison.permutations=0", "search.directions=0", "effects.max_images=20")
LEAST = 160
"""The law of a curve needs six points, and the sixth lies there."""


def shards(root: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in root.glob("trainings/*/subsets/shards/*.safetensors")}


@pytest.fixture(scope="module")
def ended(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Path, int], str]:
    """A store in which rounds ended early after a kill -9, the shards of before the kill, and what was printed last."""
    root = tmp_path_factory.mktemp("adaptive")
    asked = (*FEW, f"store.root={root}", "subsets.adaptive=true", "subsets.rounds.least_gain=0.5")
    process = commands.start("compare", *asked)
    wait_for(lambda: len(shards(root)) >= 3, 120, "a shard")
    kill_all(process)
    before = shards(root)
    done = commands.run("compare", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    return root, before, done.stdout


def test_rounds_end_early_say_so_and_go_on_after_a_kill(ended: tuple[Path, dict[Path, int], str]) -> None:
    root, before, out = ended
    assert 3 <= len(before) < 2 * LEAST // 20, "killed too late to show anything"
    assert f"digits_watermark: {len(before)} of 20 shards done before, {20 - len(before)} to train" in out
    assert f"rounds ended at {LEAST} of at most 400 models: 1.2 times as many would raise neither score by 0.5" in out
    after = shards(root)
    assert len(after) == 2 * LEAST // 20
    assert before.items() <= after.items(), "no shard of before the kill was trained again"
    assert f"({LEAST} models of trained as is)" in out
    (folder,) = root.glob("comparisons/digits_watermark-*")
    study = json.loads((folder / "report/study.json").read_text())
    assert (study["subsets"]["models"], study["subsets"]["adaptive"]) == (LEAST, False)


def test_a_smaller_least_gain_goes_on_from_there(commands: Commands, ended: tuple[Path, dict[Path, int], str]) -> None:
    """To the end of a budget that leaves room for one more round; the next run finds all of it done."""
    root, _, _ = ended
    before = shards(root)
    asked = (*FEW, f"store.root={root}", "subsets.models=200", "subsets.adaptive=true",
             "subsets.rounds.least_gain=0.000001")  # fmt: skip
    for trained in (4, 0):
        done = commands.run("compare", *asked)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"of 24 shards done before, {trained} to train" in done.stdout
        assert "rounds ended at all of the 200 models that subsets.models allows" in done.stdout
    assert before.items() <= shards(root).items()


def planned(capsys: pytest.CaptureFixture[str], root: Path, *overrides: str) -> list[str]:
    """What `modeldiff plan` says of models needed, a line an algorithm."""
    assert main(["plan", *FEW, f"store.root={root}", *overrides]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if ": score " in line]


def test_a_plan_says_how_many_models_a_score_takes(
    ended: tuple[Path, dict[Path, int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    root, _, _ = ended
    models = f"subsets.models={LEAST}"
    scores = {}
    for line, name in zip(planned(capsys, root, models), ("trained as is", "corner erased"), strict=True):
        found = re.fullmatch(
            rf"{name}: score (0\.\d\d) after {LEAST} models; the fitted curve gives 0\.\d\d \[.+\] after twice as many "
            r"and levels off at (0|1)\.\d\d \[.+\]\.", line,
        )  # fmt: skip
        assert found, line
        scores[name] = float(found[1])
    assert min(scores.values()) > 0.05
    low, high = min(scores.values()) - 0.03, 0.999
    for line in planned(capsys, root, models, f"subsets.rounds.wished_score={low}"):
        found = re.search(
            r"; a score of 0\.\d\d takes about ([\d,]+) models \[([\d,]+), ([\d,]+|out of reach)\]\.$", line
        )
        assert found, line
        assert 20 < int(found[1].replace(",", "")) <= 200
    for line in planned(capsys, root, models, f"subsets.rounds.wished_score={high}"):
        assert ", so a score of 1.00 is out of its reach" in line
    assert planned(capsys, root / "empty", models, "runner.address=tcp://127.0.0.1:1", "runner=dask") == []
