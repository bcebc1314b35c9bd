"""``modeldiff data build``: what it writes, when betons are written, and what it refuses."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modeldiff_core.study import load_dataset
from modeldiff_core.study.config import DatasetConfig
from modeldiff_platform.flows.cli import main

PIXELS = np.random.default_rng(0).integers(256, size=(12, 8, 8, 3), dtype=np.uint8)


def tree(root: Path, suffix: str = "png") -> Path:
    """Four training and two test images of each of two classes."""
    for number, image in enumerate(PIXELS):
        folder = root / ("train" if number < 8 else "test") / ("ant", "bee")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02d}.{suffix}")
    return root


def build(root: Path, out: Path, *overrides: str) -> int:
    """The verb on a folder of images of 8×8."""
    folder = ["dataset=image_folder", f"dataset.folder={root}", "dataset.resolution=8"]
    return main(["data", "build", *folder, f"data.out={out}", *overrides])


def manifest(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return content


def test_the_manifest_and_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tree(tmp_path / "images"), tmp_path / "deep" / "out"
    assert build(root, out, "dataset.n_train=6") == 0
    record = manifest(out)
    assert record["kind"] == "image_folder"
    assert record["settings"]["n_train"] == 6
    assert record["splits"]["train"]["by_class"] == {"ant": 3, "bee": 3}
    assert record["splits"]["test"]["by_class"] == {"ant": 2, "bee": 2}
    assert record["betons"] == {}
    assert len(record["files"]) == 10
    for name, checksum in record["files"].items():
        assert hashlib.sha256((root / name).read_bytes()).hexdigest() == checksum
    told = capsys.readouterr().out
    assert f"image_folder: 8×8×3 pixels, metadata: none, fingerprint {record['fingerprint'][:8]}" in told
    assert [line.split() for line in told.splitlines() if "ant" in line] == [["label", "0:", "ant", "3", "2"]]
    assert record["inventory"]["train"] == 6
    assert record["inventory"]["classes"][1] == {"label": 1, "name": "bee", "written": "", "train": 3, "test": 2}
    assert f"Manifest: {out / 'manifest.json'}" in told


def test_the_same_values_give_the_same_fingerprint(tmp_path: Path) -> None:
    root = tree(tmp_path / "images")
    assert build(root, tmp_path / "one") == build(root, tmp_path / "two") == 0
    assert manifest(tmp_path / "one") == manifest(tmp_path / "two")
    Image.fromarray(255 - PIXELS[3]).save(root / "train" / "bee" / "03.png")
    # In a process of its own a dataset is read anew; here it is kept from the builds before.
    assert build(root, tmp_path / "three", "dataset.seed=1") == 0
    assert manifest(tmp_path / "three")["fingerprint"] != manifest(tmp_path / "one")["fingerprint"]
    assert manifest(tmp_path / "three")["files"] != manifest(tmp_path / "one")["files"]


def test_a_source_without_files_and_one_in_an_archive(tmp_path: Path) -> None:
    assert main(["data", "build", "dataset=digits", "dataset.n_train=50", f"data.out={tmp_path / 'digits'}"]) == 0
    assert manifest(tmp_path / "digits")["files"] == {}
    assert manifest(tmp_path / "digits")["splits"]["train"]["examples"] == 50
    arrays = {"x_train": PIXELS[:8], "y_train": np.arange(8) % 2, "x_test": PIXELS[8:], "y_test": np.arange(4) % 2}
    np.savez(tmp_path / "x.npz", **arrays)
    request = ["data", "build", "dataset=npz", f"dataset.path={tmp_path / 'x.npz'}", f"data.out={tmp_path / 'npz'}"]
    assert main(request) == 0
    assert list(manifest(tmp_path / "npz")["files"]) == ["x.npz"]


@pytest.mark.parametrize(
    ("suffix", "overrides", "written"),
    [
        ("png", (), False),
        ("png", ("data.beton=true",), True),
        ("png", ("data.memory_share=1e-9",), True),
        ("jpg", (), True),
        ("jpg", ("data.beton=false",), False),
        ("png", ("data.beton=false", "data.memory_share=1e-9"), False),
    ],
)
def test_betons_are_written_where_they_are_of_use(
    tmp_path: Path, suffix: str, overrides: tuple[str, ...], written: bool
) -> None:
    pytest.importorskip("ffcv")
    out = tmp_path / "out"
    assert build(tree(tmp_path / "images", suffix), out, *overrides) == 0
    betons = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.beton")}
    assert sorted(betons) == (["test.beton", "train.beton"] if written else [])
    assert manifest(out)["betons"] == betons


def test_a_beton_holds_the_images_and_labels(tmp_path: Path) -> None:
    pytest.importorskip("ffcv")
    from modeldiff_core.data.betons import read_beton

    out = tmp_path / "out"
    assert build(tree(tmp_path / "images"), out, "data.beton=true") == 0
    train = read_beton(out / "train.beton")
    np.testing.assert_array_equal(train.images, PIXELS[[0, 2, 4, 6, 1, 3, 5, 7]])
    assert train.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_without_ffcv_betons_are_left_out_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modeldiff_core.data.betons.PACKAGES", {"no_such_module": "no-such-package"})
    root = tree(tmp_path / "images", "jpg")
    assert build(root, tmp_path / "auto") == 0
    assert "no betons are written" in capsys.readouterr().err
    assert manifest(tmp_path / "auto")["betons"] == {}
    assert build(root, tmp_path / "true", "data.beton=true") == 2
    message = capsys.readouterr().err
    assert "data.beton: " in message
    assert "no-such-package" in message
    assert not (tmp_path / "true" / "manifest.json").exists()


def test_a_build_that_fails_leaves_no_manifest_of_an_earlier_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ffcv")
    request = ["data", "build", "dataset=digits", "dataset.n_train=50", f"data.out={tmp_path}"]
    assert main([*request, "data.beton=true"]) == 0
    assert (tmp_path / "manifest.json").is_file()
    assert main([*request, "data.beton=true", "data.jpeg=true"]) == 2
    assert "data.jpeg: expected images of 3 channels" in capsys.readouterr().err
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("dataset=cifar10",), ["dataset.folder: expected a value", "add dataset.folder="]),
        (("dataset=npz",), ["dataset.path: expected a value"]),
        (("dataset=nope",), ["dataset: expected one of", "cifar10", "waterbirds", "nope"]),
        (("dataset.kind=nope",), ["dataset.kind", "image_folder", "nope"]),
        (("dataset=cifar10", "dataset.folder=/absent"), ["dataset.folder", "/absent"]),
        (("dataset.nonsense=1",), ["dataset.nonsense"]),
        (("+dataset.nonsense=1",), ["dataset.nonsense", "n_train"]),
        (("data.nonsense=1",), ["data.nonsense"]),
        (("+data.nonsense=1",), ["data.nonsense"]),
        (("data.beton=perhaps",), ["data.beton: ", "auto", "perhaps"]),
        (("data.memory_share=2",), ["data.memory_share", "2"]),
        (("dataset=living17", "dataset.folder=.", "dataset.resolution=0"), ["dataset.resolution", "0"]),
        (("dataset=waterbirds", "dataset.folder=.", "dataset.test_split=train"), ["dataset.test_split", "train"]),
        (("dataset=mnist", "dataset.folder=.", "dataset.classes=[a,a]"), ["dataset.classes", "distinct"]),
    ],
)
def test_the_key_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: tuple[str, ...], words: list[str]
) -> None:
    assert main(["data", "build", f"data.out={tmp_path / 'out'}", *overrides]) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message
    assert message.count("\n") == 1
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_place_to_write_is_asked_for_and_must_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "build", "dataset=digits"]) == 2
    assert "data.out: expected a value" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["data", "build", "dataset=digits", f"data.out={tmp_path / 'file' / 'x'}"]) == 2
    assert "data.out: expected a folder that can be written" in capsys.readouterr().err
    assert main(["plan", f"data.out={tmp_path}"]) == 2
    assert "data.out" in capsys.readouterr().err


def test_a_damaged_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tree(tmp_path / "images")
    path = root / "test" / "bee" / "09.png"
    path.write_bytes(path.read_bytes()[:60])
    assert build(root, tmp_path / "out") == 2
    assert "test/bee/09.png: not an image that can be decoded" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_the_table_is_in_the_manifest_and_stays_with_what_was_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ffcv")
    root, out = tree(tmp_path / "images"), tmp_path / "out"
    (root / "train" / "ant" / ".hidden.png").write_bytes(b"x")
    (root / "test" / "bee" / "again.png").write_bytes((root / "train" / "ant" / "00.png").read_bytes())
    os.rename(root / "train" / "ant" / "02.png", os.fsencode(root) + b"/train/ant/caf\xe9.png")  # noqa: PTH104 - bytes
    assert build(root, out, "data.beton=true") == 0
    told = capsys.readouterr()
    assert "hidden (name begins with a dot)" in told.out
    assert "1 training and 1 test images are exact copies in training and test alike" in told.err
    record = manifest(out)
    assert "train/ant/caf\\xe9.png" in record["files"]
    assert record["inventory"]["left_out"][0]["names"] == ["train/ant/.hidden.png"]
    again = DatasetConfig.model_validate({"kind": "built", "folder": str(out)})
    assert load_dataset(again).inventory.plain() == record["inventory"]


def numbered(root: Path) -> Path:
    """Three classes that are numbers, in folders; every pixel of an image is its class."""
    for name in ("10", "2", "1"):
        for part, count in (("train", 3), ("test", 2)):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(np.full((8, 8, 3), int(name), np.uint8))
                image.save(root / part / name / f"{number}.png")
    return root


def test_classes_that_are_numbers_stand_in_their_order_and_old_builds_keep_theirs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ffcv")
    root, new, old = numbered(tmp_path / "images"), tmp_path / "new", tmp_path / "old"
    assert build(root, new, "data.beton=true") == 0
    said = capsys.readouterr()
    labels = [line.split()[1:3] for line in said.out.splitlines() if "label" in line]
    assert labels == [["0:", "1"], ["1:", "2"], ["2:", "10"]]
    assert "natural order, 1, 2, 10; dataset.class_order=text labels them 1, 10, 2, as version 0.1 did" in said.err

    assert build(root, old, "data.beton=true", "dataset.class_order=text") == 0
    record = manifest(old)
    del record["inventory"], record["settings"]["class_order"]  # as version 0.1 wrote it
    (old / "manifest.json").write_text(json.dumps(record))
    for out, classes in ((new, ("1", "2", "10")), (old, ("1", "10", "2"))):
        built = load_dataset(DatasetConfig.model_validate({"kind": "built", "folder": str(out)}))
        assert built.classes == classes
        for part in built.train, built.test:
            assert [classes[label] for label in part.labels] == [str(image[0, 0, 0]) for image in part.images]
            assert len(set(part.labels.tolist())) == 3

    capsys.readouterr()
    assert build(root, old) == 0
    assert "had the classes in the order 1, 10, 2, and now has them in the order 1, 2, 10" in capsys.readouterr().err
    assert build(root, old) == 0
    assert "had the classes" not in capsys.readouterr().err


def test_names_that_no_terminal_can_show_stop_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path / "images")
    for part in ("train", "test"):
        os.rename(os.fsencode(root / part / "ant"), os.fsencode(root / part) + b"/caf\xe9")  # noqa: PTH104 - bytes
        (root / part / "bee").rename(root / part / "猫")
    folder = ["dataset=image_folder", f"dataset.folder={root}", "dataset.resolution=8", f"data.out={tmp_path}/out"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "modeldiff_platform.flows.cli", "data", "build", *folder]
    found = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
    assert found.returncode == 0, found.stderr
    assert b"Traceback" not in found.stderr
    assert b"label 1: \\u732b" in found.stdout
    assert manifest(tmp_path / "out")["classes"] == ["caf\\xe9", "猫"]
