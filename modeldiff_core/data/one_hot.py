"""One-hot data: one coordinate of each example carries its label, and which one it is differs by example."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.featured import Featured, FeaturedData, Values
from modeldiff_core.errors import Check
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits


@dataclass(frozen=True)
class OneHot:
    """x = y·e_j with y = ±1 the label and j uniform among the coordinates (arXiv 2102.12781, section 5).

    Features: 'sign', which is the label, and 'position', which says nothing of it. As images they have one row, in
    bytes: 0 for −1, 128 for 0 and 255 for 1.
    """

    dimension: Annotated[int, Limit(least=2)] = 10
    n_train: Annotated[int, Limit(least=2)] = 10_000
    n_test: Annotated[int, Limit(least=2)] = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_limits(self, Check("dataset"))

    def featured(self) -> FeaturedData:
        """Return the examples as features, each [examples]."""
        d = self.dimension

        def draw(values: Values) -> np.ndarray:
            return (values["sign"][:, None] * np.eye(d)[values["position"]]).reshape(-1, 1, d, 1)

        def where(values: Values, name: str) -> np.ndarray:
            return np.eye(d, dtype=bool)[values["position"]].reshape(-1, 1, d, 1)

        def part(name: str, size: int) -> Featured:
            random = generator("one-hot", self.seed, name)
            labels = random.permutation(np.arange(size) % 2).astype(np.int64)
            values = {"sign": 2.0 * labels - 1, "position": random.integers(0, d, size)}
            return Featured(values, labels, draw, where)

        def bayes(names: frozenset[str]) -> float:
            return 1.0 if "sign" in names else 0.5

        complexity = {"sign": 1, "position": 0}
        parts = part("train", self.n_train), part("test", self.n_test)
        return FeaturedData(parts[0], parts[1], ("-1", "1"), complexity, bayes)

    def load(self) -> Dataset:
        data = self.featured()
        train, test = (
            Examples(np.rint((part.inputs() + 1) * 127.5).astype(np.uint8), part.labels)
            for part in (data.train, data.test)
        )
        return Dataset(train, test, data.classes)
