"""The package as others get it: a wheel, built from the repository and installed into an environment of its own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = "modeldiff_core", "modeldiff_platform", "conf", "flows", "tasks"
SHIPPED = "pyproject.toml", "README.md", "modeldiff.py", *PACKAGES
"""What a build reads; the folders of `modeldiff_platform` are links to the last three."""


def built_wheel(place: Path) -> Path:
    """Return the wheel, built in a folder from a copy, so that the repository holds no traces of it."""
    source = place / "source"
    source.mkdir()
    for name in SHIPPED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    quiet = "--quiet", "--disable-pip-version-check"
    build = "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place)
    subprocess.run([sys.executable, "-m", "pip", *quiet, *build, str(source)], check=True)
    (wheel,) = place.glob("*.whl")
    return wheel


def installed(wheel: Path, environment: Path) -> Path:
    """Return the interpreter of a new environment that holds the wheel and what it asks for, of the pinned versions."""
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin/python"
    (torch,) = re.findall(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    quiet = "--quiet", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")
    subprocess.run([str(python), "-m", "pip", "install", *quiet, torch, str(wheel)], check=True)
    return python
