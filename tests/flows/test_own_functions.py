"""Training functions of one's own: the same bits from a script, from processes and from Prefect; a kill -9 between."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.commands import Commands, kill_all, subset_shards, wait_for
from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.cli.python_study import is_python, python_study

FUNCTIONS = """
import numpy as np

SHARP = 2.0


def means(images, labels):
    return np.stack([images[labels == k].mean(0).ravel() for k in (0, 1)])


def train_a(images, labels, seed):
    centers = means(images, labels)
    return lambda given: -SHARP * ((given.reshape(len(given), 1, -1) / 255 - centers / 255) ** 2).sum(-1)


def train_b(images, labels, seed):
    noise = np.random.default_rng(seed).integers(0, 5, images.shape)
    centers = means(images + noise, labels)
    return lambda given: -((given.reshape(len(given), 1, -1) / 255 - centers / 255) ** 2).sum(-1)
"""
STUDY = """
import modeldiff_core as md

SETTINGS = {
    "subsets": {"shard_size": 10, "rounds": {"growth": 4.0}},
    "ensemble": {"models": 4, "shard_size": 2},
    "regression": {"estimator": "ridge"},
    "comparison": {"draws": 19, "components": 2},
    "search": {"directions": 0},
}
rng = np.random.default_rng(0)
y = np.arange(120) % 2
x = rng.integers(0, 200, (120, 4, 4)).astype(np.uint8)
x[y == 0, 0] += 50
data = md.Data(x[:80], y[:80], x[80:], y[80:])
"""
MODULE = f"{FUNCTIONS}\n{STUDY}\nstudy = md.Study(train_a, train_b, data, 60, settings=SETTINGS)\nnothing = 3\n"
TYPED = f"{FUNCTIONS}\n{STUDY}\nmd.compare(train_a, train_b, data=data, models=60, store='typed', **SETTINGS).show()\n"
IMPORTED = """
import modeldiff_core as md
import own_study as own
md.compare(own.train_a, own.train_b, data=own.data, models=60, store="processes", workers=2, **own.SETTINGS).show()
"""
SUBMITTED = """
import modeldiff_core as md
import own_study as own
given = {"data": own.data, "models": 60, "store": "submitted", "runner": {"workers": 2}}
report = md.submit(own.train_a, own.train_b, **given, **own.SETTINGS)
report.show()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_study.py").write_text(MODULE)
    for name, text in (("typed.py", TYPED), ("imported.py", IMPORTED), ("submitted.py", SUBMITTED)):
        (tmp_path / name).write_text(text)
    return tmp_path


def results(root: Path) -> dict[str, bytes]:
    """Return every shard; what a killed write leaves is no shard, and ``verify`` names it."""
    return {
        str(p.relative_to(root)): p.read_bytes() for p in sorted(root.glob("trainings/*/subsets/shards/*.safetensors"))
    }


@pytest.mark.nightly
def test_every_way_gives_the_same_bits_and_goes_on_after_a_kill(commands: Commands, folder: Path) -> None:
    here = Commands(commands.environment, folder)

    def python(name: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, name],
            cwd=folder,
            env={**commands.environment, "PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finished(process: subprocess.Popen[str]) -> str:
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, out + err
        assert "Report: file://" in out
        return err

    killed = python("imported.py")
    wait_for(lambda: len(subset_shards(folder / "processes")) >= 2, 120, "two shards")
    kill_all(killed)
    first = subset_shards(folder / "processes")
    assert "Trained in 2 processes" in finished(python("imported.py"))
    assert {path: when for path, when in subset_shards(folder / "processes").items() if path in first} == first
    assert "Trained in this process" in finished(python("typed.py"))
    done = here.run("compare", "own_study:study", "store.root=prefect", "runner.workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train_a: " in done.stdout
    finished(python("submitted.py"))
    expected = results(folder / "typed")
    assert len(expected) == 12
    for way in ("processes", "prefect", "submitted"):
        assert results(folder / way) == expected, way
    summaries = {
        way: json.loads(next((folder / way).glob("comparisons/*/summary.json")).read_text())
        for way in ("typed", "processes", "prefect", "submitted")
    }
    assert len({json.dumps(found, sort_keys=True) for found in summaries.values()}) == 1


def test_what_names_a_study_in_a_module() -> None:
    assert is_python("mine:study")
    assert is_python("package.mine:study")
    assert not is_python("study=mine:study")
    assert not is_python("mine")
    assert not is_python("c:/x")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_study:absent", "module 'own_study' has no attribute 'absent'"),
        ("own_study:nothing", "It is a int, no modeldiff_core.Study"),
        ("no_such_module:study", "No module named 'no_such_module'"),
        ("leaves:study", "Importing leaves ends the process (7)"),
        ("inner:study", "give it a name of its own at the top of a module"),
    ],
)
def test_a_study_that_cannot_be_run_is_one_sentence(
    name: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "leaves.py").write_text("import sys\nsys.exit(7)\n")
    inner = "from own_study import *\nstudy = md.Study(lambda i, l, s: None, train_b, data, 60, settings=SETTINGS)\n"
    (folder / "inner.py").write_text(inner)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ConfigError) as caught:
        python_study(name)
    assert words in str(caught.value)
    for module in ("own_study", "inner", "leaves"):
        sys.modules.pop(module, None)
