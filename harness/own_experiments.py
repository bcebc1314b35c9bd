"""The documented experiments of a user's own, as tests install and run them: packages in a folder of their own."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from harness.shared import made_once
from modeldiff_core.experiments.experiment import Experiment, experiments, parse_settings
from modeldiff_core.store import ObjectStore, StoreSettings

EXAMPLES = Path(__file__).parents[1] / "docs/examples"
STUDIES: dict[str, dict[str, Any]] = {
    "feature_knockout": {"name": "pixels", "rows": 600, "evaluation_rows": 100, "targets": 40, "components": 150},
    "rank_and_mask": {"name": "masked", "kept": [0.1, 0.3], "learning_rates": [0.05, 1.0, 300.0], "budget": 60},
    "ridge_derivatives": {"name": "hidden", "hidden_b": 5, "trainings": 8, "train": 60, "targets": 20, "draws": 199},
}
"""The studies of the tests, smaller than those of the examples."""


def install(place: Path) -> None:
    """Install the packages into a folder, which then has to be on the path."""
    with tempfile.TemporaryDirectory() as folder:
        sources = [Path(folder) / kind for kind in STUDIES]
        for source in sources:
            source.mkdir()
            for name in ("pyproject.toml", f"{source.name}.py"):
                shutil.copy(EXAMPLES / source.name / name, source)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--no-build-isolation", "--target", str(place), *map(str, sources)], check=True)


def installed(factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the installed packages for one module's tests, which may write to it."""
    once = made_once(factory, "own-experiments", install)
    return Path(shutil.copytree(once, factory.mktemp("installed") / "packages"))


def opened(kind: str, root: Path, **changes: Any) -> tuple[Experiment, ObjectStore]:
    """Return the experiment of a kind's study, with changed settings, and its store."""
    store = ObjectStore(StoreSettings(root=str(root)))
    cls = experiments().get(kind)
    return cls.of(parse_settings(cls.settings, {"experiment": kind, **STUDIES[kind], **changes}), store), store


def overrides(kind: str, root: Path) -> tuple[str, ...]:
    """Return the overrides of the command line for a kind's study."""
    changes = (f"{name}={json.dumps(value)}" for name, value in STUDIES[kind].items())
    path = f"hydra.searchpath=[file://{EXAMPLES / kind}/conf]"
    return path, f"study={kind}", *changes, f"store.root={root}", "runner.workers=1"


def content(root: Path) -> dict[str, object]:
    """Return every result of a store but times; the random name of a matrix's arrays is left out."""
    found: dict[str, object] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.name.endswith(".time.json")):
        key = re.sub(r"\.[0-9a-f]{8}\.zarr/", ".zarr/", str(path.relative_to(root)))
        record = json.loads(path.read_bytes()) if path.suffix == ".json" else None
        if isinstance(record, dict) and "group" in record:
            found[key] = {name: value for name, value in record.items() if name not in ("group", "checksum")}
        else:
            found[key] = path.read_bytes()
    return found
