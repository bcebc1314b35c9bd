"""What a function is told apart by: its lines, those of what it uses in its file, defaults and captured values."""

import functools
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import modeldiff_core as md
from modeldiff_core.errors import ConfigError
from modeldiff_core.training.functions import Form, describe

TEXT = """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    RATE = 0.1
    STATE = open("/dev/null")

    class Step:
        size: int = 3

        def run(self, x):
            return halved(x) * RATE

    def halved(x):
        return x / 2

    def unused(x):
        return x

    def train(images, labels, seed, depth=2):
        # a comment
        step = Step()
        return LogisticRegression(C=step.run(depth)).fit(images, labels)
"""


def module(folder: Path, name: str, text: str = TEXT) -> ModuleType:
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(text))
    spec = __import__("importlib.util").util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    found = __import__("importlib.util").util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


def test_a_function_is_its_lines_and_those_of_what_it_uses(tmp_path: Path) -> None:
    found = describe(module(tmp_path, "own_a").train)
    assert set(found.sources) == {"train", "Step", "halved"}
    assert found.values == {"train.depth": 2, "Step.RATE": 0.1}
    assert found.unstable == {}
    assert set(found.libraries) == {"scikit-learn"}
    assert found.place == f"own_a.py, line {TEXT[: TEXT.index('def train')].count(chr(10)) + 1}"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# a comment", "# another", True),
        ("return x / 2", "return x / 3", False),
        ("return halved(x) * RATE", "return halved(x) * RATE * 1", False),
        ("def unused(x):\n        return x", "def unused(x):\n        return -x", True),
    ],
)
def test_a_change_of_what_counts_is_another_function(tmp_path: Path, old: str, new: str, same: bool) -> None:
    assert old in TEXT
    one, other = module(tmp_path, "own_b", TEXT), module(tmp_path, "own_c", TEXT.replace(old, new))
    assert (describe(one.train).source == describe(other.train).source) is same


def test_captured_values_and_arguments_are_told_apart() -> None:
    def made(rate: Any) -> Any:
        def train(images: Any, labels: Any, seed: int) -> Any:
            return rate

        return train

    assert describe(made(0.5)).values == {"train.rate": 0.5}
    one, other = describe(made(np.arange(3))), describe(made(np.arange(3) + 1))
    assert one.values != other.values
    assert describe(made(np.arange(3))) == one
    assert describe(functools.partial(made(1), depth=7)).values == {"train.depth": 7, "train.rate": 1}


def test_what_cannot_be_told_apart_is_refused_with_the_advice(tmp_path: Path) -> None:
    def made(rate: Any) -> Any:
        def train(images: Any, labels: Any, seed: int) -> Any:
            return rate

        return train

    with pytest.raises(ConfigError, match=r"train\.rate.*a object has no stable encoding.*version='1'"):
        md.Algorithm(made(object())).config("x", Form())
    config = md.Algorithm(made(object()), version=1).config("x", Form())
    assert config.recipe["version"] == "1"
    with pytest.raises(
        ConfigError,
        match="train: expected a function of images, labels and a seed, or an estimator of scikit-learn, got 'int'",
    ):
        md.Algorithm(int)


def test_the_user_sees_the_identity(tmp_path: Path) -> None:
    identity = md.Algorithm(module(tmp_path, "own_d").train, arguments={"depth": 4}).identity
    assert identity["function"] == "own_d:train"
    assert identity["values"] == {"train.depth": 2, "Step.RATE": 0.1}
    assert identity["arguments"] == {"depth": 4}
    assert set(identity["sources"]) == {"train", "Step", "halved"}


def test_a_module_of_ones_own_counts_by_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    helper = tmp_path / "own_helper.py"
    found = []
    for body in ("return x", "return -x"):
        helper.write_text(f"def step(x):\n    {body}\n")
        sys.modules.pop("own_helper", None)
        user = module(tmp_path, "own_e", "import own_helper\n\ndef train(i, l, s):\n    return own_helper.step(i)\n")
        found.append(describe(user.train))
    assert set(found[0].sources) == {"train", "module own_helper"}
    assert found[0].source != found[1].source


@pytest.mark.nightly
def test_every_process_sees_the_same(tmp_path: Path) -> None:
    module(tmp_path, "own_f")
    code = (
        "from own_f import train\nfrom modeldiff_core.training.functions import describe\n"
        "d = describe(train)\nprint(d.source, d.values, d.importable)"
    )
    path = f"{tmp_path}:{Path(__file__).parents[3]}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    here = describe(sys.modules["own_f"].train)
    assert done.stdout.strip() == f"{here.source} {dict(here.values)} True"
