"""Pixels as people store them, as bytes [examples, height, width, channels]; other scales and orders are named."""

import numpy as np
from jaxtyping import UInt8

from modeldiff_core.errors import DataError

ROUNDING = 1e-4
"""Share of the range by which pixels may leave it: what normalizing and halving of precision leave behind."""
CHANNELS = (1, 2, 3, 4)
"""Numbers of channels that pictures have; more are bands."""
SCALES = ((-1.0, 1.0), (0.0, 16.0), (0.0, 255.0), (0.0, 65535.0))
"""Ranges of pixels that are common besides 0..1, the narrowest first."""

Range = tuple[float, float]


def as_pixels(
    images: np.ndarray, source: str, *, pixel_range: Range | None = None, channels_first: bool | None = None
) -> UInt8[np.ndarray, "examples height width channels"]:
    """Bring images to uint8 [examples, height, width, channels]; floats are taken as 0..1 and rounded.

    Args:
        images: With or without an axis of channels.
        source: The beginning of every message.
        pixel_range: What becomes 0 and 255; if not given, bytes are taken as they are, floats as 0..1.
        channels_first: Whether channels come before height and width; if not given they may not seem to.

    Raises:
        DataError: For NaN, naming the first image at fault, for values outside the range, with what they may be divided
            by, and for axes that are in another order.
    """
    images = _ordered(images, source, channels_first)
    if len(images) and 0 in images.shape[1:]:
        raise DataError(f"{source}: images of no pixels, got shape {images.shape}")
    if images.dtype.kind == "b":
        return np.where(images, 255, 0).astype(np.uint8)
    if images.dtype == np.uint8 and pixel_range is None:
        return np.asarray(images)
    if images.dtype.kind not in "iuf":
        raise DataError(f"{source}: images must be uint8 in 0..255 or floats in 0..1, got {images.dtype}")
    if images.dtype.kind == "f":
        finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
        if not finite.all():
            raise DataError(f"{source}: image {int(np.argmin(finite))} holds NaN or infinite pixels")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if pixel_range is None and images.dtype.kind != "f":
        raise DataError(
            f"{source}: images must be uint8 in 0..255 or floats in 0..1, got {images.dtype} in "
            f"{_digits(low)}..{_digits(high)}. {_scale(low, high)}"
        )
    first, last = pixel_range or (0.0, 1.0)
    slack = ROUNDING * (last - first)
    if low < first - slack or high > last + slack:
        got = f"got {_digits(low)}..{_digits(high)}"
        if pixel_range is not None:
            raise DataError(
                f"{source}: pixels must lie in dataset.pixel_range, {_digits(first)}..{_digits(last)}, {got}"
            )
        raise DataError(f"{source}: float pixels must lie in 0..1, {got}. {_scale(low, high)}")
    if low < first or high > last:
        images = np.clip(images, first, last)
    if pixel_range is None:
        return np.round(images * 255).astype(np.uint8)
    return np.round((images.astype(np.float64) - first) * (255 / (last - first))).astype(np.uint8)


def looks_channels_first(height: int, width: int, channels: int) -> bool:
    """Return whether what should be height seems to be channels, and what should be channels does not."""
    return channels not in CHANNELS and (height in CHANNELS or (width == channels != height and channels > 4))


def _ordered(images: np.ndarray, source: str, channels_first: bool | None) -> np.ndarray:
    """Return images with their channels last."""
    if images.ndim == 2 and images.shape[1] > 1:
        side = round(float(images.shape[1]) ** 0.5)
        square = f": reshape(-1, {side}, {side}), if they are square" if side * side == images.shape[1] else ""
        raise DataError(
            f"{source}: images must be [examples, height, width(, channels)], got shape {images.shape}, "
            f"a row of {images.shape[1]} numbers each{square}"
        )
    if images.ndim == 3:
        images = images[..., None]
    elif channels_first and images.ndim == 4:
        images = np.moveaxis(images, 1, -1)
    elif images.ndim == 4 and channels_first is None and images.size and looks_channels_first(*images.shape[1:]):
        _, height, width, channels = images.shape
        raise DataError(
            f"{source}: images must be [examples, height, width, channels], got shape {images.shape}: {height} high, "
            f"{width} wide, with {channels} channels. If they are [examples, channels, height, width], "
            "dataset.channels_first=true takes them so, or transpose(0, 2, 3, 1); dataset.channels_first=false takes "
            "them as they are"
        )
    if images.ndim != 4:
        raise DataError(f"{source}: images must be [examples, height, width(, channels)], got shape {images.shape}")
    return images


def _scale(low: float, high: float) -> str:
    """Return what such pixels may be divided by."""
    for first, last in SCALES:
        if first - ROUNDING <= low and high <= last * (1 + ROUNDING):
            setting = f"dataset.pixel_range=[{first:g},{last:g}] takes them so"
            if first < 0:
                return f"If they are in -1..1, add 1 and divide by 2; {setting}"
            bytes_ = ", or as bytes, astype(uint8)" if last == 255 else ""
            return f"If they are in 0..{last:g}, divide by {last:g}{bytes_}; {setting}"
    return (
        "If a mean was taken away and a deviation divided out, undo that; dataset.pixel_range=[LOW,HIGH] states what "
        "is black and what is white"
    )


def _digits(value: float) -> str:
    """Return enough digits to tell 1.0000001 from 1."""
    short = f"{value:.3g}"
    return short if float(short) == value else f"{value:.9g}"
