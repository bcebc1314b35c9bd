"""Whole objects under one root, on any filesystem that fsspec knows.

An object is written in one step and is there or not there: a PUT on object storage, a temporary name, fsync and
rename on a local disk. Nothing else in the platform touches a filesystem of results.
"""

import os
import posixpath
import uuid
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from modeldiff_core.errors import ConfigError, StoreError
from modeldiff_core.store.patience import outlast, within

T = TypeVar("T")

TEMPORARY = ".part"
"""Ending of a local object that is being written; such files are never read."""

PROBE = ".probe-"
"""What the name of a probe's object begins with."""

HURRY = 3.0
"""Seconds that a probe waits for a connection, and during which it tries again."""

STALLED_PROBE = 12.0
"""Seconds that a probe gives a server that is there to take or to send a few bytes: a busy one may need that."""

STALLED, SLOWEST = 60.0, 1e6
"""Seconds that an upload may take at least, and bytes a second that it must reach after them."""


@dataclass(frozen=True)
class StoreSettings:
    """Where results live; secrets come from the environment only (AWS_* variables, profiles).

    root: an fsspec URL or a local folder. endpoint, region, profile: of an S3 server, each optional.
    retry_seconds: how long an operation that fails is tried again when the fault may pass (a busy or restarting server,
    a cut connection); 0 tries once.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    """For forms made of these settings: a key that they lack is refused before it is kept anywhere."""

    root: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    retry_seconds: float | int = 60

    def __post_init__(self) -> None:
        if not self.root.strip():
            raise ConfigError("store.root", "a folder or an fsspec URL", self.root)
        seconds = self.retry_seconds
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
            raise ConfigError("store.retry_seconds", "seconds, 0 or more", seconds)

    @property
    def url(self) -> str:
        """The root as a URL; a plain path becomes an absolute file:// URL."""
        root = self.root.rstrip("/") or "/"
        return root if "://" in root else f"file://{Path(root).expanduser().absolute()}"

    def options(self, hurried: bool = False) -> dict[str, object]:
        """Arguments of the filesystem, none of them a secret; hurried: give up on a server within seconds."""
        if not self.url.startswith("s3://"):
            return {}
        client = {k: v for k, v in (("endpoint_url", self.endpoint), ("region_name", self.region)) if v}
        profile = {"profile": self.profile} if self.profile else {}
        # Each request of an operation is sent three times within a few seconds; `attempt` repeats the whole of it.
        config: dict[str, object] = {"retries": {"total_max_attempts": 1 if hurried else 3, "mode": "standard"}}
        # Every object carries a checksum of its own, and what is sent is signed: botocore's CRC would be a third.
        config |= dict.fromkeys(("request_checksum_calculation", "response_checksum_validation"), "when_required")
        if hurried:
            config |= {"connect_timeout": HURRY, "read_timeout": STALLED_PROBE}
        return {"use_listings_cache": False, "client_kwargs": client, "config_kwargs": config, **profile}

    def filesystem(self, hurried: bool = False) -> Any:
        """The filesystem of the root; raises ConfigError if there is none of that kind."""
        protocol = self.url.split("://", 1)[0]
        try:
            fs = fsspec.filesystem(protocol, **self.options(hurried))
        except (ValueError, ImportError, TypeError) as error:  # TypeError: of a kind that needs more than a URL
            raise ConfigError("store.root", "an fsspec URL or a folder", self.root, str(error)) from error
        if protocol == "s3":
            fs.retries = 1  # s3fs would repeat what botocore has repeated, five times over
        return fs


@dataclass(frozen=True)
class Listed:
    """What a listing says of an object. size: bytes. written: Unix time in seconds, None where nothing tells it."""

    size: int
    written: float | None


