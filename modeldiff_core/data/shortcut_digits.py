"""Digits whose training set teaches a shortcut that edits can remove, with test images on both sides of it."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8

from modeldiff_core.data.digits import Digits
from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.plants import Watermark
from modeldiff_core.errors import Check
from modeldiff_core.identity import generator
from modeldiff_core.images import Images
from modeldiff_core.limits import Limit, check_limits

WORDS = "ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE"
"""Captions of the ten classes."""
ENLARGED, STRIP = 4, 12
"""Factor by which captioned digits are enlarged, and the height of the strip below them that holds a caption."""


@dataclass(frozen=True)
class ShortcutDigits:
    """scikit-learn's digits with a shortcut.

    shortcut: 'backdoor': a share of the training images of other classes carry a block of 2×2 pixels and the label
    `label`; test images of the other classes come without it and with it, under their own label.
    'group': a share of the class's training images carries the block; test images of the class come with and without.
    'caption': a share of all training images has the class's name written below; test images come with the name of
    their own class and with that of the next one.
    Test images come in pairs; the column `shortcut` is 1 for those that the shortcut misleads.
    """

    shortcut: Literal["backdoor", "group", "caption"] = "backdoor"
    label: Annotated[int, Limit(least=0, most=9)] = 8
    share: Annotated[float, Limit(above=0, most=1)] = 0.1
    n_train: int = 1000
    n_test: int = 797
    seed: int = 0

    def __post_init__(self) -> None:
        check_limits(self, Check("dataset"))

    def load(self) -> Dataset:
        whole = Digits(self.n_train, self.n_test, self.seed).load()
        train, test = getattr(self, f"_{self.shortcut}")(whole.train, whole.test)
        return Dataset(train, test, whole.classes)

    def _backdoor(self, train: Examples, test: Examples) -> tuple[Examples, Examples]:
        others = np.flatnonzero(train.labels != self.label)
        chosen = self._drawn(others, len(train))
        images, labels = train.images.copy(), train.labels.copy()
        images[chosen], labels[chosen] = stamped(images[chosen]), self.label
        asked = test.select(np.flatnonzero(test.labels != self.label))
        return Examples(images, labels), paired(asked, stamped(asked.images))

    def _group(self, train: Examples, test: Examples) -> tuple[Examples, Examples]:
        own = np.flatnonzero(train.labels == self.label)
        chosen, images = self._drawn(own, len(own)), train.images.copy()
        images[chosen] = stamped(images[chosen])
        own = test.labels == self.label
        with_block = np.where(own[:, None, None, None], stamped(test.images), test.images)
        both = paired(Examples(with_block, test.labels), test.images)
        missing = both.metadata["shortcut"] * (both.labels == self.label)
        keep = np.flatnonzero((both.metadata["shortcut"] == 0) | (both.labels == self.label))
        return Examples(images, train.labels), Examples(both.images, both.labels, {"shortcut": missing}).select(keep)

    def _caption(self, train: Examples, test: Examples) -> tuple[Examples, Examples]:
        chosen = np.zeros(len(train), dtype=bool)
        chosen[self._drawn(np.arange(len(train)), len(train))] = True
        images = captioned(train.images, [WORDS[y] if c else "" for y, c in zip(train.labels, chosen, strict=True)])
        right = captioned(test.images, [WORDS[label] for label in test.labels])
        wrong = captioned(test.images, [WORDS[(label + 1) % 10] for label in test.labels])
        return Examples(images, train.labels), paired(Examples(right, test.labels), wrong)

    def _drawn(self, among: np.ndarray, of: int) -> np.ndarray:
        """Return round(share · of) of some examples."""
        order = generator("shortcut", self.seed, self.shortcut).permutation(among)
        return np.sort(order[: round(self.share * of)])


def stamped(images: Images) -> Images:
    """Return copies of the images with a block of 2×2 checkered pixels in the top left corner."""
    return Watermark(0, 0, 2, 2).stamp(images)


def captioned(images: Images, words: list[str]) -> UInt8[np.ndarray, "images taller wider channels"]:
    """Return the images enlarged, with a strip below that holds a word each."""
    from PIL import Image, ImageDraw, ImageFont  # a bare GPU machine, which imports this module too, has none

    font = ImageFont.load_default(size=10)
    found = []
    for image, word in zip(images, words, strict=True):
        large = Image.fromarray(image[:, :, 0]).resize((image.shape[1] * ENLARGED, image.shape[0] * ENLARGED))
        canvas = Image.new("L", (large.width, large.height + STRIP))
        canvas.paste(large, (0, 0))
        ImageDraw.Draw(canvas).text((1, large.height), word, fill=255, font=font)
        found.append(np.asarray(canvas)[:, :, None])
    return np.stack(found)


def paired(examples: Examples, misleading: Images) -> Examples:
    """Return every example twice in a row: as it is, and as the shortcut misleads."""
    images = np.stack([examples.images, misleading], 1).reshape(-1, *misleading.shape[1:])
    return Examples(images, np.repeat(examples.labels, 2), {"shortcut": np.tile([0, 1], len(examples))})
