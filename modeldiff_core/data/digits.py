"""The digits that come with scikit-learn."""

from dataclasses import dataclass

import numpy as np

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.plants import Plant, planted
from modeldiff_core.data.split import stratified


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 handwritten digits of 8×8 pixels (gray levels 0..16 scaled to 0..255)."""

    n_train: int = 1000
    n_test: int = 797
    seed: int = 0
    plant: Plant | None = None

    def load(self) -> Dataset:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
        labels = bunch.target.astype(np.int64)
        train, test = stratified(labels, (self.n_train, self.n_test), self.seed, ("dataset.n_train", "dataset.n_test"))
        everything = Examples(images, labels)
        classes = tuple(str(digit) for digit in range(10))
        return planted(Dataset(everything.select(train), everything.select(test), classes), self.plant)
