"""A real S3 server on loopback for the tests that ask for it."""

import os
import uuid
from collections.abc import Callable, Iterator

import fsspec
import pytest

from harness.s3_server import S3Server, s3_server
from modeldiff_core.store import StoreSettings


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StoreSettings]:
    """Settings of a fresh prefix on the server; other keys or another bucket where they are given (None: no key)."""

    def settings(bucket: str = server.bucket, **keys: str | None) -> StoreSettings:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in {**server.environment, **keys}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        if keys:  # a filesystem that fsspec has kept would go on with the keys that it was opened with
            fsspec.get_filesystem_class("s3").clear_instance_cache()
        return StoreSettings(f"s3://{bucket}/{uuid.uuid4().hex}", endpoint=server.endpoint)

    return settings
