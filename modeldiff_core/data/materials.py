"""Crops of photographs and textures that scikit-learn and scikit-image bring, as backgrounds of other images."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from modeldiff_core.errors import ConfigError
from modeldiff_core.images import Images, luminance, to_pixels

Part = Literal["train", "test"]
PHOTOGRAPHS = {"china": 0.25, "flower": 0.25, "chelsea": 0.25, "coffee": 0.25, "rocket": 0.25, "motorcycle_left": 0.25}
"""Photographs, and by how much they are scaled down, so that a crop shows things and not a surface."""
TEXTURES = {"brick": 0.5, "grass": 1.0, "gravel": 0.5}
"""Gray surfaces, and their scale."""
BY_SCIKIT_LEARN = ("china", "flower")


@dataclass(frozen=True)
class Materials:
    """Pictures by name, all scaled, in color or gray; a crop of the training part never overlaps one of the test part.

    names: of PHOTOGRAPHS and TEXTURES. color: whether crops have three channels. light: factor of all pixels.
    """

    names: tuple[str, ...]
    color: bool = False
    light: float = 1.0

    def __post_init__(self) -> None:
        known = {**PHOTOGRAPHS, **TEXTURES}
        for name in self.names:
            if name not in known:
                raise ConfigError("dataset.materials", f"some of {', '.join(known)}", name)

    def crops(self, count: int, side: int, part: Part, random: np.random.Generator) -> Images:
        """Return square crops [count, side, side, channels] at random places, materials in turn.

        The training part takes them from the left half of each picture, the test part from the right half.
        """
        out = np.empty((count, side, side, 3 if self.color else 1), np.uint8)
        for number, name in enumerate(random.permutation(np.arange(count) % len(self.names)).tolist()):
            picture = _picture(self.names[name], self.color, self.light)
            half = picture.shape[1] // 2
            shown = picture[:, :half] if part == "train" else picture[:, half:]
            top, left = (int(random.integers(size - side + 1)) for size in shown.shape[:2])
            out[number] = shown[top : top + side, left : left + side]
        return out


@lru_cache(maxsize=16)
def _picture(name: str, color: bool, light: float) -> UInt8[np.ndarray, "height width channels"]:
    scale = {**PHOTOGRAPHS, **TEXTURES}[name]
    whole = _read(name)
    step = round(1 / scale)
    height, width = (size // step * step for size in whole.shape[:2])
    means = whole[:height, :width].reshape(height // step, step, width // step, step, 3).mean((1, 3)) * light
    pixels = to_pixels(means)
    return pixels if color else to_pixels(luminance(pixels, np.float64)[..., None])


def _read(name: str) -> UInt8[np.ndarray, "height width 3"]:
    from PIL import Image

    folder = _folder("sklearn.datasets", "images") if name in BY_SCIKIT_LEARN else _folder("skimage", "data")
    found: list[Path] = sorted(folder.glob(f"{name}.*"))
    with Image.open(found[0]) as picture:
        return np.asarray(picture.convert("RGB"))


def _folder(package: str, below: str) -> Path:
    import importlib.util

    found = importlib.util.find_spec(package) if importlib.util.find_spec(package.partition(".")[0]) else None
    if found is None or found.origin is None:
        expected = f"the package that brings the pictures, {package.partition('.')[0]}"
        raise ConfigError("dataset.materials", expected, None, "pip install scikit-image")
    return Path(found.origin).parent / below
