"""Image files: exact pixels where they are lossless, framing against a plain reference, damage by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeldiff_core.data import Plant, Watermark
from modeldiff_core.data.image_folder import ImageFolder
from modeldiff_core.data.images import Framing, decode, decode_images
from modeldiff_core.errors import ConfigError, DataError


def pixels(seed: int, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


def tree(root: Path, test: str = "test") -> Path:
    """Three PNG images a class for training, two for testing; image i of class c has seed 10c + i (+ 100 in test)."""
    for part, count, shift in (("train", 3, 0), (test, 2, 100)):
        for label, name in enumerate(("ant", "bee")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(pixels(10 * label + index + shift)).save(folder / f"{index}.png")
    return root


@pytest.mark.parametrize("test", ["test", "val"])
def test_a_folder_gives_its_pixels_in_sorted_order(tmp_path: Path, test: str) -> None:
    root = tree(tmp_path, test)
    (root / "train" / "ant" / "notes.txt").write_text("no image")
    (root / "train" / ".cache").mkdir()
    source = ImageFolder(folder=str(root), resolution=8)
    dataset = source.load()
    assert dataset.classes == ("ant", "bee")
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(dataset.train.images, [pixels(seed) for seed in (0, 1, 2, 10, 11, 12)])
    np.testing.assert_array_equal(dataset.test.images, [pixels(seed) for seed in (100, 101, 110, 111)])
    assert [path.relative_to(root).as_posix() for path in source.files()[:2]] == ["train/ant/0.png", "train/ant/1.png"]
    assert len(source.files()) == 10


def test_a_part_with_a_plant(tmp_path: Path) -> None:
    source = ImageFolder(
        folder=str(tree(tmp_path)), resolution=8, n_train=4, n_test=2, plant=Plant(1, 1.0, Watermark(0, 0, 2, 2))
    )
    dataset = source.load()
    assert dataset.train.labels.tolist() == [0, 0, 1, 1]
    assert len(source.files()) == 6
    known = {pixels(10 * label + index)[2:].tobytes(): label for label in range(2) for index in range(3)}
    assert [known[image[2:].tobytes()] for image in dataset.train.images] == [0, 0, 1, 1]
    assert (dataset.train.images[2:, :2, :2] == np.array([[255, 0], [0, 255]])[..., None]).all()
    with pytest.raises(ConfigError) as caught:
        ImageFolder(folder=str(tmp_path), resolution=8, n_train=7).load()
    assert caught.value.key == "dataset.n_train"


def test_every_mode_of_eight_bits_becomes_rgb(tmp_path: Path) -> None:
    colors = pixels(1)
    gray = colors[..., 0]
    images = {
        "rgb": (Image.fromarray(colors), colors),
        "grey": (Image.fromarray(gray), np.repeat(gray[..., None], 3, 2)),
        "alpha": (Image.fromarray(np.concatenate([colors, gray[..., None] | 255], 2)), colors),
        "bits": (Image.fromarray(gray > 127), np.repeat(np.where(gray > 127, 255, 0)[..., None], 3, 2)),
        "palette": (Image.fromarray(gray % 8).convert("P"), np.repeat((gray % 8)[..., None], 3, 2)),
    }
    for name, (image, expected) in images.items():
        image.save(tmp_path / f"{name}.png")
        decoded = decode(tmp_path / f"{name}.png", Framing(8)).pixels
        assert decoded.dtype == np.uint8
        np.testing.assert_array_equal(decoded, expected, err_msg=name)


def test_a_jpeg_is_decoded_to_its_colors(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 3), (200, 30, 90), np.uint8)).save(tmp_path / "plain.JPG", "JPEG", quality=95)
    decoded = decode(tmp_path / "plain.JPG", Framing(8)).pixels.astype(int)
    assert np.abs(decoded - (200, 30, 90)).max() <= 3


def resized_axis(image: np.ndarray, size: int) -> np.ndarray:
    """Triangle filter as wide as the reduction, along the first axis."""
    scale = len(image) / size
    width = max(scale, 1.0)
    centers = (np.arange(size) + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(len(image)) + 0.5 - centers[:, None]) / width)
    return np.einsum("oi,i...->o...", weights / weights.sum(1, keepdims=True), image.astype(float))


@pytest.mark.parametrize(
    ("height", "width", "resolution", "ratio"),
    [(24, 40, 8, 1.0), (40, 24, 8, 1.5), (17, 31, 10, 1.2), (6, 9, 8, 1.0), (30, 30, 12, 1.25)],
)
def test_framing_agrees_with_a_plain_reference(
    tmp_path: Path, height: int, width: int, resolution: int, ratio: float
) -> None:
    image = pixels(3, height, width)
    Image.fromarray(image).save(tmp_path / "x.png")
    short = round(resolution * ratio)
    new_height, new_width = (short * height // width, short) if height > width else (short, short * width // height)
    across = np.floor(resized_axis(image.transpose(1, 0, 2), new_width) + 0.5).transpose(1, 0, 2)
    whole = np.floor(resized_axis(across, new_height) + 0.5)
    top, left = round((new_height - resolution) / 2), round((new_width - resolution) / 2)
    expected = whole[top : top + resolution, left : left + resolution]
    decoded = decode(tmp_path / "x.png", Framing(resolution, ratio)).pixels.astype(float)
    assert decoded.shape == (resolution, resolution, 3)
    assert expected.std() > 5
    assert np.abs(decoded - expected).max() <= 1
    assert np.abs(decoded - expected).mean() < 0.02


def test_an_image_of_the_right_height_is_cut_not_resampled(tmp_path: Path) -> None:
    image = pixels(4, 8, 14)
    Image.fromarray(image).save(tmp_path / "x.png")
    np.testing.assert_array_equal(decode(tmp_path / "x.png", Framing(8)).pixels, image[:, 3:11])


def damaged(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    if kind == "cut short":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "flipped":
        raw = bytearray(whole)
        raw[len(raw) // 2] ^= 0xFF
        path.write_bytes(bytes(raw))
    elif kind == "text":
        path.write_bytes(b"<html>Not found</html>")
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        Image.fromarray(np.zeros((8, 8), np.uint16)).save(path)


@pytest.mark.parametrize("kind", ["cut short", "flipped", "text", "empty", "16 bits"])
def test_a_damaged_image_is_named_by_its_path(tmp_path: Path, kind: str) -> None:
    root = tree(tmp_path)
    for name in ("bee/1.png", "bee/2.png"):
        damaged(root / "train" / name, kind)
    with pytest.raises(DataError, match=r"train/bee/1\.png: (not an image that can be decoded|pixels of mode I)"):
        ImageFolder(folder=str(root), resolution=8).load()


def test_a_jpeg_cut_short_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(pixels(5, 32, 32)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"x\.jpg: not an image that can be decoded .*truncated"):
        decode(path, Framing(8))
    with pytest.raises(DataError, match=r"absent\.jpg"):
        decode_images([tmp_path / "absent.jpg"], Framing(8))


def test_an_image_too_large_to_be_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    Image.fromarray(pixels(6)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png: .*DecompressionBomb"):
        decode(tmp_path / "bomb.png", Framing(8))


def test_folders_at_fault_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path)
    (root / "test" / "wasp").mkdir()
    with pytest.raises(DataError, match=r"test/wasp: a class that .*train does not have"):
        ImageFolder(folder=str(root)).load()
    (root / "test" / "wasp").rmdir()
    for path in (root / "test" / "bee").iterdir():
        path.unlink()
    untested = ImageFolder(folder=str(root), resolution=8).load()
    assert untested.test.labels.tolist() == [0, 0]
    assert any("no test image is of bee" in words for words in untested.inventory.remarks)
    (root / "test" / "bee").rmdir()
    assert ImageFolder(folder=str(root), resolution=8).load().inventory.remarks == untested.inventory.remarks
    for path in (root / "test" / "ant").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="test: holds no image of the classes ant, bee"):
        ImageFolder(folder=str(root)).load()
    for path in (root / "train" / "bee").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="train/bee: holds no image"):
        ImageFolder(folder=str(root)).load()
    (root / "empty" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="empty/train: holds no folder of a class"):
        ImageFolder(folder=str(root / "empty")).load()
    with pytest.raises(ConfigError) as caught:
        ImageFolder(folder=str(root / "absent")).load()
    assert caught.value.key == "dataset.folder"


@pytest.mark.parametrize(("resolution", "ratio", "key"), [(0, 1.0, "resolution"), (8, 0.9, "resize_ratio")])
def test_framing_that_cannot_be(resolution: int, ratio: float, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ImageFolder(folder=".", resolution=resolution, resize_ratio=ratio)
    assert caught.value.key == f"dataset.{key}"
