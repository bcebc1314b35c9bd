"""Digits with a shortcut: what misleads is in the training set, and in one of each pair of test images."""

import numpy as np
import pytest

from modeldiff_core.data.digits import Digits
from modeldiff_core.data.shortcut_digits import ShortcutDigits, stamped
from modeldiff_core.errors import ConfigError

SIZES = {"n_train": 200, "n_test": 100}
PLAIN = Digits(**SIZES).load()


def test_a_backdoor_gives_stamped_images_another_label() -> None:
    data = ShortcutDigits("backdoor", 8, 0.1, **SIZES).load()
    changed = (data.train.images != PLAIN.train.images).any((1, 2, 3))
    assert changed.sum() == 20
    np.testing.assert_array_equal(data.train.images[changed], stamped(PLAIN.train.images[changed]))
    assert (data.train.labels[changed] == 8).all()
    assert (PLAIN.train.labels[changed] != 8).all()
    np.testing.assert_array_equal(data.train.labels[~changed], PLAIN.train.labels[~changed])
    assert (data.test.labels != 8).all()
    np.testing.assert_array_equal(data.test.metadata["shortcut"], np.tile([0, 1], len(data.test) // 2))
    np.testing.assert_array_equal(data.test.images[1::2], stamped(data.test.images[::2]))


def test_a_group_is_its_class_without_the_block() -> None:
    data = ShortcutDigits("group", 3, 0.9, **SIZES).load()
    own = PLAIN.train.labels == 3
    changed = (data.train.images != PLAIN.train.images).any((1, 2, 3))
    assert changed.sum() == round(0.9 * own.sum())
    assert own[changed].all()
    group = data.test.metadata["shortcut"] == 1
    assert group.sum() == (PLAIN.test.labels == 3).sum()
    assert (data.test.labels[group] == 3).all()
    assert len(data.test) == len(PLAIN.test) + group.sum()


def test_captions_are_right_in_training_and_wrong_for_one_of_each_pair() -> None:
    data = ShortcutDigits("caption", 0, 0.5, **SIZES).load()
    assert data.image_shape == (44, 32, 1)
    written = data.train.images[:, 32:].any((1, 2, 3))
    assert written.sum() == 100
    np.testing.assert_array_equal(data.test.images[::2, :32], data.test.images[1::2, :32])
    one, other = (np.flatnonzero(data.test.labels == label)[0] for label in (3, 4))
    np.testing.assert_array_equal(data.test.images[one + 1, 32:], data.test.images[other, 32:])
    assert (data.test.images[::2, 32:] != data.test.images[1::2, 32:]).any((1, 2, 3)).all()


def test_a_share_outside_its_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataset.share"):
        ShortcutDigits(share=0.0)
