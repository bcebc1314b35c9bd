"""Images of the data set as files that a page can show."""

import base64
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

PIXEL_ART = 64  # up to this side length single pixels matter: enlarged without smoothing, stored without loss


def tile(image: UInt8[np.ndarray, "height width channels"], side: int = 112) -> Image.Image:
    """Return the image with its longer side at about `side` pixels.

    Small images grow by a whole factor with nearest neighbor, so that every pixel stays a square; large ones shrink
    smoothly. One channel is gray; of more than three the first three are shown.
    """
    pixels = image[:, :, 0] if image.shape[2] < 3 else image[:, :, :3]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    longest = max(picture.size)
    if longest > side:
        width, height = (max(1, round(length * side / longest)) for length in picture.size)
        return picture.resize((width, height), Image.Resampling.LANCZOS)
    factor = max(1, round(side / longest)) if is_pixel_art(image) else 1
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def is_pixel_art(image: UInt8[np.ndarray, "height width channels"]) -> bool:
    """Return whether the image is so small that its pixels should stay sharp when it is enlarged."""
    return bool(max(image.shape[:2]) <= PIXEL_ART)


def image_uri(image: UInt8[np.ndarray, "height width channels"], side: int = 112) -> str:
    """Return the tile as a data URI: PNG for small images, JPEG for photographs."""
    buffer = io.BytesIO()
    if is_pixel_art(image):
        tile(image, side).save(buffer, "PNG", optimize=True)
        return data_uri(buffer.getvalue(), "image/png")
    tile(image, 2 * side).save(buffer, "JPEG", quality=85)
    return data_uri(buffer.getvalue(), "image/jpeg")


def data_uri(content: bytes, kind: str) -> str:
    """`data:<kind>;base64,…`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
