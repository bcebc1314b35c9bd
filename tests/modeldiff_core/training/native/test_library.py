"""Code is built once for a processor, and its absence is no error."""

import logging
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.data.digits import Digits
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution
from modeldiff_core.training.native import library
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd


@pytest.fixture
def unloaded() -> Iterator[None]:
    """Nothing loaded, now and afterwards."""
    library.native_library.cache_clear()
    yield
    library.native_library.cache_clear()


def compiler(folder: Path, script: str) -> Path:
    """A program named cc that stands before every other."""
    folder.mkdir()
    program = folder / "cc"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.mark.usefixtures("unloaded")
def test_code_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = tmp_path / "modeldiff"
    assert library.native_library() is not None
    (file,) = fresh.iterdir()
    assert file.name.startswith("native-")
    library.native_library.cache_clear()
    changed = file.stat().st_mtime_ns
    assert library.native_library() is not None
    assert file.stat().st_mtime_ns == changed
    monkeypatch.setattr(library, "processor", lambda: b"another")
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-O0"))
    assert library.built("cc", fresh) != file
    assert len(list(fresh.iterdir())) == 2, "no temporary files should be left"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "no C compiler"),
        ("exit 1", "cannot build"),
        ('[ "$1" = --version ] || { echo "unknown option" >&2; exit 1; }', "unknown option"),
        ("exit 0", "cannot build"),
    ],
    ids=["none", "broken", "refuses", "writes-nothing"],
)
@pytest.mark.usefixtures("unloaded")
def test_without_a_compiler_that_works_torch_trains(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    script: str | None,
    said: str,
) -> None:
    recipe, data = Sgd(network=Network("mlp", (8,)), epochs=2), Digits(n_train=60, n_test=20).load()
    masks = SubsetSampler(60, 0.5, 0).masks(range(3))

    def logits() -> np.ndarray:
        return recipe.train(data.train, 10, masks, range(3), 0, Execution()).logits(data.test.images)

    compiled = logits()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.native_library.cache_clear()
    folder = tmp_path / "empty" if script is None else compiler(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", str(folder) if script is None else f"{folder}{os.pathsep}{os.environ['PATH']}")
    with caplog.at_level(logging.WARNING):
        by_torch = logits()
    assert said in caplog.text
    assert not list((tmp_path / "modeldiff").glob("*")), "what cannot be loaded is not kept"
    assert sum("torch" in record.message for record in caplog.records) == 1
    assert compiled.std() > 0.01
    np.testing.assert_allclose(by_torch, compiled, atol=1e-4)


def test_a_folder_that_cannot_be_written_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    folder = library.cache_folder()
    assert os.access(folder, os.W_OK)
    folder.rmdir()


def test_the_sources_compile_without_warnings() -> None:
    """Also for a processor without wide vectors."""
    for flags in (("-march=native",), ("-march=x86-64-v2",) if os.uname().machine == "x86_64" else ()):
        units = [str(path) for path in sorted(library.SOURCES.glob("*.c"))]
        command = ["cc", "-fsyntax-only", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", *flags]
        done = subprocess.run([*command, *units], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
