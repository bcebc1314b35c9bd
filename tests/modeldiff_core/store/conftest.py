"""One contract, three stores: a local folder, memory, and a real S3 server on loopback."""

import uuid
from pathlib import Path

import pytest

from modeldiff_core.store import ObjectStore, StoreSettings


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "file":
        return ObjectStore(StoreSettings(str(tmp_path / "results")))
    if request.param == "memory":
        return ObjectStore(StoreSettings(f"memory://{uuid.uuid4().hex}"))
    return ObjectStore(request.getfixturevalue("s3")())
