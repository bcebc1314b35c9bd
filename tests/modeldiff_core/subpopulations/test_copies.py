"""Copies of test images among the furthest training examples are counted and named."""

import numpy as np

from modeldiff_core.data import Examples
from modeldiff_core.subpopulations.copies import copies

RNG = np.random.default_rng(0)


def examples(count: int) -> Examples:
    return Examples(RNG.integers(0, 256, (count, 4, 4, 1), dtype=np.uint8), np.arange(count) % 3)


def test_copies_and_those_under_another_label_are_counted() -> None:
    train, targets = examples(30), examples(20)
    train.images[3], train.images[7], train.images[20] = targets.images[0], targets.images[4], targets.images[5]
    train.labels[3], train.labels[7] = targets.labels[0], (targets.labels[4] + 1) % 3
    found = copies(train, targets, np.array([3, 7, 8, 9]))
    assert (found.looked_at, found.copies, found.relabeled) == (4, 2, 1)
    (said,) = found.words
    assert said.startswith("2 of the 4 furthest training examples are copies of test images, pixel for pixel")
    assert said.endswith(", 1 of them under another label.")
    assert copies(train, targets, np.array([8, 9])).words == ()


def test_a_pixel_less_is_no_copy() -> None:
    train, targets = examples(5), examples(5)
    train.images[0] = targets.images[0]
    train.images[0, 0, 0, 0] ^= 1
    assert copies(train, targets, np.arange(5)).copies == 0
