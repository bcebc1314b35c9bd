"""Comparisons from Python: every kind of model with every way to give images, interrupted and resumed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import modeldiff_core as md
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare import Compare
from modeldiff_core.plan import NoProgress, Step
from modeldiff_core.plan.run import InProcess
from modeldiff_core.stages.shards import ShardSpec
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.training import Execution
from tests.modeldiff_core.api.own_functions import FUNCTIONS, SETTINGS, data, train_callable


def margins(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.glob("trainings/*/subsets/shards/*"))}


def train_only(study: md.Study, root: Path, stop: int = 1000) -> None:
    """Make the shards of a study in order; stop: how many before an interruption in the middle of the next."""
    store = ObjectStore(StoreSettings(str(root)))
    experiment = Compare.of(study.config(store), store)
    steps = [s for wave in experiment.waves(store) for s in wave.steps if isinstance(s.spec, ShardSpec)]
    missing = [step for step in steps if not store.exists(step.reference.record)]

    def count(step: Step) -> None:
        nonlocal stop
        stop -= 1
        if not stop:
            raise KeyboardInterrupt

    done = InProcess(store, Execution())(next(iter(experiment.waves(store))), missing, count)
    assert done.failures == {}


@pytest.mark.parametrize("way", ["arrays", "torch"])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_each_kind_of_model_goes_on_with_the_same_bits(kind: str, way: str, tmp_path: Path) -> None:
    given = data(way)
    study = md.Study(FUNCTIONS[kind], md.Algorithm(FUNCTIONS[kind], name="b", seed=1), given, 40, "", SETTINGS)
    train_only(study, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_only(study, tmp_path / "cut", stop=3)
    first = margins(tmp_path / "cut")
    assert 0 < len(first) < 8
    train_only(study, tmp_path / "cut")
    whole, cut = margins(tmp_path / "whole"), margins(tmp_path / "cut")
    assert len(whole) == 8
    assert cut == whole
    assert first.items() <= cut.items()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> md.Report:
    root = tmp_path_factory.mktemp("api")
    return compared(root)


def compared(root: Path, **others: Any) -> md.Report:
    def blind(images: Any, labels: Any, seed: int) -> Any:
        seen = images.copy()
        seen[:, :, 0] = 0
        model = train_callable(seen, labels, seed)

        def logits(given: Any) -> Any:
            given = given.copy()
            given[:, :, 0] = 0
            return model(given)

        return logits

    tests = [{"name": "noise", "kind": "noise", "parameters": {"deviation": 0.2}}]
    others = {**SETTINGS, "transformations": tests, "progress": NoProgress(), **others}
    return md.compare(train_callable, blind, data=data("arrays"), models=80, store=root, **others)


def test_a_report_has_tables_and_stands_in_a_cell(report: md.Report, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(report.directions.columns) >= {"side", "null_p", "significant", "top_train", "top_targets"}
    assert len(report.directions) == 2
    assert report.effects["name"].unique().tolist() == ["noise"]
    assert set(report.effects.columns) >= {"effect_a", "effect_b", "difference", "p"}
    page = report._repr_html_()
    assert page.startswith("<iframe srcdoc=")
    assert "&lt;title&gt;" in page
    assert report.url in page
    report.show()
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"Report: {report.url}"
    assert report.findings[0] in out
    assert "train_callable" in out
    assert "blind" in out


def test_a_second_call_trains_nothing_and_a_changed_function_fails_loudly(
    report: md.Report, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = Path(report.url.removeprefix("file://")).parents[3]
    before = margins(root)
    assert len(before) == 16
    assert compared(root).url == report.url
    assert margins(root) == before
    assert "a model" not in capsys.readouterr().err  # no rehearsal of what is trained

    def blind(images: Any, labels: Any, seed: int) -> Any:
        return train_callable(images, labels, seed)

    with pytest.raises(ConfigError, match=r"algorithm_b\.kind: .*other code in .*blind .*version='2'"):
        md.compare(train_callable, blind, data=data("arrays"), models=80, store=root, **SETTINGS)


def test_two_functions_of_one_name_are_told_apart_or_refused(tmp_path: Path) -> None:
    def made(power: int) -> Any:
        def train(images: Any, labels: Any, seed: int) -> Any:
            return train_callable(images, labels, seed + power)

        return train

    def other() -> Any:
        def train(images: Any, labels: Any, seed: int) -> Any:
            return train_callable(images[::1], labels, seed)

        return train

    def third() -> Any:
        def train(images: Any, labels: Any, seed: int) -> Any:
            return train_callable(images, labels, seed)

        return train

    store = ObjectStore(StoreSettings(str(tmp_path)))
    study = md.Study(made(1), made(2), data("arrays"), 40, "", SETTINGS)
    assert study.names == ("train", "train (2)")
    config = study.config(store)
    recipes = [one.recipe["values"] for one in (config.algorithm_a, config.algorithm_b)]
    assert [recipe["train.power"] for recipe in recipes] == [1, 2]
    with pytest.raises(ConfigError, match="b: expected a function of another name .* version='2'"):
        md.Study(other(), third(), data("arrays"), 40, "", SETTINGS).config(store)


SCRIPT = """
import sys, os
sys.path[:0] = [{folder!r}]
import modeldiff_core as md
from own_module import train_a, train_b, x, y
settings = {settings!r}
report = md.compare(
    train_a, train_b, data=md.Data(x[:80], y[:80], x[80:], y[80:]), models=50, store={root!r}, workers=2, **settings
)
print(report.url)
"""
MODULE = """
import numpy as np
rng = np.random.default_rng(0)
y = np.arange(120) % 2
x = rng.integers(0, 200, (120, 4, 4)).astype(np.uint8)
x[y == 0, 0] += 50
SHARP = 2.0

def means(images, labels):
    return np.stack([images[labels == k].mean(0).ravel() for k in (0, 1)])

def train_a(images, labels, seed):
    centers = means(images, labels)
    return lambda given: -SHARP * ((given.reshape(len(given), 1, -1) / 255 - centers / 255) ** 2).sum(-1)

def train_b(images, labels, seed):
    centers = means(images + np.random.default_rng(seed).integers(0, 5, images.shape), labels)
    return lambda given: -((given.reshape(len(given), 1, -1) / 255 - centers / 255) ** 2).sum(-1)
"""


@pytest.mark.nightly
def test_a_module_is_trained_in_processes_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_module.py").write_text(MODULE)
    (tmp_path / "script.py").write_text(
        SCRIPT.format(folder=str(tmp_path), settings=SETTINGS, root=str(tmp_path / "processes"))
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Trained in 2 processes" in done.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_module  # type: ignore[import-not-found]

    x, y = own_module.x, own_module.y
    study = md.Study(own_module.train_a, own_module.train_b, md.Data(x[:80], y[:80], x[80:], y[80:]), 50, "", SETTINGS)
    train_only(study, tmp_path / "here")
    assert margins(tmp_path / "here") == margins(tmp_path / "processes") != {}


def test_global_generators_and_threads_are_as_before(tmp_path: Path) -> None:
    def train(images: Any, labels: Any, seed: int) -> Any:
        torch.set_num_threads(2)
        np.random.rand()
        print("noise\n" * 10)
        return train_callable(images, labels, seed)

    np.random.seed(3)
    torch.manual_seed(3)
    expected = np.random.rand(), torch.rand(1).item()
    np.random.seed(3)
    torch.manual_seed(3)
    train_only(md.Study(train, train_callable, data("arrays"), 40, "", SETTINGS), tmp_path)
    assert (np.random.rand(), torch.rand(1).item()) == expected
    assert torch.get_num_threads() == 1
