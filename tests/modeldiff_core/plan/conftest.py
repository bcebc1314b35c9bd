"""An empty store, and an empty list of what was carried out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modeldiff_core.store import ObjectStore, StoreSettings
from tests.modeldiff_core.plan import toys


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(StoreSettings(str(tmp_path / "store")))


@pytest.fixture
def made() -> Iterator[list[str]]:
    toys.MADE.clear()
    yield toys.MADE
    toys.MADE.clear()
