"""Prefect's UI in a real browser: a deployed run, its steps, artifacts and form are seen, and a click retries it."""

import os
import sys
from pathlib import Path

import pytest

from harness.own_experiments import install, opened, overrides
from harness.prefect_server import prefect_server
from harness.ui_walk import Walked, comparison, walk

MOST_BYTES = 200_000


def knockout(place: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Walked:
    """An installed experiment of a user's own, whose summary fails."""
    install(place)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.syspath_prepend(str(place))
    experiment, _ = opened("feature_knockout", root)
    given = tuple(override for override in overrides("feature_knockout", root) if not override.startswith("store."))
    key = experiment.summary.record
    return Walked(given, "feature_knockout/pixels", key, "summary of pixels", "pixels-findings", "evaluation.rows")


@pytest.mark.ui
@pytest.mark.parametrize("kind", ["compare", "feature_knockout"])
def test_a_failed_run_is_seen_retried_by_a_click_and_completes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, store = tmp_path / "pictures", tmp_path / "store"
    for folder in (pictures, store, tmp_path / "server"):
        folder.mkdir()
    walked = comparison() if kind == "compare" else knockout(tmp_path / "installed", store, monkeypatch)
    with prefect_server(tmp_path / "server") as server:
        run = walk(server, pictures, store, walked)
        assert run["run_count"] == 2
        assert len(server.ask("flow_runs/filter", {})) == 1
    sys.modules.pop("feature_knockout", None)
    sizes = {path.stem: path.stat().st_size for path in pictures.glob("*.png")}
    assert sizes.keys() == {"ui-run", "ui-shards", "ui-artifacts", "ui-form"}
    assert all(10_000 < size < MOST_BYTES for size in sizes.values()), sizes
