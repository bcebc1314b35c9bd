"""Rounds of an adaptive study: their sizes, when they end, and that a plain study of as many ablations agrees."""

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.own_experiments import content
from modeldiff_core.experiments.components.rounds import ended, settled
from modeldiff_core.experiments.components.settings import RoundsConfig
from modeldiff_core.plan import survey, verify
from modeldiff_core.store import read_record
from tests.modeldiff_core.experiments.components.studies import TINY, make, opened

ADAPTIVE: dict[str, Any] = {
    "networks": [0],
    "ablation": {
        **TINY["ablation"],
        "adaptive": True,
        "rows": 400,
        "rounds": {"first": 1.0, "growth": 2.0, "held_rows": 40, "least_gain": 0.02},
    },
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adaptive")
    make(*opened(root, **ADAPTIVE))
    return root


def test_sizes_grow_to_the_most_in_whole_shards(tmp_path: Path) -> None:
    parts = opened(tmp_path, **ADAPTIVE)[0].parts[0]
    assert parts.sizes() == (40, 80, 160, 280, 400)
    assert opened(tmp_path)[0].parts[0].sizes() == (100,)


def test_rounds_end_where_a_round_gains_too_little_and_at_the_wished_score() -> None:
    rounds = RoundsConfig(least_gain=0.01)
    assert not ended([0.5], rounds)
    assert not ended([0.5, 0.6], rounds)
    assert ended([0.5, 0.6, 0.605], rounds)
    assert ended([0.5], RoundsConfig(wished=0.45))
    assert not ended([0.5], RoundsConfig(wished=0.55))


def test_an_adaptive_study_ends_before_its_most_and_says_so(finished: Path) -> None:
    experiment, store = opened(finished, **ADAPTIVE)
    assert survey(experiment, store).complete
    assert verify(experiment, store) == ()
    assert make(experiment, store) == []
    now = settled(store, experiment.parts)
    scores = [score for _, score in now.scores]
    assert now.last
    assert 40 < now.rows < 400
    assert scores[-1] - scores[-2] < 0.02
    assert all(later - earlier >= 0.02 for earlier, later in pairwise(scores[:-1]))
    summary = read_record(store, experiment.summary.record)
    assert summary["ablations"]["regression"] == now.rows
    assert any(line.startswith(f"Rounds ended at {now.rows} ablations") for line in experiment.shown(store).findings)


def test_an_interrupted_round_goes_on_with_equal_bits(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(*opened(tmp_path, **ADAPTIVE), most=12)
    found = survey(*opened(tmp_path, **ADAPTIVE))
    assert not found.complete
    assert "next round" in found.awaits
    make(*opened(tmp_path, **ADAPTIVE))
    assert content(tmp_path) == content(finished)


def test_a_lost_score_of_a_round_is_made_again_alone(finished: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "store"))
    (first,) = list(root.glob("responses/components_fitted-*/round-*.json"))[:1]
    first.unlink()
    assert len([name for name in make(*opened(root, **ADAPTIVE)) if "round of" in name]) == 1
    assert content(root) == content(finished)
