"""Image files: decoded upright to one size, each that cannot be read named by its path."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from modeldiff_core.data.memory import room_for
from modeldiff_core.data.progress import counted
from modeldiff_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)

TURNED = "turned upright by their EXIF tag"
COMPOSITED = "with transparent pixels, laid on the background (dataset.background)"
FIRST_FRAME = "of several frames, of which the first is taken"
REDUCED = "reduced from 16 to 8 bits"
CUT = "more than half cut away: longer than twice their width"
ENLARGED = "enlarged more than fourfold"
ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held; 1 is upright."""
TURNS = range(2, 9)
LONG = 16
"""From this ratio of the sides on the middle is cut out before it is resized, since the whole could fill memory."""


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


@dataclass(frozen=True)
class Decoded:
    """An image as it is taken, and what was done to it that a reader of the file would not expect."""

    pixels: UInt8[np.ndarray, "height width 3"]
    changes: tuple[str, ...] = ()


def decode(path: Path, framing: Framing, background: Color = WHITE) -> Decoded:
    """Return one image as RGB in 0..255, upright and framed; what is transparent is laid on the background.

    Raises DataError that names the file if it is missing, damaged, or deeper than 8 bits a pixel of gray.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                deep = ";16" in str(getattr(image, "tile", ""))
                # Pillow turns a TIFF while it is loaded, and takes its tag away.
                turned = image.format == "TIFF" and _orientation(image) in TURNS
                image.load()
                turned |= _orientation(image) in TURNS
                if image.mode.startswith(("I", "F")):
                    raise DataError(f"{path}: pixels of mode {image.mode}; 8-bit images are taken: convert it first")
                rgb, transparent = _on_background(_upright(image), background)
                several = getattr(image, "n_frames", 1) > 1
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for damaged bytes
        raise DataError(f"{path}: not an image that can be decoded ({type(error).__name__}: {error})") from error
    short, long = sorted(rgb.size)
    cut, enlarged = long > 2 * short, framing.resolution > 4 * short
    told = (TURNED, turned), (COMPOSITED, transparent), (REDUCED, deep), (FIRST_FRAME, several)
    changes = [words for words, holds in (*told, (CUT, cut), (ENLARGED, enlarged)) if holds]
    return Decoded(_framed(rgb, framing), tuple(changes))


def _orientation(image: "Picture") -> int:
    """Return the value of a loaded image's EXIF tag; 1 where there is none, or what holds it is damaged."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow reads EXIF as TIFF, whose reader raises many kinds
        return 1


def _upright(image: "Picture") -> "Picture":
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if _orientation(image) in TURNS else image


def _on_background(image: "Picture", background: Color) -> tuple["Picture", bool]:
    """Return the image as RGB, and whether any pixel let the background through."""
    from PIL import Image

    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        lowest, _ = pixels.getchannel("A").getextrema()
        if lowest != 255:
            return Image.alpha_composite(Image.new("RGBA", pixels.size, (*background, 255)), pixels).convert(
                "RGB"
            ), True
    return image.convert("RGB"), False


def _framed(rgb: "Picture", framing: Framing) -> UInt8[np.ndarray, "height width 3"]:
    from PIL import Image

    short, long = sorted(rgb.size)
    if long > LONG * short:
        (width, height), side = rgb.size, LONG // 2 * short
        left, top = max(0, (width - side) // 2), max(0, (height - side) // 2)
        rgb = rgb.crop((left, top, min(width, left + side), min(height, top + side)))
    size = framing.resized(*rgb.size)
    if size != rgb.size:
        rgb = rgb.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - framing.resolution) / 2) for side in size)
    return np.asarray(rgb.crop((left, top, left + framing.resolution, top + framing.resolution)))


def decode_images(
    paths: Sequence[Path],
    framing: Framing,
    background: Color = WHITE,
    note: Callable[[str, Path], None] = lambda change, path: None,
) -> UInt8[np.ndarray, "examples height width 3"]:
    """Return all images in the order of their paths, decoded on every core.

    note: is called with every change, in the order of the paths. Raises DataError for the first that is damaged.
    """
    images = room_for((len(paths), framing.resolution, framing.resolution, 3))

    def fill(position: int) -> tuple[str, ...]:
        one = decode(paths[position], framing, background)
        images[position] = one.pixels
        return one.changes

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = counted(pool.map(fill, range(len(paths))), len(paths), "decoding images")
        for path, changes in zip(paths, done, strict=True):
            for change in changes:
                note(change, path)
    return images
