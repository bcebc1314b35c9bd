"""Slabs: coordinates that tell two classes apart by one threshold, or by several, mixed by a rotation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.featured import Featured, FeaturedData, Values
from modeldiff_core.data.notes import Notes, Tally
from modeldiff_core.errors import Check
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits

Kind = Literal["linear", "noisy_linear", "3-slab", "5-slab", "7-slab", "sign", "ternary", "normal"]
COMPLEXITY: Mapping[str, int] = {
    "linear": 1,
    "noisy_linear": 1,
    "sign": 1,
    "3-slab": 3,
    "ternary": 3,
    "5-slab": 5,
    "7-slab": 7,
    "normal": 0,
}
"""Linear pieces that a function needs to read the label off a coordinate; 0 where none can."""
SPAN = 4.0
"""Inputs are stored as bytes between −SPAN and SPAN."""
CLASSES = ("0", "1")

require = Check("dataset")


@dataclass(frozen=True)
class Coordinates:
    """A feature of `count` coordinates of one kind, independent of each other given the label.

    With half-width 1, margin g, s a random sign and u uniform in [0, 1] (gendata.py of arXiv 2006.07710):
    'linear': ±(g + (1 − g)u) with the label's sign. 'noisy_linear': the same, with probability `noise` uniform in
    [−g, g] instead. 'k-slab': k slabs of one width w = (2 − 2(k − 1)g)/k with gaps of 2g between them, which belong to
    the two classes in turn; the sides with random signs. 'sign': the label's sign. 'ternary': ±1 for class 1 and 0 for
    class 0. 'normal': standard normal, whatever the label.
    name: of the feature, the kind if not given.
    """

    kind: Kind
    count: Annotated[int, Limit(least=1)] = 1
    noise: Annotated[float, Limit(least=0, most=1, what="a probability")] = 0.1
    name: str = ""

    def __post_init__(self) -> None:
        check_limits(self, Check("dataset.coordinates"))

    @property
    def title(self) -> str:
        """The name of the feature."""
        return self.name or self.kind

    def bayes(self) -> float:
        """Return the accuracy of the best classifier that is shown the feature alone."""
        if self.kind == "normal":
            return 0.5
        return 1 - self.noise**self.count / 2 if self.kind == "noisy_linear" else 1.0

    def drawn(
        self, labels: Int[np.ndarray, " examples"], margin: float, random: np.random.Generator
    ) -> Float[np.ndarray, "examples count"]:
        """Draw the coordinates of examples with these labels."""
        shape = len(labels), self.count
        u, sign = random.random(shape), np.where(random.random(shape) < 0.5, -1.0, 1.0)
        other, one = random.random(shape), labels[:, None] == 1
        toward = np.where(one, 1.0, -1.0)
        if self.kind == "normal":
            return np.asarray(random.standard_normal(shape))
        if self.kind == "sign":
            return np.broadcast_to(toward, shape).copy()
        if self.kind == "ternary":
            return np.where(one, sign, 0.0)
        if "linear" in self.kind:
            clean = toward * (margin + (1 - margin) * u)
            is_noise = other < (self.noise if self.kind == "noisy_linear" else 0.0)
            return np.asarray(np.where(is_noise, margin * sign * u, clean))
        return np.asarray(sign * _slab(int(self.kind[0]), margin, one, u, other))


def _slab(
    slabs: int,
    margin: float,
    one: np.ndarray,
    u: Float[np.ndarray, "examples count"],
    other: Float[np.ndarray, "examples count"],
) -> Float[np.ndarray, "examples count"]:
    """Return distances from the middle: slab j from the middle begins at w/2 + 2jg + (j − 1)w."""
    width = (2 - 2 * (slabs - 1) * margin) / slabs

    def begin(slab: int) -> float:
        return width / 2 + 2 * slab * margin + (slab - 1) * width

    middle = width / 2 * u
    if slabs == 3:
        return np.where(one, begin(1) + width * u, middle)
    third = begin(2) + width * u
    if slabs == 5:
        return np.where(one, begin(1) + width * u, np.where(other < 3 / 4, middle, third))
    odd = np.where(other < 7 / 8, begin(1) + width * u, begin(3) + width * u)
    return np.where(one, odd, np.where(other < 1 / 2, middle, third))


@dataclass(frozen=True)
class Slabs:
    """Two classes that coordinates of known kinds tell apart, mixed by a random rotation (arXiv 2006.07710).

    coordinates: the features. LMS-k is one linear coordinate and k-slabs, MS-(k, l) one k-slab and l-slabs, LSN a sign,
    a ternary coordinate and normal ones. margin: g. rotate: whether inputs are coordinates · W, W a random orthogonal
    matrix (Q of a Gaussian one, with the signs of R's diagonal), or the coordinates themselves.
    Half of the examples are of each class. As images they have one row, in bytes from −4 (0) to 4 (255): rounding moves
    a coordinate by 0.009 (standard deviation), against gaps of 2g.
    """

    coordinates: tuple[Coordinates, ...] = (Coordinates("linear"), Coordinates("7-slab", 49))
    n_train: Annotated[int, Limit(least=2)] = 50_000
    n_test: Annotated[int, Limit(least=2)] = 10_000
    margin: Annotated[float, Limit(above=0, below=1 / 6, what="a margin")] = 0.1
    rotate: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_limits(self, require)
        names = [feature.title for feature in self.coordinates]
        require(bool(names) and len(set(names)) == len(names), "coordinates", "features with distinct names", names)

    @property
    def dimension(self) -> int:
        """How many coordinates there are."""
        return sum(feature.count for feature in self.coordinates)

    def featured(self) -> FeaturedData:
        """Return the examples as features, each [examples, coordinates]."""
        d = self.dimension
        rotation = _rotation(d, self.seed) if self.rotate else None
        columns, at = dict[str, slice](), 0
        for feature in self.coordinates:
            columns[feature.title] = slice(at, at + feature.count)
            at += feature.count

        def draw(values: Values) -> np.ndarray:
            whole = np.concatenate([values[name] for name in columns], 1)
            return (whole if rotation is None else whole @ rotation).reshape(len(whole), 1, d, 1)

        def part(name: str, size: int) -> Featured:
            labels = generator("labels", self.seed, name).permutation(np.arange(size) % 2).astype(np.int64)
            values = {
                feature.title: feature.drawn(labels, self.margin, generator(name, self.seed, feature.title))
                for feature in self.coordinates
            }
            matrix = np.eye(d) if rotation is None else rotation
            return Featured(values, labels, draw, rotation=matrix, columns=columns)

        kinds = {feature.title: feature for feature in self.coordinates}

        def bayes(names: frozenset[str]) -> float:
            # Noise of different coordinates is independent, so a wrong guess needs noise in all of them.
            wrong = [1 - kinds[name].bayes() for name in names if kinds[name].kind != "normal"]
            return float(1 - np.prod([2 * one for one in wrong]) / 2) if wrong else 0.5

        complexity = {name: COMPLEXITY[feature.kind] for name, feature in kinds.items()}
        return FeaturedData(part("train", self.n_train), part("test", self.n_test), CLASSES, complexity, bayes)

    def load(self) -> Dataset:
        data = self.featured()
        parts, clipped = [], []
        for part in (data.train, data.test):
            inputs = part.inputs()
            clipped.append(int((np.abs(inputs) > SPAN).any((1, 2, 3)).sum()))
            levels = np.rint((np.clip(inputs, -SPAN, SPAN) / SPAN + 1) * 127.5)
            parts.append(Examples(levels.astype(np.uint8), part.labels))
        changed = (
            (Tally(f"set to ±{SPAN:g} where a coordinate is beyond", clipped[0], clipped[1]),) if any(clipped) else ()
        )
        return Dataset(parts[0], parts[1], data.classes, Notes(changed=changed))


def _rotation(d: int, seed: int) -> Float[np.ndarray, "features features"]:
    q, r = np.linalg.qr(generator("rotation", seed).standard_normal((d, d)))
    return np.asarray(q * np.sign(np.diag(r)))
