"""Build the images, start the services of docker/compose.yaml, and let a worker in a container complete a small study.

Needs docker with its compose plugin, the base images or a registry, and the ports 4200 and 9000; nothing else is
installed. Checks: every service becomes healthy, none of ours runs as root, ports are published on loopback only, the
S3 container answers its neighbors on no other port, no secret is in an image or a log, Prefect's UI is served, a killed
worker restarts, and the study that it was training is completed after `modeldiff retry`. At the end services, volumes
and secrets are removed; the images stay.

    python -m benchmarks.images
"""

import base64
import json
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PREFECT = "http://127.0.0.1:4200"
STUDY = (
    "study=digits_watermark",
    "dataset.n_train=200",
    "targets=40",
    "subsets.models=400",
    "subsets.evaluation_models=40",
    "subsets.shard_size=20",
    "ensemble.models=4",
    "ensemble.shard_size=2",
    "regression.n_lambdas=4",
    "comparison.components=2",
    "comparison.permutations=0",
    "algorithm_a.recipe.epochs=60",
    "algorithm_b.recipe.epochs=60",
    "runner.workers=1",
    "store=s3",
    "store.root=s3://modeldiff/runs",
    "store.endpoint=http://s3:9000",
)
SERVICES = ("postgres", "server", "s3", "worker")
SHARDS = 2 * (400 // 20 + 4 // 2)
BEGUN = 4
"""Shards after which the study's worker is killed."""
OTHER_PORTS = (*range(9001, 9010), *range(19000, 19010))
"""Ports of SeaweedFS's parts, which require no key."""
CONNECT = """
import socket, sys
for port in sys.argv[1:]:
    try:
        socket.create_connection(("s3", int(port)), 3).close()
    except OSError:
        continue
    print(port)
"""
STORED = """
import json, s3fs
fs = s3fs.S3FileSystem(endpoint_url="http://s3:9000", use_listings_cache=False)
shards = fs.glob("modeldiff/runs/trainings/*/*/shards/*.safetensors")
summaries = [json.loads(fs.cat_file(key)) for key in fs.glob("modeldiff/runs/comparisons/*/summary.json")]
pages = fs.glob("modeldiff/runs/comparisons/*/report/index.html")
print(json.dumps({"shards": len(shards), "summaries": summaries, "reports": len(pages)}))
"""
KILL = "import os; os.kill(-1, 9)"
"""Kills every process of a container except its first, which then ends too."""


class Failed(Exception):
    """A check that failed."""


def run(*command: str) -> str:
    """Return the output of a command; raise Failed with the end of the output if the command fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def check(holds: bool, claim: str) -> None:
    """Print a check that holds; raise Failed if it does not."""
    if not holds:
        raise Failed(f"does not hold: {claim}")
    print(f"  {claim}", flush=True)


def wait_for(condition: Callable[[], bool], seconds: float, claim: str) -> None:
    """Poll a condition; raise Failed if it does not hold within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:g} s: {claim}")
        time.sleep(2)
    check(True, claim)


