"""What an environment gets from the wheel: the library, the product under one name, and nothing else at the top."""

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness.wheels import ROOT, built_wheel

SHOWN = ".py", ".yaml"
"""Suffixes of files that a wheel must hold."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_two_packages_and_the_command(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"modeldiff.py", "modeldiff_core", "modeldiff_platform"}
    for folder in ("conf", "flows", "tasks"):
        ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.*") if path.suffix in SHOWN}
        assert ours
        assert {f"modeldiff_platform/{name}" for name in ours} <= set(names)


def test_the_wheel_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    asked = "import modeldiff_platform.flows.cli.verbs as v, modeldiff_core as c; print(v.__file__, c.__file__)"
    paths = run(place, tmp_path, "-c", asked).split()
    assert [Path(path).is_relative_to(place) for path in paths] == [True, True]
    assert "name: digits_watermark" in run(place, tmp_path, "-m", "modeldiff", "show", "study=digits_watermark")


def run(place: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(place), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_environment_has_no_packages_named_conf_flows_or_tasks(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    asked = "import importlib.util as u; print([n for n in ('conf', 'flows', 'tasks') if u.find_spec(n)])"
    assert run(place, tmp_path, "-c", asked) == "[]\n"
    assert importlib.util.find_spec("modeldiff_platform.flows") is not None
