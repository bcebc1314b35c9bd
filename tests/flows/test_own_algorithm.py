"""The documented example of an algorithm and a dataset of one's own, installed and run as its README says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.commands import Commands, InProcess

EXAMPLE = Path(__file__).parents[2] / "docs/examples/nearest_centroid"


@pytest.fixture(scope="module")
def with_example(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Commands that find the example's entry points; it is installed into a folder of its own."""
    place = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "nearest_centroid.py"):
        (source / name).write_bytes((EXAMPLE / name).read_bytes())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            str(place),
            str(source),
        ],
        check=True,
    )
    return Commands({**commands.environment, "PYTHONPATH": str(place)}, commands.folder)


@pytest.mark.nightly
def test_the_example_finds_its_stripe(with_example: Commands, tmp_path: Path) -> None:
    search = f"hydra.searchpath=[file://{EXAMPLE}/conf]"
    done = with_example.run(
        "compare", search, "study=stripes", f"store.root={tmp_path}", "comparison=residual", "comparison.permutations=6"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("comparisons/stripes-*/summary.json")
    found = json.loads(path.read_text())
    assert found["algorithms"]["b"]["kind"] == "nearest_centroid"
    effects = {e["name"]: e for e in found["transformations"]}
    assert effects["left_stripe"]["effect"]["a"] > 0.1
    assert effects["left_stripe"]["distinguishing"]
    assert not effects["right_stripe"]["distinguishing"]
    wrong = with_example.run(
        "compare", search, "study=stripes", f"store.root={tmp_path}", "algorithm_b.recipe.ignore_left=9"
    )
    assert wrong.returncode == 2
    assert "algorithm_b.recipe.ignore_left: expected a number of columns in 0..5, got 9" in wrong.stderr


def test_without_the_package_the_kind_is_unknown(in_process: InProcess, tmp_path: Path) -> None:
    search = f"hydra.searchpath=[file://{EXAMPLE}/conf]"
    done = in_process("compare", search, "study=stripes", f"store.root={tmp_path}")
    assert done.returncode == 2
    assert "dataset.kind: expected one of " in done.stderr
    assert "got 'two_stripes'" in done.stderr
    assert "modeldiff.datasets" in done.stderr