@dataclass(frozen=True)
class Services:
    """The services of the compose file, with their secrets in a separate file."""

    file: Path
    secrets: dict[str, str] = field(
        default_factory=lambda: {
            "PREFECT_AUTH": f"operator:{secrets.token_hex(12)}",
            "POSTGRES_PASSWORD": secrets.token_hex(12),
            "S3_ACCESS_KEY": secrets.token_hex(12),
            "S3_SECRET_KEY": secrets.token_hex(12),
        }
    )

    def compose(self, *words: str) -> str:
        """Return the output of `docker compose`."""
        self.file.write_text("".join(f"{key}={secret}\n" for key, secret in self.secrets.items()))
        project = ("--project-name", "modeldiff-images", "--file", "docker/compose.yaml", "--env-file", str(self.file))
        return run("docker", "compose", *project, *words)

    def inside(self, service: str, *command: str) -> str:
        """Return the output of a command in the first container of a service."""
        return self.compose("exec", "-T", service, *command)

    def inspect(self, *service: str) -> list[dict[str, Any]]:
        """Return the engine's description of the containers of a service, or of all."""
        containers = self.compose("ps", "-q", *service).split()
        descriptions: list[dict[str, Any]] = json.loads(run("docker", "inspect", *containers))
        return descriptions

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer of Prefect's API to a request with the password."""
        token = base64.b64encode(self.secrets["PREFECT_AUTH"].encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{PREFECT}/api/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def stored(self) -> dict[str, Any]:
        """Return what a worker finds in the S3 store: shards, summaries and reports."""
        objects: dict[str, Any] = json.loads(self.inside("worker", "python", "-c", STORED))
        return objects

    def state(self, run_id: str) -> str:
        """Return the state of a flow run."""
        return str(self.ask(f"flow_runs/{run_id}")["state_type"])

    def trainer(self) -> str | None:
        """Return the container of the worker that runs a flow, if any."""
        for facts in self.inspect("worker"):
            if "prefect.engine" in run("docker", "top", facts["Id"], "-eo", "pid,args"):
                return str(facts["Id"])
        return None


def build() -> None:
    """Build every target of the Dockerfile, and print the sizes of the images."""
    for target in ("cpu", "cuda", "s3"):
        run("docker", "build", "-q", "-f", "docker/Dockerfile", "--target", target, "-t", f"modeldiff:{target}", ".")
        (facts,) = json.loads(run("docker", "image", "inspect", f"modeldiff:{target}"))
        check(facts["Config"]["User"] == "modeldiff", f"modeldiff:{target} is built, {facts['Size'] / 1e9:.2f} GB")


def check_isolation(services: Services) -> None:
    """Check users, ports and the UI before any study runs."""
    users = {name: services.inside(name, "id", "-u").strip() for name in ("server", "worker", "s3")}
    check("0" not in users.values(), f"no service of ours is root: {users}")
    bound = [
        port for facts in services.inspect() for of in facts["NetworkSettings"]["Ports"].values() for port in of or ()
    ]
    check({port["HostIp"] for port in bound} == {"127.0.0.1"}, f"{len(bound)} ports are published, on loopback only")
    answer = services.inside("worker", "python", "-c", CONNECT, "9000", *map(str, OTHER_PORTS))
    check(answer.split() == ["9000"], "neighbors of the S3 container reach only its S3 port")
    with urllib.request.urlopen(PREFECT, timeout=30) as page:
        check(b"<html" in page.read().lower(), "Prefect's UI is served")


def complete(services: Services) -> None:
    """Deploy a study, kill its worker in the middle, retry it, and check its results."""
    services.inside("worker", "modeldiff", "deploy", *STUDY, "deployment.pool=modeldiff")
    deployed = services.ask("deployments/name/compare/digits_watermark")
    run_id = services.ask(f"deployments/{deployed['id']}/create_flow_run", {})["id"]
    wait_for(lambda: services.stored()["shards"] >= BEGUN, 600, "a worker trains a deployed study into the S3 store")
    trainer = services.trainer()
    before = services.stored()["shards"]
    if trainer is None or before == SHARDS:
        raise Failed("the study ended before its worker could be killed")
    run("docker", "exec", "--detach", trainer, "python", "-c", KILL)

    def restarted() -> bool:
        (facts,) = json.loads(run("docker", "inspect", trainer))
        return facts["RestartCount"] == 1 and facts["State"]["Health"]["Status"] == "healthy"

    wait_for(restarted, 180, f"killed after {before} of {SHARDS} shards, the worker starts again and is healthy")
    wait_for(lambda: services.state(run_id) == "CRASHED", 240, "its run is marked as crashed")
    services.inside("worker", "modeldiff", "retry", run_id)
    wait_for(lambda: services.state(run_id) in ("COMPLETED", "FAILED", "CRASHED"), 900, "the run that was retried ends")
    check(services.state(run_id) == "COMPLETED", "it is completed")
    stored = services.stored()
    (summary,) = stored["summaries"]
    check(stored["shards"] == SHARDS and stored["reports"] == 1, "all its shards and its report are in the S3 store")
    check(
        any(tried["name"] == "watermark" and tried["distinguishing"] for tried in summary["transformations"]),
        "its summary names the watermark as a distinguishing transformation",
    )


def check_secrets(services: Services) -> None:
    """Check that no secret is in a log, or in an image's history or settings."""
    texts = {f"the log of {name}": services.compose("logs", "--no-color", name) for name in SERVICES}
    logged = {name: len(text) for name, text in zip(SERVICES, texts.values(), strict=True)}
    check(min(logged.values()) > 200, f"the services logged {logged} characters")
    for image in ("cpu", "cuda", "s3"):
        texts[f"the history of {image}"] = run("docker", "history", "--no-trunc", f"modeldiff:{image}")
        texts[f"the settings of {image}"] = run("docker", "image", "inspect", f"modeldiff:{image}")
    leaks = [
        f"{key} in {where}"
        for key, secret in services.secrets.items()
        for where, text in texts.items()
        if secret.split(":")[-1] in text
    ]
    check(not leaks, f"no secret is in a log, or in an image's history or settings {leaks or ''}".strip())


def main() -> int:
    """Run all checks; return 0 if they hold, 1 if one fails, 2 without an engine."""
    try:
        print(f"engine {run('docker', 'version', '--format', '{{.Server.Version}}').strip()}", end=", ")
        print(run("docker", "compose", "version").strip(), flush=True)
    except (Failed, OSError) as error:
        why = str(error).strip().split("\n")[-1]
        print(f"No engine: this takes docker, a daemon that answers, and the compose plugin. {why}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        services = Services(Path(folder) / "secrets.env")
        try:
            build()
            began = time.monotonic()
            services.compose("up", "--detach", "--scale", "worker=2", "--wait", "--wait-timeout", "600")
            check(True, f"server, Postgres, S3 and two workers are healthy after {time.monotonic() - began:.0f} s")
            check_isolation(services)
            complete(services)
            check_secrets(services)
        except Failed as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            services.compose("down", "--volumes", "--timeout", "5")
    return 0


if __name__ == "__main__":
    sys.exit(main())
