"""Pictures that a user gives as files, named with their checksum: what is pasted is part of a study's identity."""

import hashlib
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations.pixels import require

RGB = UInt8[np.ndarray, "height width 3"]


def check_picture(path: str, sha256: str) -> None:
    """Raise ConfigError unless the path is a picture whose bytes have that SHA-256."""
    try:
        file = Path(path).expanduser()
        require(file.is_file(), "picture", "the path of a picture", path)
        content = file.read_bytes()
    except ConfigError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError("transformations.picture", f"the path of a picture ({error})", path) from error
    found = hashlib.sha256(content).hexdigest()
    require(sha256 == found, "sha256", f"{found}, the SHA-256 of {path}", sha256)
    try:
        with Image.open(BytesIO(content)) as image:
            image.convert("RGB")  # to the last pixel: a picture that is cut short has a sound beginning
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        require(False, "picture", f"a picture that can be read ({error})", path)


@lru_cache(maxsize=16)
def picture(path: str, height: int, width: int) -> RGB:
    """Return the picture in red, green and blue, resized (bilinear, smoothed where it shrinks)."""
    with Image.open(Path(path).expanduser()) as image:
        return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
