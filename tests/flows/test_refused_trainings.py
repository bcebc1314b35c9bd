"""What no model could be trained from is refused before any is, with the key of the configuration at fault."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modeldiff_core.models import ARCHITECTURES
from modeldiff_platform.flows.cli import main

LARGER = "algorithm_b.recipe.augmentations=[{kind:resize,height:12,width:12}]"
RESNET9 = (
    "algorithm@algorithm_b=resnet9",
    "algorithm_b.name=resnet",
    "algorithm_b.recipe.mean=0.5",
    "algorithm_b.recipe.scale=0.5",
)

Told = Callable[..., str]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """The one line that a refused comparison says; nothing was trained and nothing stored."""
    monkeypatch.setattr("modeldiff_core.training.sgd.Sgd.train", lambda *args: pytest.fail("it was trained"))

    def refused(*overrides: str) -> str:
        code = main(["compare", f"store.root={tmp_path / 'store'}", *overrides])
        said = capsys.readouterr().err
        assert code == 2, said
        assert not list(tmp_path.glob("store/trainings/**/*"))
        assert said.count("\n") == 1
        return said

    return refused


def weights(kind: str, folder: Path, *, pickled: bool = False) -> Path:
    path = folder / f"{kind}.safetensors"
    state = ARCHITECTURES.get(kind).build((12, 12, 1), ARCHITECTURES.get(kind).widths, 10).state_dict()
    torch.save(state, path) if pickled else save_file(state, path)
    return path


def test_a_checkpoint_of_another_architecture(told: Told, tmp_path: Path) -> None:
    path = weights("lenet", tmp_path)
    said = told(f"+algorithm_a.recipe.network.init={path}")
    assert "algorithm_a.recipe.network.init: expected weights of mlp" in said
    assert str(path) in said


def test_a_pickle_where_safetensors_is_expected(told: Told, tmp_path: Path) -> None:
    path = weights("mlp", tmp_path, pickled=True)
    said = told(f"+algorithm_b.recipe.network.init={path}")
    assert "algorithm_b.recipe.network.init: expected a file in the format of its name, safetensors" in said
    assert "Pickles end in .pt or .pth" in said


def test_more_ffcv_workers_than_cores(told: Told) -> None:
    cores = len(os.sched_getaffinity(0))
    assert f"runner.ffcv_workers: expected 1 to {cores}" in told(f"runner.ffcv_workers={cores + 1}")


@pytest.mark.parametrize(("there", "asked", "missing"), [(0, "cuda", "cuda"), (1, "cuda:0,cuda:1", "cuda:1")])
def test_a_gpu_that_is_not_there(
    told: Told, monkeypatch: pytest.MonkeyPatch, there: int, asked: str, missing: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    said = told(f"runner.devices=[{asked}]")
    assert f"runner.devices: expected cpu, or one of the {there} CUDA devices of this machine, got '{missing}'" in said


@pytest.mark.parametrize("device", ["gpu0", "mps", "meta"])
def test_a_device_that_cannot_be_computed_on(told: Told, device: str) -> None:
    said = told(f"runner.devices=[{device}]")
    assert "runner.devices: expected a torch device" in said
    assert f"got '{device}'" in said


def test_a_device_that_is_named_twice(told: Told) -> None:
    said = told("runner.devices=[cuda:0,cuda:0]")
    assert "runner.devices: expected " in said
    assert "runner.processes_a_device" in said


@pytest.mark.parametrize("kind", ["resnet9", "lenet", "resnet18"])
def test_images_that_an_architecture_cannot_take(told: Told, kind: str) -> None:
    network = f"+algorithm_b.recipe.network={{kind:{kind},widths:null}}"
    said = told(*RESNET9, network, "algorithm_b.recipe.augmentations=[]")
    assert "algorithm_b.recipe.network.kind: expected an architecture for 8×8 images" in said
    assert f"got '{kind}'" in said


@pytest.mark.parametrize(
    ("batch_size", "size"), [(499, 500), (27, 1000)], ids=["of a subset", "of all training examples"]
)
def test_a_last_batch_of_one_image_under_batch_normalization(told: Told, batch_size: int, size: int) -> None:
    said = told(*RESNET9, LARGER, f"algorithm_b.recipe.batch_size={batch_size}")
    assert "algorithm_b.recipe.batch_size: expected a size that leaves no batch of one" in said
    assert f"got {batch_size}" in said
    assert f"The last batch of {size} examples has one" in said


@pytest.mark.parametrize(("entry", "position"), [("[{}]", 0), ("[{kind:flip},{pixels:2}]", 1)])
def test_an_augmentation_that_does_not_say_its_kind(told: Told, entry: str, position: int) -> None:
    said = told(f"algorithm_b.recipe.augmentations={entry}")
    assert f"algorithm_b.recipe.augmentations.{position}.kind: expected one of flip, translate, erase, " in said
    assert "resize" in said
