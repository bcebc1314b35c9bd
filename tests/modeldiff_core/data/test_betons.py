"""FFCV files: what is written comes back exactly, and damage is named."""

import subprocess
import sys
from importlib.util import find_spec
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core.data import Examples, betons
from modeldiff_core.errors import ConfigError, DataError

pytestmark = pytest.mark.skipif(find_spec("ffcv") is None, reason="there is no FFCV")  # imported where it is used


def random_examples(n: int, shape: tuple[int, int, int], seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    metadata = {
        "background": rng.integers(0, 2, n).astype(bool),
        "group": rng.integers(-5, 2**40, n),
        "share": rng.random(n, dtype=np.float32),
        "place": np.array([f"ocean/{i} é" for i in range(n)]),
    }
    return Examples(rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, 10, n), metadata)


def smooth_examples(n: int) -> Examples:
    """Waves of color, which JPEG changes little."""
    at = np.arange(32)
    phase = np.arange(n)[:, None, None, None]
    waves = np.sin(at[:, None, None] / 9 + at[None, :, None] / 7 + np.arange(3) / 9 + phase)
    return Examples((127 + 120 * waves).astype(np.uint8), np.arange(n))


@pytest.mark.parametrize("shape", [(8, 6, 3), (6, 8, 1), (5, 5, 4)])
def test_raw_images_labels_and_metadata_come_back_exactly(shape: tuple[int, int, int], tmp_path: Path) -> None:
    written = random_examples(23, shape)
    betons.write_beton(written, tmp_path / "new" / "some.beton")
    read = betons.read_beton(tmp_path / "new" / "some.beton")
    assert betons.open_beton(tmp_path / "new" / "some.beton").image_shape == shape
    np.testing.assert_array_equal(read.images, written.images)
    np.testing.assert_array_equal(read.labels, written.labels)
    assert list(read.metadata) == list(written.metadata)
    for name, column in written.metadata.items():
        assert read.metadata[name].dtype == column.dtype
        np.testing.assert_array_equal(read.metadata[name], column)


def test_images_larger_than_a_page_and_from_a_file_on_disk(tmp_path: Path) -> None:
    images = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(3, 900, 900, 3))
    images[:] = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    assert images[0].nbytes > 2**21
    betons.write_beton(Examples(images, np.arange(3)), tmp_path / "some.beton")
    np.testing.assert_array_equal(betons.read_beton(tmp_path / "some.beton").images, images)


def test_jpeg_is_close_and_not_exact(tmp_path: Path) -> None:
    written = smooth_examples(20)
    betons.write_beton(written, tmp_path / "some.beton", jpeg=True)
    read = betons.read_beton(tmp_path / "some.beton")
    error = np.abs(read.images.astype(int) - written.images)
    assert 0 < error.mean() < 4
    assert written.images.std() > 50
    np.testing.assert_array_equal(read.labels, written.labels)


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, first = tmp_path / "some.beton", random_examples(9, (4, 4, 3))
    betons.write_beton(first, path)
    writer = betons.ffcv_module("writer")
    shared: list[SharedMemory] = []

    def recorded(**arguments: Any) -> SharedMemory:
        shared.append(SharedMemory(**arguments))
        return shared[-1]

    def fail(sample: tuple[object, ...], position: int, *rest: object) -> None:
        if position == 5:
            raise OSError("no space left")

    monkeypatch.setattr(writer, "handle_sample", fail)
    monkeypatch.setattr(writer.shared_memory, "SharedMemory", recorded)
    with pytest.raises(OSError, match="no space left"):
        betons.write_beton(random_examples(9, (4, 4, 3), seed=1), path)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        SharedMemory(shared[0].name)
    np.testing.assert_array_equal(betons.read_beton(path).images, first.images)


@pytest.mark.parametrize("kept", [0, 1, 20, 1000, 0.5, 0.999, -1])
def test_a_file_cut_short_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "some.beton"
    betons.write_beton(random_examples(9, (4, 4, 3)), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(DataError, match=r"some\.beton"):
        betons.open_beton(path)


def test_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "noise.beton").write_bytes(np.random.default_rng(0).bytes(50_000))
    for name, said in (("noise.beton", "not a readable beton"), ("none.beton", "no such file")):
        with pytest.raises(DataError, match=rf"{name}: {said}"):
            betons.open_beton(tmp_path / name)


def test_betons_of_other_makers_are_named(tmp_path: Path) -> None:
    fields, writer = betons.ffcv_module("fields"), betons.ffcv_module("writer")
    usual = {"image": fields.RGBImageField(), "label": fields.IntField(), "position": fields.IntField()}
    small, large = np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)
    cases = {
        "other fields": ({"covariate": fields.FloatField(), "label": fields.IntField()}, [(0.5, 1), (0.7, 2)]),
        "other fields .*FloatField": ({**usual, "weight": fields.FloatField()}, [(small, 1, 0, 0.5)]),
        "not in their order": (usual, [(small, 1, 1), (small, 1, 0)]),
        "several sizes": (usual, [(small, 1, 0), (large, 1, 1)]),
    }
    for said, (own, samples) in cases.items():
        writer.DatasetWriter(str(tmp_path / "foreign.beton"), own, num_workers=1).from_indexed_dataset(samples)
        with pytest.raises(DataError, match=rf"foreign\.beton: .*{said}"):
            betons.open_beton(tmp_path / "foreign.beton")


def test_a_damaged_jpeg_is_named_by_its_position(tmp_path: Path) -> None:
    path = tmp_path / "some.beton"
    betons.write_beton(smooth_examples(6), path, jpeg=True)
    beton = betons.open_beton(path)
    at = int(beton.table(betons.IMAGE)[4]["data_ptr"])
    data = bytearray(path.read_bytes())
    data[at : at + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"some\.beton: image 4 is not a readable JPEG"):
        betons.read_beton(path)


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    gray, empty = random_examples(3, (4, 4, 1)), random_examples(0, (4, 4, 3))
    with pytest.raises(ConfigError, match="3 channels, got 1"):
        betons.write_beton(gray, tmp_path / "some.beton", jpeg=True)
    with pytest.raises(DataError, match="no examples"):
        betons.write_beton(empty, tmp_path / "some.beton")
    for name in ("a name of sixteen", "é", "", "label"):
        with pytest.raises(DataError, match="1 to 15 ASCII characters"):
            betons.write_beton(Examples(gray.images, gray.labels, {name: np.zeros(3)}), tmp_path / "some.beton")
    objects = np.array([{}, [], None], object)
    with pytest.raises(DataError, match="holds Python objects"):
        betons.write_beton(Examples(gray.images, gray.labels, {"o": objects}), tmp_path / "some.beton")
    masks = np.zeros((3, 4, 4), dtype=bool)
    with pytest.raises(DataError, match="one value an example, not masks"):
        betons.write_beton(Examples(gray.images, gray.labels, {"mask": masks}), tmp_path / "some.beton")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named_with_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(betons, "PACKAGES", {**betons.PACKAGES, "no_such_module": "no-such-package"})
    with pytest.raises(ConfigError, match=r"no-such-package.*pip install 'modeldiff-platform\[ffcv\]'"):
        betons.ffcv_module("writer")


def test_importing_ffcv_leaves_torch_its_threads() -> None:
    code = (
        "import sys, torch; from modeldiff_core.data.betons import ffcv_module;"
        "assert 'ffcv' not in sys.modules; torch.set_num_threads(2); ffcv_module('writer');"
        "ffcv_module('pipeline.compiler').Compiler.set_num_threads(1); print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"
