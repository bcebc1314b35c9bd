"""Prefect's UI in a real browser: a deployed run, its shards, artifacts and form are seen, and a click retries it."""

from pathlib import Path

import pytest

from harness.prefect_server import prefect_server
from harness.ui_walk import walk

MOST_BYTES = 200_000


@pytest.mark.ui
def test_a_failed_run_is_seen_retried_by_a_click_and_completes(tmp_path: Path) -> None:
    pictures, store = tmp_path / "pictures", tmp_path / "store"
    for folder in (pictures, store, tmp_path / "server"):
        folder.mkdir()
    with prefect_server(tmp_path / "server") as server:
        run = walk(server, pictures, store)
        assert run["run_count"] == 2
        assert len(server.ask("flow_runs/filter", {})) == 1
    sizes = {path.stem: path.stat().st_size for path in pictures.glob("*.png")}
    assert sizes.keys() == {"ui-run", "ui-shards", "ui-artifacts", "ui-form"}
    assert all(10_000 < size < MOST_BYTES for size in sizes.values()), sizes
