"""Whole objects under one root, on any filesystem that fsspec knows.

An object is written in one step, so that it either exists completely or not at all: one PUT on object storage, or a
temporary name, fsync and rename on a local disk. No other module of the platform touches a filesystem of results.
"""

import os
import posixpath
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from modeldiff_core.errors import ConfigError, StoreError
from modeldiff_core.limits import Expected
from modeldiff_core.store.retries import retry_while_transient, run_within

T = TypeVar("T")

TEMPORARY = ".part"
"""Suffix of a local object that is being written; such files are never read."""

PROBE_PREFIX = ".probe-"
"""Prefix of the names of objects that a probe writes."""

PROBE_CONNECT_TIMEOUT = 3.0
"""Seconds that a probe waits for a connection, and for which it retries."""

PROBE_TRANSFER_TIMEOUT = 12.0
"""Seconds that a probe allows a connected server to accept or send a few bytes: a busy one may need them."""

UPLOAD_TIMEOUT, SLOWEST_UPLOAD = 60.0, 1e6
"""Seconds that an upload may take, and bytes a second that it must reach beyond them."""


Text = Annotated[str | None, Expected("text, or null")]


@dataclass(frozen=True)
class StoreSettings:
    """The location of results; secrets come from the environment only (AWS_* variables, profiles).

    Attributes:
        root: An fsspec URL or a local folder.
        endpoint: Address of an S3 server other than AWS.
        region: Region of the S3 server.
        profile: AWS profile to use.
        retry_seconds: Seconds for which an operation is retried after a transient error (a busy or restarting server,
            a dropped connection); 0 tries once.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    """Forms made of these settings refuse unknown keys before they keep anything."""

    root: Annotated[str, Expected("a folder or an fsspec URL")]
    endpoint: Text = None
    region: Text = None
    profile: Text = None
    retry_seconds: Annotated[float | int, Expected("seconds, 0 or more")] = 60

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

    def options(self, for_probe: bool = False) -> dict[str, object]:
        """Return the arguments of the filesystem, none of them a secret; a probe gives up within seconds."""
        if not self.url.startswith("s3://"):
            return {}
        client = {k: v for k, v in (("endpoint_url", self.endpoint), ("region_name", self.region)) if v}
        profile = {"profile": self.profile} if self.profile else {}
        # botocore sends each request up to three times within seconds; `attempt` repeats the whole operation.
        config: dict[str, object] = {"retries": {"total_max_attempts": 1 if for_probe else 3, "mode": "standard"}}
        # Every object carries its own checksum and every request is signed: botocore's CRC would be the third check.
        config |= dict.fromkeys(("request_checksum_calculation", "response_checksum_validation"), "when_required")
        if for_probe:
            config |= {"connect_timeout": PROBE_CONNECT_TIMEOUT, "read_timeout": PROBE_TRANSFER_TIMEOUT}
        return {"use_listings_cache": False, "client_kwargs": client, "config_kwargs": config, **profile}

    def filesystem(self, for_probe: bool = False) -> Any:
        """Return the filesystem of the root; raise ConfigError if fsspec knows none of that kind."""
        protocol = self.url.split("://", 1)[0]
        try:
            fs = fsspec.filesystem(protocol, **self.options(for_probe))
        except (ValueError, ImportError, TypeError) as error:  # TypeError: the filesystem needs more than a URL
            raise ConfigError("store.root", "an fsspec URL or a folder", self.root, str(error)) from error
        if protocol == "s3":
            fs.retries = 1  # s3fs would repeat five times the requests that botocore has already repeated
        return fs


@dataclass(frozen=True)
class Listed:
    """An object in a listing.

    Attributes:
        size: Bytes.
        written: Unix time of its last write in seconds, None where the filesystem does not report it.
    """

    size: int
    written: float | None


class ObjectStore:
    """Objects named by keys such as ``trainings/x/shards/000017.safetensors``.

    All exceptions of a backend become StoreError, except FileNotFoundError where a method documents it. A store cannot
    be sent between processes: send its settings and open the store in the other process.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        for key, url in (("store.root", settings.url), ("store.endpoint", settings.endpoint or "")):
            if urlsplit(url).password:
                raise ConfigError(key, "an address without a password", "one with a password", "Use the environment")
        self.fs = settings.filesystem()
        self._upload_timeout = UPLOAD_TIMEOUT
        self._root = self.fs._strip_protocol(settings.url).rstrip("/")

    def url(self, key: str) -> str:
        """Return the full address of an object."""
        return f"{self.settings.url}/{key}"

    def path(self, key: str) -> str:
        """Return the filesystem's name of an object."""
        return posixpath.join(self._root, key)

    def write(self, key: str, data: bytes) -> None:
        """Write an object in one step, replacing an earlier one of that key; raise StoreError."""
        path = self.path(key)
        if isinstance(self.fs, LocalFileSystem):
            self.attempt("written", key, lambda: _write_local(Path(path), data))
        else:
            self.upload("written", key, lambda: self.fs.pipe_file(path, data), len(data))

    def read(self, key: str) -> bytes:
        """Return the bytes of an object; raise FileNotFoundError if there is none, StoreError for other failures."""
        # By default s3fs requests the size and then ranges; the object may be replaced between these requests.
        whole = {"max_concurrency": 1} if self.settings.url.startswith("s3://") else {}
        return cast(
            bytes, self.attempt("read", key, lambda: self.fs.cat_file(self.path(key), **whole), FileNotFoundError)
        )

    def exists(self, key: str) -> bool:
        """Return whether the object exists."""
        return bool(self.attempt("looked up", key, lambda: self.fs.exists(self.path(key))))

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return key and bytes of every object under a prefix, by one listing."""
        return {key: listed.size for key, listed in self.listing(prefix).items()}

    def listing(self, prefix: str) -> dict[str, Listed]:
        """Return key, size and time of every object under a prefix, by one listing."""
        try:
            entries = self.attempt(
                "listed", prefix, lambda: self.fs.find(self.path(prefix), detail=True), FileNotFoundError
            )
        except FileNotFoundError:
            return {}
        skip = len(self._root) + 1
        # S3 servers list an emptied prefix as a directory for a while.
        objects = {path: info for path, info in entries.items() if info["type"] == "file"}
        return {
            path[skip:]: Listed(int(info["size"]), _written(info))
            for path, info in objects.items()
            if not path.endswith(TEMPORARY)
        }

    def delete(self, key: str) -> None:
        """Delete an object if it exists."""
        try:
            self.attempt("deleted", key, lambda: self.fs.rm_file(self.path(key)), FileNotFoundError)
        except FileNotFoundError:
            return

    def attempt(self, participle: str, key: str, operation: Callable[[], T], *passed: type[Exception]) -> T:
        """Run an idempotent operation, retrying transient errors for ``settings.retry_seconds``.

        Args:
            participle: Past participle of the operation for the message, such as "read".
            key: The object it works on.
            operation: Called without arguments; its result is returned.
            *passed: Classes of errors that are raised as they are.

        Raises:
            StoreError: For every other failure; names store, object and cause.
        """
        try:
            return retry_while_transient(operation, self.settings.retry_seconds)
        except passed:
            raise
        except Exception as error:
            raise StoreError(f"{self.url(key)} could not be {participle}: {type(error).__name__}: {error}") from error

    def upload(self, participle: str, key: str, operation: Callable[[], T], size: int) -> T:
        """Run an operation that sends `size` bytes as `attempt` does; one that hangs counts as a transient error."""
        if isinstance(self.fs, LocalFileSystem):
            return self.attempt(participle, key, operation)
        limit = self._upload_timeout + size / SLOWEST_UPLOAD
        return self.attempt(participle, key, lambda: run_within(operation, limit))

    def probe(self) -> None:
        """Write, read and delete a small object; raise ConfigError, within seconds, if the store cannot be used."""
        impatient = self._impatient()
        key = f"{PROBE_PREFIX}{uuid.uuid4().hex}"
        try:
            impatient.write(key, b"modeldiff")
            if impatient.read(key) != b"modeldiff":
                raise StoreError(f"{self.url(key)} does not return the bytes that were written")
            impatient.delete(key)
        except (StoreError, FileNotFoundError) as error:
            raise ConfigError("store.root", "a place that can be written", self.settings.root, str(error)) from error

    def check(self) -> None:
        """Raise ConfigError, within seconds, if no server answers or the root can be no bucket or folder.

        A listing of one that is not there is empty, as is that of a store in which nothing has been begun. Whether
        objects can be written is for `probe` to say; a folder need not be there yet.
        """
        if self.settings.url.startswith("file://"):
            path = Path(self.settings.url.removeprefix("file://"))
            with suppress(PermissionError):  # what may not be looked into is for `probe` to say
                there = next(one for one in (path, *path.parents) if one.exists())
                if not there.is_dir():
                    hint = f"NotADirectoryError: {there} is a file"
                    raise ConfigError("store.root", "a folder", self.settings.root, hint)
        if not self.settings.url.startswith("s3://"):
            return
        impatient, bucket = self._impatient(), self._root.split("/")[0]
        try:
            impatient.attempt(
                "looked up",
                "",
                lambda: impatient.fs.call_s3("head_bucket", Bucket=bucket),
                FileNotFoundError,
                PermissionError,
            )
        except PermissionError:  # whoever may read objects need not be allowed to list the bucket
            return
        except FileNotFoundError as error:
            raise ConfigError(
                "store.root", "a bucket that is there", self.settings.root, f"No bucket {bucket}"
            ) from error
        except StoreError as error:
            raise ConfigError("store.root", "a place that can be read", self.settings.root, str(error)) from error

    def _impatient(self) -> "ObjectStore":
        """Return this store with little patience, for a look whether it can be used at all."""
        impatient = copy(self)
        retry_seconds = min(self.settings.retry_seconds, PROBE_CONNECT_TIMEOUT)
        impatient.settings = replace(self.settings, retry_seconds=retry_seconds)
        impatient._upload_timeout = PROBE_TRANSFER_TIMEOUT
        if self.settings.options():
            impatient.fs = self.settings.filesystem(for_probe=True)
        return impatient


def _written(info: Mapping[str, object]) -> float | None:
    """Return the Unix time at which an object was written, under whichever name its filesystem reports it."""
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
