"""The services of docker/compose.yaml, started by their own commands in a clean folder, and their own health checks."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import s3fs
import yaml

from harness.commands import wait_for
from harness.ports import free_ports

DOCKER = Path(__file__).parents[2] / "docker"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
SECRETS = {
    "PREFECT_AUTH": "operator:tests",
    "POSTGRES_PASSWORD": "tests",
    "S3_ACCESS_KEY": "name-of-tests",
    "S3_SECRET_KEY": "secret-of-tests",
}


class Services:
    """Starts services with what differs outside a network of containers: names, ports, SQLite, S3 for nobody else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"9000": str(free_ports()), "4200": "", "8080": ""}
        self.ports["4200"], self.ports["8080"] = (str(free_ports()) for _ in range(2))

    def outside(self, words: str) -> str:
        words = re.sub("|".join(self.ports), lambda port: self.ports[port[0]], words)
        return words.replace("0.0.0.0", "127.0.0.1").replace("//server:", "//127.0.0.1:")

    def environment(self, name: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "AWS_"))}
        given = {}
        for key, value in SERVICES[name]["environment"].items():
            for secret, chosen in SECRETS.items():
                if f"${{{secret}:?" in value:
                    value = value[: value.index("${")] + chosen + value[value.index("}") + 1 :]
            given[key] = self.outside(value)
        for inside in ("PREFECT_API_DATABASE_CONNECTION_URL", "S3_HOST"):
            given.pop(inside, None)
        places = os.pathsep.join([str(DOCKER), str(Path(sys.executable).parent), kept.get("PATH", "")])
        own = {"PREFECT_HOME": str(self.folder / name), "PREFECT_WORKER_WEBSERVER_PORT": self.ports["8080"]}
        return {**kept, **given, **own, "S3_PORT": self.ports["9000"], "PATH": places, "NO_PROXY": "127.0.0.1"}

    @contextmanager
    def running(self, name: str, *command: str) -> Iterator[None]:
        words = [self.outside(word) for word in SERVICES[name].get("entrypoint", command)]
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                words, env=self.environment(name), cwd=self.folder, stdout=file, stderr=file, start_new_session=True
            )
        try:
            # each look is a process of its own, which would take what the service needs to start
            wait_for(lambda: process.poll() is not None or self.healthy(name), 120, f"health of {name}", every=1)
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def healthy(self, name: str) -> bool:
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            [self.outside(word) for word in words], env=self.environment(name), stderr=subprocess.DEVNULL, timeout=30
        )
        return done.returncode == 0


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return Services(tmp_path)


def test_the_s3_server_takes_its_own_key_only(services: Services) -> None:
    data = services.folder / "data"
    data.mkdir()
    assert not services.healthy("s3")
    with services.running("s3", "s3-server.sh", str(data)):
        endpoint = f"http://127.0.0.1:{services.ports['9000']}"
        settings = {"endpoint_url": endpoint, "use_listings_cache": False, "skip_instance_cache": True}
        bucket = SERVICES["s3"]["environment"]["BUCKET"]
        fs = s3fs.S3FileSystem(key=SECRETS["S3_ACCESS_KEY"], secret="secret-of-tests", **settings)
        wait_for(lambda: bool(fs.exists(bucket)), 120, "the bucket")
        fs.pipe_file(f"{bucket}/object", b"whole")
        assert fs.cat_file(f"{bucket}/object") == b"whole"
        with pytest.raises(PermissionError):
            s3fs.S3FileSystem(key=SECRETS["S3_ACCESS_KEY"], secret="guessed", **settings).cat_file(f"{bucket}/object")
        assert (data / "s3.json").stat().st_mode & 0o077 == 0
    said = (services.folder / "s3.log").read_text(errors="replace")
    assert bucket in said
    assert not any(SECRETS[name] in said for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY"))


def pool(api: str, password: str) -> str:
    """The kind of the work pool that the workers serve, as the server tells who gives the password."""
    token = base64.b64encode(password.encode()).decode()
    request = urllib.request.Request(f"{api}/work_pools/modeldiff", headers={"Authorization": f"Basic {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.load(answer)["type"])
    except urllib.error.HTTPError as error:
        return {401: "refused", 404: "none"}[error.code]


@pytest.mark.nightly
def test_the_server_and_a_worker_become_healthy_and_the_worker_makes_its_pool(services: Services) -> None:
    with services.running("server"), services.running("worker"):
        api = f"http://127.0.0.1:{services.ports['4200']}/api"
        assert pool(api, "nobody:guessed") == "refused"
        wait_for(lambda: pool(api, SECRETS["PREFECT_AUTH"]) == "process", 120, "the work pool")
    assert not services.healthy("worker")
