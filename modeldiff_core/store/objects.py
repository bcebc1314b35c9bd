"""Whole objects under one root, on any filesystem that fsspec knows.

An object is written in one step and is there or not there: a PUT on object storage, a temporary name, fsync and
rename on a local disk. Nothing else in the platform touches a filesystem of results.
"""

import os
import posixpath
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from modeldiff_core.errors import ConfigError, StoreError

TEMPORARY = ".part"
"""Ending of a local object that is being written; such files are never read."""


@dataclass(frozen=True)
class StoreSettings:
    """Where results live; secrets come from the environment only (AWS_* variables, profiles).

    root: an fsspec URL or a local folder. endpoint, region, profile: of an S3 server, each optional.
    """

    root: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None

    @property
    def url(self) -> str:
        """The root as a URL; a plain path becomes an absolute file:// URL."""
        root = self.root.rstrip("/")
        return root if "://" in root else f"file://{Path(root).expanduser().absolute()}"

    def options(self) -> dict[str, object]:
        """Arguments of the filesystem; none of them is a secret."""
        if not self.url.startswith("s3://"):
            return {}
        client = {k: v for k, v in (("endpoint_url", self.endpoint), ("region_name", self.region)) if v}
        profile = {"profile": self.profile} if self.profile else {}
        retries = {"retries": {"max_attempts": 8, "mode": "adaptive"}}
        return {"use_listings_cache": False, "client_kwargs": client, "config_kwargs": retries, **profile}


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
        protocol = settings.url.split("://", 1)[0]
        try:
            self.fs = fsspec.filesystem(protocol, **settings.options())
        except (ValueError, ImportError) as error:
            raise ConfigError("store.root", "an fsspec URL or a folder", settings.root, str(error)) from error
        self._root = self.fs._strip_protocol(settings.url).rstrip("/")

    def url(self, key: str) -> str:
        """The full address of an object."""
        return f"{self.settings.url}/{key}"

    def path(self, key: str) -> str:
        """The filesystem's own name of an object."""
        return posixpath.join(self._root, key)

    def write(self, key: str, data: bytes) -> None:
        """Put an object, replacing one of that name in one step."""
        try:
            if isinstance(self.fs, LocalFileSystem):
                _write_local(Path(self.path(key)), data)
            else:
                self.fs.pipe_file(self.path(key), data)
        except Exception as error:
            raise StoreError(f"{self.url(key)} could not be written: {_cause(error)}") from error

    def read(self, key: str) -> bytes:
        """The bytes of an object; raises FileNotFoundError if there is none."""
        try:
            return cast(bytes, self.fs.cat_file(self.path(key)))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise StoreError(f"{self.url(key)} could not be read: {_cause(error)}") from error

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        try:
            return bool(self.fs.exists(self.path(key)))
        except Exception as error:
            raise StoreError(f"{self.url(key)} could not be looked up: {_cause(error)}") from error

    def sizes(self, prefix: str) -> dict[str, int]:
        """Keys and bytes of every object under a prefix, by one listing."""
        try:
            found = self.fs.find(self.path(prefix), detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:
            raise StoreError(f"{self.url(prefix)} could not be listed: {_cause(error)}") from error
        skip = len(self._root) + 1
        # S3 servers list an emptied prefix as a directory for a while.
        objects = {path: info for path, info in found.items() if info["type"] == "file"}
        return {path[skip:]: int(info["size"]) for path, info in objects.items() if not path.endswith(TEMPORARY)}

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        try:
            self.fs.rm_file(self.path(key))
        except FileNotFoundError:
            return
        except Exception as error:
            raise StoreError(f"{self.url(key)} could not be deleted: {_cause(error)}") from error

    def probe(self) -> None:
        """Write, read and delete a small object; raises ConfigError if the store cannot be used."""
        key = f".probe-{uuid.uuid4().hex}"
        try:
            self.write(key, b"modeldiff")
            if self.read(key) != b"modeldiff":
                raise StoreError(f"{self.url(key)} does not give back what was written")
            self.delete(key)
        except (StoreError, FileNotFoundError) as error:
            raise ConfigError("store.root", "a place that can be written", self.settings.root, str(error)) from error


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


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
