"""Clothes of Fashion-MNIST over photographs and textures, which mostly, but not always, go with the class.

Made as Waterbirds is (Sagawa et al., 2020): an object is cut out along its mask and put on a background of one of two
kinds, chosen by chance with a probability that depends on the class in training and not in the test set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Int

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.fashion_mnist import FASHION_CLASSES, FashionMnist, fashion_folder
from modeldiff_core.data.materials import PHOTOGRAPHS, TEXTURES, Materials, Part
from modeldiff_core.data.mnist_idx import read_idx_folder
from modeldiff_core.data.split import stratified
from modeldiff_core.errors import Check
from modeldiff_core.identity import generator
from modeldiff_core.images import Images
from modeldiff_core.limits import Limit, check_limits

Share = Annotated[float, Limit(least=0, most=1, what="a share")]
INK = 25
"""Least level of a pixel that belongs to the garment."""


@dataclass(frozen=True)
class Scenes:
    """Clothes over photographs (background 0) and textures (background 1).

    classes: of Fashion-MNIST, by number; they become labels 0, 1, … in this order. at_home: labels whose background is
    usually a texture. share: probability of a texture behind these in training; other_share: behind the others;
    test_share: behind all in the test set. photographs, textures: pictures that backgrounds are cut from, those of
    the training set from their left halves, those of the test set from their right ones. color: three channels; clothes
    stay gray. light: factor of all background pixels. folder: of Fashion-MNIST. Metadata: background, group
    (2 · label + background), and mask, true where the garment is.
    """

    classes: tuple[int, ...] = tuple(range(10))
    at_home: tuple[int, ...] = (6,)
    share: Share = 0.95
    other_share: Share = 0.05
    test_share: Share = 0.5
    photographs: tuple[str, ...] = tuple(PHOTOGRAPHS)
    textures: tuple[str, ...] = tuple(TEXTURES)
    color: bool = False
    light: Annotated[float, Limit(above=0, most=1, what="a factor")] = 0.6
    n_train: Annotated[int, Limit(least=2)] = 1000
    n_test: Annotated[int, Limit(least=2)] = 1000
    seed: int = 0
    folder: str | None = None

    def __post_init__(self) -> None:
        require = Check("dataset")
        check_limits(self, require)
        known = set(range(len(FASHION_CLASSES)))
        require(len(set(self.classes)) == len(self.classes) >= 2, "classes", "two or more distinct ones", self.classes)
        require(set(self.classes) <= known, "classes", f"numbers in 0..{len(known) - 1}", self.classes)
        labels = set(range(len(self.classes)))
        require(set(self.at_home) <= labels, "at_home", f"labels in 0..{len(labels) - 1}", self.at_home)
        Materials((*self.photographs, *self.textures))

    def files(self) -> list[Path]:
        """Every file of clothes that ``load`` reads."""
        return FashionMnist(folder=self.folder).files()

    def load(self) -> Dataset:
        whole = read_idx_folder(fashion_folder(self.folder), FASHION_CLASSES, (None, None), self.seed)
        train, test = self._part(whole.train, "train"), self._part(whole.test, "test")
        return Dataset(train, test, tuple(FASHION_CLASSES[number] for number in self.classes))

    def _part(self, clothes: Examples, part: Part) -> Examples:
        number = np.full(len(FASHION_CLASSES), -1, np.int64)
        number[list(self.classes)] = np.arange(len(self.classes))
        labels = number[clothes.labels]
        found = np.flatnonzero(labels >= 0)
        labels, size = labels[found], self.n_train if part == "train" else self.n_test
        (chosen,) = stratified(labels, (size,), self.seed, (f"dataset.n_{part}",))
        garments, labels = clothes.images[found[chosen]], labels[chosen]
        random = generator("scenes", self.seed, part)
        backgrounds = self._backgrounds(labels, part, random)
        mask = garments[..., 0] >= INK
        behind = self._behind(backgrounds, part, garments.shape[1], random)
        images = np.where(mask[..., None], garments, behind)
        metadata = {"background": backgrounds.astype(np.int64), "group": 2 * labels + backgrounds, "mask": mask}
        return Examples(images.astype(np.uint8), labels, metadata)

    def _backgrounds(
        self, labels: Int[np.ndarray, " examples"], part: Part, random: np.random.Generator
    ) -> Bool[np.ndarray, " examples"]:
        shares = np.where(np.isin(labels, self.at_home), self.share, self.other_share)
        if part == "test":
            shares = np.full(len(labels), self.test_share)
        return np.asarray(random.random(len(labels)) < shares)

    def _behind(
        self, textured: Bool[np.ndarray, " examples"], part: Part, side: int, random: np.random.Generator
    ) -> Images:
        """Return a background of its kind for each example."""
        kinds: Mapping[bool, Materials] = {
            False: Materials(self.photographs, self.color, self.light),
            True: Materials(self.textures, self.color, self.light),
        }
        out = np.empty((len(textured), side, side, 3 if self.color else 1), np.uint8)
        for kind, materials in kinds.items():
            chosen = textured == kind
            out[chosen] = materials.crops(int(chosen.sum()), side, part, random)
        return out
