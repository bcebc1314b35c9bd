"""The paper's case studies at scale=smoke: every stage on small files in the original layouts."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from modeldiff_core.data.living17 import LIVING17
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.models import architecture_of
from modeldiff_core.plan import NoProgress
from modeldiff_core.store import read_record
from modeldiff_platform.flows.cli.compose import request

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RNG = np.random.default_rng(0)


def cifar10(root: Path) -> Path:
    """cifar-10-batches-bin: a label's byte and 3,072 bytes of pixels an image, in five batches and a test batch."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n")
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        labels = np.arange(30) % 10
        pixels = RNG.integers(0, 100, (30, 3, 32, 32))
        pixels[np.arange(30), labels % 3] += 100  # a third of the channels tells something of the class
        records = np.concatenate([labels[:, None], pixels.reshape(30, -1)], axis=1)
        (folder / f"{name}.bin").write_bytes(records.astype(np.uint8).tobytes())
    return folder


def painted(label: int, side: int) -> Image.Image:
    """Noise with a bright block whose place depends on the class."""
    pixels = RNG.integers(0, 160, (side, side, 3))
    pixels[2 * (label % 5) : 2 * (label % 5) + 6, 2 * (label // 5) : 2 * (label // 5) + 6] = 250
    return Image.fromarray(pixels.astype(np.uint8))


def imagenet(root: Path) -> Path:
    """train/SYNSET/*.JPEG and val/SYNSET/*.JPEG of the 68 classes."""
    for part, count in (("train", 6), ("val", 1)):
        for label, synsets in enumerate(LIVING17.values()):
            for synset in synsets:
                folder = root / part / synset
                folder.mkdir(parents=True)
                for number in range(count):
                    painted(label, 28).save(folder / f"{synset}_{number}.JPEG")
    return root


def waterbirds(root: Path) -> Path:
    """metadata.csv and the images that it names; 95 % of the training images of a bird on its own background."""
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    for number in range(130):
        split, y = (0 if number < 90 else 2), number % 2
        place = y if number % (20 if split == 0 else 2) else 1 - y
        name = f"{number:03d}.Bird/Bird_{number}.jpg"
        (root / name).parent.mkdir(parents=True)
        painted(5 * y + place, 32).save(root / name)
        lines.append(f"{number + 1},{name},{y},{split},{place},/b/bamboo_forest/{number}.jpg")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def finished(root: Path, *overrides: str) -> tuple[dict[str, Any], Any]:
    """Run a study in this process and return its summary and what it shows."""
    asked = request(["scale=smoke", *overrides])
    shown = run_study(asked.study, root, progress=NoProgress())
    experiment, store = open_experiment(asked.study, root)
    return read_record(store, experiment.summary.record), shown


def check(summary: dict[str, Any], shown: Any, tests: set[str]) -> None:
    assert {one["name"] for one in summary["transformations"]} >= tests
    assert all(np.isfinite(one["effect"][side]) for one in summary["transformations"] for side in "ab")
    assert any(abs(one["effect"]["a"]) > 1e-4 for one in summary["transformations"])
    assert len(summary["directions"]) >= 3
    assert Path(shown.links["Report"].removeprefix("file://")).is_file()


MARKS = {*(f"texture_{size}" for size in (4, 5, 6)), *(f"rectangle_{size}" for size in (5, 6, 7, 8, 9))}


def test_cifar10_sgd_noise(tmp_path: Path) -> None:
    folder = cifar10(tmp_path)
    summary, shown = finished(tmp_path / "runs", "study=cifar10_sgd_noise", f"dataset.folder={folder}")
    check(summary, shown, MARKS)
    assert summary["verdict"]["answer"] in ("different", "equivalent", "undecided")
    assert [summary["algorithms"][side]["name"] for side in "ab"] == ["high noise", "low noise"]


@pytest.mark.nightly
def test_the_middle_level_by_metagradients(tmp_path: Path) -> None:
    given = ("study=cifar10_sgd_noise_middle", f"dataset.folder={cifar10(tmp_path)}", "comparison.method=matrix_free")
    smaller = ("comparison.matrix_free.trainings=2", "comparison.matrix_free.probes=2")
    summary, shown = finished(tmp_path / "runs", *given, *smaller)
    check(summary, shown, MARKS)
    assert [summary["algorithms"][side]["name"] for side in "ab"] == ["middle noise", "low noise"]


@pytest.mark.nightly
def test_living17_augmentation(tmp_path: Path) -> None:
    folder = imagenet(tmp_path / "imagenet")
    summary, shown = finished(tmp_path / "runs", "study=living17_augmentation", f"dataset.folder={folder}")
    check(summary, shown, {"spider_web", "polka_dots"})


@pytest.mark.nightly
def test_waterbirds_pretraining(tmp_path: Path) -> None:
    """A starts from a file of weights, and a picture of one's own is the face."""
    (tmp_path / "birds").mkdir()
    folder, weights, face = waterbirds(tmp_path / "birds"), tmp_path / "weights.safetensors", tmp_path / "face.png"
    torch.manual_seed(0)
    net = architecture_of("cnn").build((20, 20, 3), (4, 8), 2)
    save_file({name: value.clone().contiguous() for name, value in net.state_dict().items()}, weights)
    painted(3, 40).save(face)
    sha256 = hashlib.sha256(face.read_bytes()).hexdigest()
    summary, shown = finished(
        tmp_path / "runs",
        "study=waterbirds_pretraining",
        f"dataset.folder={folder}",
        f"algorithm_a.recipe.network.init={weights}",
        "transformation@transformations=waterbirds_face",
        f"transformations.face_60.parameters.picture={face}",
        f"transformations.face_60.parameters.sha256={sha256}",
    )
    check(summary, shown, {"yellow_square", *(f"face_{size}" for size in (60, 80, 100, 120))})
