"""Changes of whole batches of training images: mixup, cutmix, random erasing and color jitter."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

LEAST_AREA, MOST_AREA = 0.02, 1 / 3
"""Shares of an image that an erased rectangle may have (Zhong et al. 2020, section 3)."""
LEAST_RATIO = 0.3
"""Least height over width of an erased rectangle; the largest is its inverse."""
GRAY = (0.299, 0.587, 0.114)

Images = Float[Tensor, "n height width channels"]
Targets = Float[Tensor, "n classes"]


def mixed(
    images: Images, targets: Targets, mixup: float, cutmix: float, draws: np.random.Generator
) -> tuple[Images, Targets]:
    """Return images that have a share of another of their batch, and targets mixed by the same share.

    mixup: x ← λx + (1 − λ)x', λ from Beta(α, α) (Zhang et al. 2018, section 2). cutmix: a rectangle of area 1 − λ, at a
    uniform place and cut off at the edges, comes from x'; λ is then the area that is left (Yun et al. 2019, section 3).

    Args:
        images: A batch.
        targets: One-hot, or soft.
        mixup: Its α; 0 for none.
        cutmix: Its α; 0 for none. With both, one of the two by chance.
        draws: What chance is drawn from.
    """
    cut = cutmix > 0 and (mixup == 0 or draws.random() < 0.5)
    alpha = cutmix if cut else mixup
    share = float(draws.beta(alpha, alpha))
    other = torch.from_numpy(draws.permutation(len(images))).to(images.device)
    if not cut:
        return share * images + (1 - share) * images[other], share * targets + (1 - share) * targets[other]
    height, width = images.shape[1:3]
    side = (1 - share) ** 0.5
    top, bottom = _ends(draws.random() * height, side * height, height)
    left, right = _ends(draws.random() * width, side * width, width)
    out = images.clone()
    out[:, top:bottom, left:right] = images[other, top:bottom, left:right]
    left_over = 1 - (bottom - top) * (right - left) / (height * width)
    return out, left_over * targets + (1 - left_over) * targets[other]


def erased(images: Images, probability: float, draws: np.random.Generator) -> Images:
    """Return images of which each has, with a probability, a random rectangle of random pixels (Zhong et al. 2020)."""
    out = images.clone()
    height, width, channels = images.shape[1:]
    for row in np.flatnonzero(draws.random(len(images)) < probability):
        area = draws.uniform(LEAST_AREA, MOST_AREA) * height * width
        ratio = float(np.exp(draws.uniform(np.log(LEAST_RATIO), -np.log(LEAST_RATIO))))
        rows, columns = (
            min(height, max(1, round((area * ratio) ** 0.5))),
            min(width, max(1, round((area / ratio) ** 0.5))),
        )
        top, left = int(draws.integers(height - rows + 1)), int(draws.integers(width - columns + 1))
        noise = draws.random((rows, columns, channels), dtype=np.float32)
        out[row, top : top + rows, left : left + columns] = torch.from_numpy(noise).to(images.device)
    return out


def jittered(images: Images, strength: float, draws: np.random.Generator) -> Images:
    """Return images with brightness, contrast and saturation each changed by a factor in 1 ± strength, in 0..1."""
    factors = torch.from_numpy(draws.uniform(1 - strength, 1 + strength, (3, len(images), 1, 1, 1)).astype(np.float32))
    brightness, contrast, saturation = factors.to(images.device)
    out = images * brightness
    mean = out.mean((1, 2, 3), keepdim=True)
    out = mean + contrast * (out - mean)
    if images.shape[-1] == len(GRAY):
        gray = (out * torch.tensor(GRAY, device=out.device)).sum(-1, keepdim=True)
        out = gray + saturation * (out - gray)
    clipped: Tensor = out.clamp(0, 1)
    return clipped


def _ends(middle: float, length: float, size: int) -> tuple[int, int]:
    """Return where a stretch begins and ends within 0..size."""
    return max(0, round(middle - length / 2)), min(size, round(middle + length / 2))
