"""Transformations of the whole image's texture: noise, blur, contrast and spatial frequencies."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from modeldiff_core.identity import generator
from modeldiff_core.transformations.pixels import AnyShape, Images, blend, require, to_pixels


@dataclass(frozen=True)
class Noise(AnyShape):
    """Adds independent Gaussian noise to every pixel and channel.

    deviation: standard deviation at full intensity, pixels in 0..1. The noise of an image is a pure function of the
    seed and of the image, whatever batch it stands in; intensity scales it.
    """

    deviation: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.deviation > 0, "deviation", "more than 0", self.deviation)

    def __call__(self, images: Images, intensity: float) -> Images:
        noise = np.empty(images.shape, dtype=np.float32)
        for image, out in zip(images, noise, strict=True):
            content = hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
            generator("noise", self.seed, content).standard_normal(dtype=np.float32, out=out)
        return to_pixels(images + np.float32(255 * self.deviation * intensity) * noise)


@dataclass(frozen=True)
class Blur(AnyShape):
    """Gaussian blur; sigma: its standard deviation at full intensity, in pixels. Edges are continued."""

    sigma: float = 1.0

    def __post_init__(self) -> None:
        require(self.sigma > 0, "sigma", "more than 0", self.sigma)

    def __call__(self, images: Images, intensity: float) -> Images:
        sigma = self.sigma * intensity
        return to_pixels(ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest"))


@dataclass(frozen=True)
class Contrast(AnyShape):
    """Draws all pixels and channels towards the image's mean; loss: share of the contrast lost at full intensity."""

    loss: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.loss <= 1, "loss", "a number in (0, 1]", self.loss)

    def __call__(self, images: Images, intensity: float) -> Images:
        return blend(images, images.mean(axis=(1, 2, 3), keepdims=True), self.loss * intensity)


@dataclass(frozen=True)
class _Frequencies(AnyShape):
    """cutoff: spatial frequency in cycles per pixel; 0.5 is the finest that a row of pixels can hold."""

    cutoff: float = 0.125

    def __post_init__(self) -> None:
        require(0 < self.cutoff < 0.5, "cutoff", "cycles per pixel in (0, 0.5)", self.cutoff)

    def _radius(self, height: int, width: int) -> np.ndarray:
        radius: np.ndarray = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
        return radius

    def _keep(self, images: Images, kept: Bool[np.ndarray, "frequencies half"], intensity: float) -> Images:
        spectrum = np.fft.rfft2(images.astype(np.float32), axes=(1, 2)) * kept[:, :, None]
        return blend(images, np.fft.irfft2(spectrum, s=images.shape[1:3], axes=(1, 2)), intensity)


@dataclass(frozen=True)
class LowPass(_Frequencies):
    """Keeps the frequencies up to the cutoff (cycles per pixel): shapes without texture."""

    def __call__(self, images: Images, intensity: float) -> Images:
        return self._keep(images, self._radius(*images.shape[1:3]) <= self.cutoff, intensity)


@dataclass(frozen=True)
class HighPass(_Frequencies):
    """Keeps the mean and the frequencies above the cutoff (cycles per pixel): texture without shapes."""

    def __call__(self, images: Images, intensity: float) -> Images:
        radius = self._radius(*images.shape[1:3])
        return self._keep(images, (radius > self.cutoff) | (radius == 0), intensity)
