"""A checkout of this repository whose command line is run as a user runs it, with that checkout's own code."""

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ENTRIES = "modeldiff_platform.flows.cli", "flows.cli", "modeldiff.cli", "modeldiff_core.cli", "cli"
"""Modules that may be the command line, where pyproject.toml names none that exists."""
LIMIT_S = 1800
"""Seconds after which a command counts as hanging."""


@dataclass(frozen=True)
class Checkout:
    """A folder with a working tree.

    Attributes:
        folder: The working tree.
        scratch: Folder for Prefect's history, and working directory of its commands.
    """

    folder: Path
    scratch: Path

    @property
    def entry(self) -> str:
        """The module or package behind ``modeldiff``: the one that pyproject.toml names, else the first of ENTRIES.

        Raises FileNotFoundError if the checkout has none of them.
        """
        project = tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["project"]
        named = str(project.get("scripts", {}).get("modeldiff", "")).partition(":")[0]
        for module in filter(None, (named, *ENTRIES)):
            place = self.folder / module.replace(".", "/")
            if place.with_suffix(".py").exists() or (place / "__main__.py").exists():
                return module
        raise FileNotFoundError(f"{self.folder}: none of {', '.join(filter(None, (named, *ENTRIES)))} exists")

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its commands: its own code before what is installed, and no settings of the user's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))}
        own = {"PYTHONPATH": str(self.folder), "MODELDIFF_HOME": str(self.scratch / "home"), "OMP_NUM_THREADS": "1"}
        return {**kept, **own}

    def check(self) -> None:
        """Raise RuntimeError unless the code that its commands import lies in its folder."""
        packages = {"modeldiff_core", self.entry.partition(".")[0]}
        for package in sorted(packages):
            found = Path(self._python("-c", f"import {package}; print({package}.__file__)").strip())
            if not found.is_relative_to(self.folder):
                raise RuntimeError(f"{self.folder}: its commands would import {package} from {found}")

    def modeldiff(self, *arguments: str) -> str:
        """Run a verb to its end; gives what it printed. Raises RuntimeError with its last words if it fails."""
        return self._python("-m", self.entry, *arguments)

    def _python(self, *arguments: str) -> str:
        self.scratch.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=self.scratch,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr)[-4000:]
            raise RuntimeError(f"{self.folder}: {' '.join(arguments)} ended with {done.returncode}:\n{said}")
        return done.stdout
