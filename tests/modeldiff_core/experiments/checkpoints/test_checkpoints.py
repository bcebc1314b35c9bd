"""Comparisons of checkpoints from Python and as a study: a page, a cache, what it says of few, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import modeldiff_core as md
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.run import open_experiment, run_study, status_of
from modeldiff_core.plan import NoProgress, verify
from modeldiff_core.store import ObjectStore, StoreSettings

TRAIN, TEST, SIDE = 60, 30, 4


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes told by a row of pixels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pixels = rng.random((count, SIDE, SIDE)) * 0.6
    pixels[np.arange(count), labels] += 0.4
    return np.round(pixels * 255).astype(np.uint8).astype(np.float32) / np.float32(255), labels


def data() -> md.Data:
    return md.Data(*images(TRAIN, 0), *images(TEST, 1))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(SIDE * SIDE, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def trained(seed: int, epochs: int = 8) -> Net:
    torch.manual_seed(seed)
    net, (x, y) = Net(), images(TRAIN, 0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(epochs):
        order = torch.randperm(TRAIN)
        for at in range(0, TRAIN, 20):
            rows = order[at : at + 20]
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(torch.from_numpy(x)[rows]), torch.from_numpy(y)[rows]).backward()
            optimizer.step()
    return net


SETTINGS: dict[str, Any] = {"components": 1, "top": 3, "progress": NoProgress(), "names": ("long", "short")}


@pytest.fixture(scope="module")
def checkpoints() -> tuple[list[Net], list[Net]]:
    return [trained(seed) for seed in range(6)], [trained(100 + seed, 2) for seed in range(6)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def report(checkpoints: tuple[list[Net], list[Net]], root: Path) -> md.Report:
    return md.compare_checkpoints(*checkpoints, network=Net, data=data(), store=root, **SETTINGS)


def test_six_of_each_are_tested_and_the_page_says_how(report: md.Report) -> None:
    assert report.summary["tested"]
    assert report.summary["patterns"] == 2**5
    assert set(report.directions["side"]) <= {"a-b", "b-a"}
    assert (report.directions["p"] >= 2 / 2**6).all()
    assert report.verdict in ("different", "undecided")
    assert report.effects.empty
    said = " ".join(report.findings)
    assert "6 checkpoints of each, 32 patterns of exchanges" in said
    assert "EK-FAC" in said
    assert "damping 1, on 123 of 135 parameters" in said  # those of batch normalization take no part
    page = report.store.read("/".join(report.url.rsplit("/", 4)[1:])).decode()
    assert "EK-FAC" in page
    assert "test images at its two ends" in page
    assert "training images at its two ends" in page


def test_another_study_of_the_same_checkpoints_computes_no_attributions_again(
    report: md.Report, checkpoints: tuple[list[Net], list[Net]], root: Path
) -> None:
    assert report.summary["checkpoints"] == 6
    store = ObjectStore(StoreSettings(str(root)))
    before = {key: store.read(key) for key in store.sizes("checkpoints/attributions")}
    times = {key: store.listing("checkpoints")[key].written for key in before}
    assert len(before) == 12
    a, b = checkpoints
    fewer = md.compare_checkpoints(a[:3], b[:3], network=Net, data=data(), store=root, **SETTINGS)
    assert {key: store.listing("checkpoints")[key].written for key in times} == times
    assert set(store.sizes("checkpoints/attributions")) == set(before)
    assert not fewer.summary["tested"]
    assert fewer.findings[0].startswith("Cannot be tested: with 3 checkpoints of each")
    assert fewer.directions["p"].isna().all()
    assert not fewer.directions["significant"].any()


@pytest.mark.parametrize("kind", ["ekfac", "trak"])
def test_a_network_that_only_this_process_knows_and_both_estimators(
    kind: str, checkpoints: tuple[list[Net], list[Net]], tmp_path: Path
) -> None:
    a, b = ([net.layers.state_dict() for net in side[:1]] for side in checkpoints)
    asked = {**SETTINGS, "estimator": {"kind": kind}, "targets": 10}
    found = md.compare_checkpoints(a, b, network=trained(7, 0).layers, data=data(), store=tmp_path, **asked)
    assert found.findings[0].startswith("Cannot be tested: with 1 checkpoint of each")
    assert {"ekfac": "EK-FAC", "trak": "TRAK"}[kind] in found.findings[1]
    assert "The first 10 of 30 test images are explained (targets)." in found.findings


def test_the_two_sides_may_have_networks_of_their_own(checkpoints: tuple[list[Net], list[Net]], tmp_path: Path) -> None:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 3))
    given = [checkpoints[0][0]], [linear]
    found = md.compare_checkpoints(*given, network=(Net, linear), data=data(), store=tmp_path, **SETTINGS)
    assert "on 123 of 135 and 51 of 51 parameters" in found.findings[1]


def test_what_does_not_fit_is_one_line_before_anything_is_computed(
    checkpoints: tuple[list[Net], list[Net]], tmp_path: Path
) -> None:
    a, b = (side[:2] for side in checkpoints)

    def asked(a: Any = a, b: Any = b, network: Any = Net, given: Any = None, **others: Any) -> str:
        with pytest.raises(ConfigError) as error:
            md.compare_checkpoints(
                a, b, network=network, data=given or data(), store=tmp_path, **{**SETTINGS, **others}
            )
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "'a[1]'. It has the same weights as a[0] of a" in asked([a[0], a[0]])
    assert "as many checkpoints as of a, 2, got 1" in asked(b=b[:1])
    assert asked(a=[]).startswith("a: expected a list")
    assert "layers.1.bias, layers.1.weight, layers.2.bias and 6 more unexpected" in asked(network=nn.Sequential())
    assert "a torch.nn.Module" in asked(network=3)
    assert "a: expected a file with weights, got 'missing.pt'" in asked(a=["missing.pt", a[0]])
    x, y = images(TRAIN, 0)
    wider = md.Data(np.pad(x, ((0, 0), (0, 1), (0, 0))), y, np.pad(x, ((0, 0), (0, 1), (0, 0))), y)
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied" in asked(given=wider)
    fewer = md.Data(x[y < 2], y[y < 2], x[y < 2], y[y < 2])
    assert "a network with 2 logits" in asked(given=fewer)
    rows = md.Data(np.arange(40.0).reshape(20, 2), np.arange(20) % 2, np.arange(40.0).reshape(20, 2), np.arange(20) % 2)
    assert asked(given=rows).startswith(("experiment: expected compare", "data: expected"))
    assert "targets: expected at most the 30 test images" in asked(targets=31)
    assert "components: expected at most" in asked(components=40)
    assert "'ekfac' or 'trak'" in asked(estimator={"kind": "lissa"})
    assert not list(tmp_path.glob("checkpoints/attributions/*"))


@pytest.fixture
def study(checkpoints: tuple[list[Net], list[Net]], tmp_path: Path) -> dict[str, Any]:
    """A study that names files, as the command line gives it."""
    for side, nets in zip("ab", checkpoints, strict=True):
        (tmp_path / side).mkdir()
        for number, net in enumerate(nets[:2]):
            save_file(net.state_dict(), tmp_path / side / f"{number}.safetensors")
    return {
        "experiment": "checkpoints",
        "name": "files",
        "dataset": {"kind": "digits", "n_train": 60, "n_test": 40, "seed": 0},
        "network": {"network": "mlp", "arguments": {"widths": [6]}, "mean": 0.5, "scale": 0.5},
        "a": {"name": "one", "checkpoints": [str(tmp_path / "a/*.safetensors")]},
        "b": {"name": "other", "checkpoints": [str(tmp_path / "b/*.safetensors")]},
        "components": 1,
    }


def test_files_of_a_study_are_planned_run_moved_and_verified(study: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.checkpoints.*'0\.safetensors'.*missing"):
        open_experiment(study, tmp_path / "runs")
    for side, first in (("a", 0), ("b", 10)):
        for number in range(2):
            torch.manual_seed(first + number)
            state = {"0.weight": torch.randn(6, 64), "0.bias": torch.zeros(6)}
            state |= {"1.weight": torch.randn(10, 6), "1.bias": torch.zeros(10)}
            save_file(state, tmp_path / side / f"{number}.safetensors")
    experiment, store = open_experiment(study, tmp_path / "runs")
    assert not status_of(study, tmp_path / "runs").complete
    assert not (tmp_path / "runs/checkpoints").exists()  # planning writes nothing
    shown = run_study(study, tmp_path / "runs", progress=NoProgress())
    assert shown.findings[0].startswith("Cannot be tested")
    assert status_of(study, tmp_path / "runs").complete
    assert not list(verify(experiment, store))
    (tmp_path / "a").rename(tmp_path / "moved")
    moved = {**study, "a": {**study["a"], "checkpoints": [str(tmp_path / "moved/*.safetensors")]}}
    assert open_experiment(moved, tmp_path / "runs")[0].digest == experiment.digest
    summary = json.loads(store.read(experiment.summary.record))
    assert summary["accuracy"]["a"]["targets"][0] < 0.5
    key = next(key for key in store.sizes("checkpoints/attributions"))
    store.write(key, store.read(key)[:-1] + b"\0")
    assert list(verify(open_experiment(moved, tmp_path / "runs")[0], store))
