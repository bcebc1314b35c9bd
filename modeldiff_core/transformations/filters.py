"""Transformations of the whole image's texture: noise, blur, contrast and spatial frequencies."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from modeldiff_core.images import Images, add, blend, generator_of, in_band, luminance, spatial_frequencies, to_pixels
from modeldiff_core.limits import Limit
from modeldiff_core.transformations.pixels import AnyShape, Bounded, Positive, require


@dataclass(frozen=True)
class Noise(AnyShape):
    """Adds independent Gaussian noise to every pixel and channel.

    deviation: standard deviation at full intensity, pixels in 0..1. The noise of an image is a pure function of the
    seed and of the image, whatever batch it is in; intensity scales it.
    """

    deviation: Positive = 0.1
    seed: int = 0

    def __call__(self, images: Images, intensity: float) -> Images:
        noise = np.empty(images.shape, dtype=np.float32)
        for image, out in zip(images, noise, strict=True):
            generator_of(image, "noise", self.seed).standard_normal(dtype=np.float32, out=out)
        return add(images, np.float32(255 * self.deviation * intensity) * noise)


@dataclass(frozen=True)
class Blur(Bounded):
    """Gaussian blur; sigma: its standard deviation at full intensity, in pixels. Edges are continued."""

    sigma: Positive = 1.0

    def check(self, image_shape: tuple[int, int, int]) -> None:
        longest = max(image_shape[:2])
        require(self.sigma <= longest, "sigma", f"at most the {longest} pixels of the images' longer side", self.sigma)

    def __call__(self, images: Images, intensity: float) -> Images:
        sigma = self.sigma * intensity
        return to_pixels(ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest"))


@dataclass(frozen=True)
class Contrast(AnyShape):
    """Draws all pixels and channels toward the image's mean; loss: share of the contrast lost at full intensity."""

    loss: Annotated[float, Limit(above=0, most=1)] = 1.0

    def __call__(self, images: Images, intensity: float) -> Images:
        return blend(images, images.mean(axis=(1, 2, 3), keepdims=True), self.loss * intensity)


@dataclass(frozen=True)
class Grey:
    """Draws every pixel toward its own luminance; a picture in gray at full intensity. For images in color."""

    def check(self, image_shape: tuple[int, int, int]) -> None:
        require(image_shape[2] == 3, "kind", "images in color for grey", f"images of {image_shape[2]} channel(s)")

    def __call__(self, images: Images, intensity: float) -> Images:
        return blend(images, luminance(images)[..., None], intensity)


@dataclass(frozen=True)
class _Frequencies(AnyShape):
    """cutoff: spatial frequency in cycles per pixel; 0.5 is the finest that a row of pixels can hold."""

    cutoff: Annotated[float, Limit(above=0, below=0.5, what="cycles per pixel")] = 0.125

    def _keep(self, images: Images, kept: Bool[np.ndarray, "frequencies half"], intensity: float) -> Images:
        spectrum = np.fft.rfft2(images.astype(np.float32), axes=(1, 2)) * kept[:, :, None]
        return blend(images, np.fft.irfft2(spectrum, s=images.shape[1:3], axes=(1, 2)), intensity)


@dataclass(frozen=True)
class LowPass(_Frequencies):
    """Keeps the frequencies up to the cutoff (cycles per pixel): shapes without texture."""

    def __call__(self, images: Images, intensity: float) -> Images:
        return self._keep(images, spatial_frequencies(*images.shape[1:3]) <= self.cutoff, intensity)


@dataclass(frozen=True)
class HighPass(_Frequencies):
    """Keeps the mean and the frequencies above the cutoff (cycles per pixel): texture without shapes."""

    def __call__(self, images: Images, intensity: float) -> Images:
        frequencies = spatial_frequencies(*images.shape[1:3])
        return self._keep(images, (frequencies > self.cutoff) | (frequencies == 0), intensity)


@dataclass(frozen=True)
class Band(AnyShape):
    """Multiplies the amplitude of the spatial frequencies above `low` and up to `high` (cycles per pixel).

    gain: the factor at full intensity, 1 + (gain − 1)·intensity between; 0 takes the band out, 2 doubles it.
    """

    low: float
    high: float
    gain: float = 2.0

    def __post_init__(self) -> None:
        require(0 <= self.low < self.high, "high", "more than low, both cycles per pixel of 0 or more", self.high)
        require(self.gain >= 0 and self.gain != 1, "gain", "0 or more and not 1", self.gain)

    def __call__(self, images: Images, intensity: float) -> Images:
        height, width = images.shape[1:3]
        inside = in_band(height, width, self.low, self.high)
        spectrum = np.fft.rfft2(images.astype(np.float32), axes=(1, 2))
        spectrum[:, inside] *= 1 + (self.gain - 1) * intensity
        return to_pixels(np.fft.irfft2(spectrum, s=images.shape[1:3], axes=(1, 2)))