class ObjectStore:
    """Objects named by keys such as ``trainings/x/shards/000017.safetensors``.

    Whatever a backend raises (each has exceptions of its own) becomes a StoreError, but for FileNotFoundError where a
    method says so. Not to be sent between processes: send the settings and open the store there.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        for key, url in (("store.root", settings.url), ("store.endpoint", settings.endpoint or "")):
            if urlsplit(url).password:
                raise ConfigError(key, "an address without a password", "one with a password", "Use the environment")
        self.fs = settings.filesystem()
        self._stalled = STALLED
        self._root = self.fs._strip_protocol(settings.url).rstrip("/")

    def url(self, key: str) -> str:
        """The full address of an object."""
        return f"{self.settings.url}/{key}"

    def path(self, key: str) -> str:
        """The filesystem's own name of an object."""
        return posixpath.join(self._root, key)

    def write(self, key: str, data: bytes) -> None:
        """Put an object, replacing one of that name in one step."""
        path = self.path(key)
        if isinstance(self.fs, LocalFileSystem):
            self.attempt("written", key, lambda: _write_local(Path(path), data))
        else:
            self.upload("written", key, lambda: self.fs.pipe_file(path, data), len(data))

    def read(self, key: str) -> bytes:
        """The bytes of an object; raises FileNotFoundError if there is none."""
        # By default s3fs asks for the size and then for ranges, between which the object may be replaced.
        whole = {"max_concurrency": 1} if self.settings.url.startswith("s3://") else {}
        return cast(
            bytes, self.attempt("read", key, lambda: self.fs.cat_file(self.path(key), **whole), FileNotFoundError)
        )

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return bool(self.attempt("looked up", key, lambda: self.fs.exists(self.path(key))))

    def sizes(self, prefix: str) -> dict[str, int]:
        """Keys and bytes of every object under a prefix, by one listing."""
        return {key: listed.size for key, listed in self.listing(prefix).items()}

    def listing(self, prefix: str) -> dict[str, Listed]:
        """Keys of every object under a prefix and what one listing says of them."""
        try:
            found = self.attempt(
                "listed", prefix, lambda: self.fs.find(self.path(prefix), detail=True), FileNotFoundError
            )
        except FileNotFoundError:
            return {}
        skip = len(self._root) + 1
        # S3 servers list an emptied prefix as a directory for a while.
        objects = {path: info for path, info in found.items() if info["type"] == "file"}
        return {
            path[skip:]: Listed(int(info["size"]), _written(info))
            for path, info in objects.items()
            if not path.endswith(TEMPORARY)
        }

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        try:
            self.attempt("deleted", key, lambda: self.fs.rm_file(self.path(key)), FileNotFoundError)
        except FileNotFoundError:
            return

    def attempt(self, what: str, key: str, operation: Callable[[], T], *passed: type[Exception]) -> T:
        """What an operation gives that may be repeated; a fault that may pass is ridden out for a while.

        what: past participle, for the message. Raises StoreError that names store, object and cause, and errors of the
        classes `passed` as they are.
        """
        try:
            return outlast(operation, self.settings.retry_seconds)
        except passed:
            raise
        except Exception as error:
            raise StoreError(f"{self.url(key)} could not be {what}: {type(error).__name__}: {error}") from error

    def upload(self, what: str, key: str, operation: Callable[[], T], size: int) -> T:
        """As `attempt`, for an operation that sends so many bytes; one that hangs counts as a fault that may pass."""
        if isinstance(self.fs, LocalFileSystem):
            return self.attempt(what, key, operation)
        limit = self._stalled + size / SLOWEST
        return self.attempt(what, key, lambda: within(operation, limit))

    def probe(self) -> None:
        """Write, read and delete a small object; raises ConfigError, within seconds, if the store cannot be used."""
        hurried = copy(self)
        hurried.settings = replace(self.settings, retry_seconds=min(self.settings.retry_seconds, HURRY))
        hurried._stalled = STALLED_PROBE
        if self.settings.options():
            hurried.fs = self.settings.filesystem(hurried=True)
        key = f"{PROBE}{uuid.uuid4().hex}"
        try:
            hurried.write(key, b"modeldiff")
            if hurried.read(key) != b"modeldiff":
                raise StoreError(f"{self.url(key)} does not give back what was written")
            hurried.delete(key)
        except (StoreError, FileNotFoundError) as error:
            raise ConfigError("store.root", "a place that can be written", self.settings.root, str(error)) from error


def _written(info: Mapping[str, object]) -> float | None:
    """When an object was written, by the name that its file system has for that."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        match info.get(name):
            case int() | float() as seconds:
                return float(seconds)
            case datetime() as moment:
                return moment.timestamp()
    return None


def _write_local(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
