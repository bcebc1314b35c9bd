"""Image files: found in folders, decoded to one size, each that cannot be read named by its path."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from modeldiff_core.data.memory import room_for
from modeldiff_core.data.progress import counted
from modeldiff_core.errors import ConfigError, DataError

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
IMAGE_SUFFIXES = JPEG_SUFFIXES | {".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Framing:
    """How an image of any size becomes resolution × resolution pixels.

    The shorter side is resized to round(resolution · resize_ratio) pixels and the longer one in proportion (rounded
    down), bilinear with antialiasing; then the central square is cut out. An image whose shorter side has that
    length already is not resampled.
    """

    resolution: int
    resize_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.resolution < 1:
            raise ConfigError("dataset.resolution", "1 pixel or more", self.resolution)
        if not 1 <= self.resize_ratio <= 8:
            raise ConfigError("dataset.resize_ratio", "a number in 1..8", self.resize_ratio)

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height before the cut."""
        short = round(self.resolution * self.resize_ratio)
        if width <= height:
            return short, max(short, short * height // width)
        return max(short, short * width // height), short


def image_files(folder: Path) -> list[Path]:
    """Return the image files that lie in a folder, by name; raises DataError if it is not there or holds none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    with os.scandir(folder) as entries:  # Path.iterdir asks the disk again for each of ImageNet's files
        names = sorted(e.name for e in entries if Path(e.name).suffix.lower() in IMAGE_SUFFIXES and e.is_file())
    if not names:
        raise DataError(f"{folder}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return [folder / name for name in names]


def decode_image(path: Path, framing: Framing) -> UInt8[np.ndarray, "height width 3"]:
    """One image as RGB in 0..255, framed. Transparency is dropped, an orientation tag is not followed.

    Raises DataError that names the file if it is missing, damaged, or deeper than 8 bits.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                if image.mode.startswith(("I", "F")):
                    raise DataError(f"{path}: pixels of mode {image.mode}; 8-bit images are taken")
                rgb = image.convert("RGB")
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for damaged bytes
        raise DataError(f"{path}: not an image that can be decoded ({type(error).__name__}: {error})") from error
    size = framing.resized(*rgb.size)
    if size != rgb.size:
        rgb = rgb.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - framing.resolution) / 2) for side in size)
    return np.asarray(rgb.crop((left, top, left + framing.resolution, top + framing.resolution)))


def decode_images(paths: Sequence[Path], framing: Framing) -> UInt8[np.ndarray, "examples height width 3"]:
    """All images in the order of their paths, decoded on every core; raises DataError for the first that is damaged."""
    images = room_for((len(paths), framing.resolution, framing.resolution, 3))

    def fill(position: int) -> None:
        images[position] = decode_image(paths[position], framing)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in counted(pool.map(fill, range(len(paths))), len(paths), "decoding images"):
            pass
    return images
