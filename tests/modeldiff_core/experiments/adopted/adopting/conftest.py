"""A store, and parts of two sizes in which files are read."""

from pathlib import Path

import pytest

from modeldiff_core.experiments.adopted import adopt as adopt_stage
from modeldiff_core.store import ObjectStore
from tests.modeldiff_core.stages.studies import local


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return local(tmp_path / "store")


@pytest.fixture(autouse=True, params=[1, 1 << 24])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row at a time, and all at once: what is adopted must not depend on it."""
    monkeypatch.setattr(adopt_stage, "PART", request.param)
