"""Adaptive studies: they end before their budget, go on after a kill, and say how many models a wish would take."""

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.commands import subset_shards
from harness.small_studies import ADAPTIVE
from modeldiff_platform.flows.cli import main
from tests.flows.conftest import AdaptiveRun

LEAST = 160
"""The law of a curve needs six points, and the sixth lies there."""


@pytest.mark.nightly
def test_rounds_end_early_say_so_and_go_on_after_a_kill(adaptive: AdaptiveRun) -> None:
    before, out = adaptive.killed, adaptive.out
    assert 3 <= len(before) < 2 * LEAST // 20, "killed too late to show anything"
    assert f"digits_watermark: {len(before)} of 20 shards done before, {20 - len(before)} to train" in out
    assert f"rounds ended at {LEAST} of at most 400 models: 1.2 times as many would raise neither score by 0.5" in out
    after = subset_shards(adaptive.root)
    assert len(after) == 2 * LEAST // 20
    assert before.items() <= after.items(), "no shard of before the kill was trained again"
    assert f"({LEAST} models of trained as is)" in out
    (path,) = adaptive.root.glob("comparisons/digits_watermark-*/report/study.json")
    study = json.loads(path.read_text())
    assert (study["subsets"]["models"], study["subsets"]["adaptive"]) == (LEAST, False)


def planned(capsys: pytest.CaptureFixture[str], root: Path, *overrides: str) -> list[str]:
    """What `modeldiff plan` says of models needed, a line an algorithm."""
    asked = (*ADAPTIVE, f"subsets.models={LEAST}", f"store.root={root}")
    assert main(["plan", *asked, *overrides]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if ": score " in line]


@pytest.mark.nightly
def test_a_plan_says_how_many_models_a_score_takes(
    adaptive: AdaptiveRun, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = shutil.copytree(adaptive.root, tmp_path / "store")
    scores = {}
    for line, name in zip(planned(capsys, root), ("trained as is", "corner erased"), strict=True):
        found = re.fullmatch(
            rf"{name}: score (0\.\d\d) after {LEAST} models; the fitted curve gives 0\.\d\d \[.+\] after twice as many "
            r"and levels off at (0|1)\.\d\d \[.+\]\.",
            line,
        )
        assert found, line
        scores[name] = float(found[1])
    assert min(scores.values()) > 0.05
    low, high = min(scores.values()) - 0.03, 0.999
    for line in planned(capsys, root, f"subsets.rounds.wished_score={low}"):
        found = re.search(
            r"; a score of 0\.\d\d takes about ([\d,]+) models \[([\d,]+), ([\d,]+|out of reach)\]\.$", line
        )
        assert found, line
        assert 20 < int(found[1].replace(",", "")) <= 200
    for line in planned(capsys, root, f"subsets.rounds.wished_score={high}"):
        assert ", so a score of 1.00 is out of its reach" in line
    assert planned(capsys, tmp_path / "empty", "runner.address=tcp://127.0.0.1:1", "runner=dask") == []
