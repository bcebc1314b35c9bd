"""Every setting of the Hydra group `store` reaches the server."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import fsspec
import pytest

from harness.s3_server import S3Server
from modeldiff_core.errors import ConfigError
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_platform.flows.cli.compose import composed, parse_store

S3 = Callable[..., StoreSettings]


def asked(*overrides: str) -> StoreSettings:
    """The store that a command line with these overrides asks for."""
    return parse_store(composed(["study=digits_watermark", "store=s3", *overrides])["store"])


def authorizations(store: ObjectStore) -> list[str]:
    """The header that signs each request of a write and a read."""
    seen: list[str] = []

    def sent(request: object, **_: object) -> None:
        seen.append(request.headers["Authorization"].decode())  # type: ignore[attr-defined]

    store.exists("warm/up")
    events = store.fs.s3.meta.events
    events.register("before-send.s3", sent)
    store.write("object", b"1")
    assert store.read("object") == b"1"
    events.unregister("before-send.s3", sent)
    return seen


def test_what_is_sent_is_signed_and_summed_by_nobody_else(s3: S3) -> None:
    """Objects carry checksums of their own; the signature keeps others from changing them on their way."""
    store, seen = ObjectStore(s3()), []
    store.exists("warm/up")

    def sent(request: object, **_: object) -> None:
        seen.append({name.lower(): str(value) for name, value in request.headers.items()})  # type: ignore[attr-defined]

    events = store.fs.s3.meta.events
    events.register("before-send.s3", sent)
    store.write("object", b"12345")
    assert store.read("object") == b"12345"
    events.unregister("before-send.s3", sent)
    put, get = seen
    assert hashlib.sha256(b"12345").hexdigest() in put["x-amz-content-sha256"]
    assert not [name for name in (*put, *get) if "checksum" in name or "crc" in name or "trailer" in name]


@pytest.fixture
def profiles(s3: S3, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreSettings:
    """A file of profiles, of which only `lab` has the right keys, and no keys in the environment."""
    keys = {"lab": server.secret_key, "other": "wrong"}
    text = "".join(
        f"[{name}]\naws_access_key_id = {server.access_key}\naws_secret_access_key = {secret}\n"
        for name, secret in keys.items()
    )
    (tmp_path / "credentials").write_text(text)
    settings = s3(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    return settings


def test_a_profile_gives_the_keys(profiles: StoreSettings) -> None:
    place = f"store.root={profiles.root}", f"store.endpoint={profiles.endpoint}"
    store = ObjectStore(asked(*place, "store.profile=lab"))
    store.probe()
    assert all("Credential=tests/" in header for header in authorizations(store))
    with pytest.raises(ConfigError, match="could not be written: PermissionError"):
        ObjectStore(asked(*place, "store.profile=other")).probe()
    with pytest.raises(ConfigError, match=r"(?i)profile"):
        ObjectStore(asked(*place, "store.profile=nobody")).probe()


def test_a_region_is_signed_for(s3: S3) -> None:
    settings = s3()
    place = f"store.root={settings.root}", f"store.endpoint={settings.endpoint}"
    for region in ("eu-central-1", "us-west-2"):
        store = ObjectStore(asked(*place, f"store.region={region}"))
        found = authorizations(store)
        assert len(found) == 2
        assert all(f"/{region}/s3/" in header for header in found)


def test_the_group_has_every_setting_and_its_defaults() -> None:
    found = asked("store.root=s3://bucket/prefix")
    assert asdict(found) == asdict(StoreSettings("s3://bucket/prefix"))
    assert asked("store.root=s3://bucket/prefix", "store.retry_seconds=5").retry_seconds == 5
    with pytest.raises(ConfigError, match=r"store\.root"):
        asked()
