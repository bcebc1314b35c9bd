"""Changes of whole batches: what they keep, and how much they change."""

import numpy as np
import pytest
import torch

from modeldiff_core.training.mixing import LEAST_AREA, MOST_AREA, erased, jittered, mixed

N, SIDE, CLASSES = 40, 16, 5


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    images = torch.rand(N, SIDE, SIDE, 3, generator=draws)
    return images, torch.eye(CLASSES)[torch.arange(N) % CLASSES]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_targets_are_mixed_by_the_share_that_images_are(mixup: float, cutmix: float) -> None:
    images, targets = batch()
    changed = 0
    for seed in range(20):
        x, y = mixed(images, targets, mixup, cutmix, np.random.default_rng(seed))
        assert torch.allclose(y.sum(1), torch.ones(N))
        assert ((x >= 0) & (x <= 1)).all()
        assert torch.allclose(x.sum(0), images.sum(0) if mixup and not cutmix else x.sum(0), atol=1e-4)
        changed += not torch.equal(x, images)
    assert changed >= 15


def test_a_mixed_image_is_a_share_of_two() -> None:
    images, targets = batch()
    x, y = mixed(images, targets, 1.0, 0.0, np.random.default_rng(3))
    draws = np.random.default_rng(3)
    share, other = draws.beta(1.0, 1.0), draws.permutation(N)
    assert 0.02 < share < 0.98
    assert torch.allclose(x, share * images + (1 - share) * images[other], atol=1e-6)
    assert torch.allclose(y, share * targets + (1 - share) * targets[other], atol=1e-6)


def test_the_share_of_a_cut_is_its_area() -> None:
    images, targets = torch.zeros(2, SIDE, SIDE, 1), torch.eye(2)
    images[1] = 1
    seen = []
    for seed in range(60):
        x, y = mixed(images, targets, 0.0, 1.0, np.random.default_rng(seed))
        area = x[0].mean().item()
        assert y[0, 1].item() == pytest.approx(area, abs=1e-6)
        inside = x[0, :, :, 0]
        rows, columns = inside.any(1), inside.any(0)
        assert torch.equal(inside.bool(), rows[:, None] & columns[None, :])
        seen.append(area)
    assert max(seen) > 0.3


def test_a_share_of_images_has_a_rectangle_erased() -> None:
    images = torch.full((400, SIDE, SIDE, 1), 2.0)
    out = erased(images, 0.25, np.random.default_rng(0))
    areas = (out != 2).float().mean((1, 2, 3))
    assert 0.18 < (areas > 0).float().mean() < 0.32
    rounding = 2 / SIDE
    assert (areas[areas > 0] > LEAST_AREA / 4).all()
    assert (areas < MOST_AREA + rounding).all()
    assert torch.equal(images, torch.full_like(images, 2.0))
    assert torch.equal(erased(images, 0.0, np.random.default_rng(0)), images)


def test_jitter_changes_brightness_contrast_and_saturation_each_image_by_itself() -> None:
    images, _ = batch()
    images = 0.3 + 0.2 * images
    out = jittered(images, 0.5, np.random.default_rng(0))
    brightness = out.mean((1, 2, 3)) / images.mean((1, 2, 3))
    assert brightness.std() > 0.1
    assert ((brightness > 0.45) & (brightness < 1.55)).all()
    assert torch.allclose(jittered(images, 0.0, np.random.default_rng(0)), images, atol=1e-6)
    gray = images.mean(3, keepdim=True).expand_as(images)
    changed = jittered(gray, 0.5, np.random.default_rng(1))
    assert torch.allclose(changed, changed[..., :1].expand_as(changed), atol=1e-5)
