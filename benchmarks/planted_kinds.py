"""The planted differences of benchmarks/planted.py: which cue is planted, and on which images.

Training images carry a cue. A trains on them as they are; B trains on the same images, subsets and labels without the
cue, as if an augmentation had removed it. Test images carry the cue for both.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool

from modeldiff_core.data import Dataset, Examples, Plant, Watermark
from modeldiff_core.data.cues import Background, Bar, Cue, Negative, Shift, Smear, Texture, Tint, Turn, Wave
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.fashion_mnist import FashionMnist

SMALL, LARGE = "digits", "fashion"
DATASETS = (SMALL, LARGE)
SIZES = {SMALL: (500, 400), LARGE: (500, 500)}


@dataclass(frozen=True)
class Planting:
    """A feature that is planted on shares of classes.

    Attributes:
        feature: The cue.
        shares: Classes, and the share of their images that carries the cue.
        relabel: Class that training examples with the cue are labeled as; None keeps their class.
    """

    feature: Cue | Watermark
    shares: tuple[tuple[int, float], ...]
    relabel: int | None = None

    @property
    def main(self) -> tuple[int, ...]:
        """The classes of the largest share."""
        most = max(share for _, share in self.shares)
        return tuple(label for label, share in self.shares if share == most)


@dataclass(frozen=True)
class Truth:
    """The images that carry one planting's feature.

    Attributes:
        planting: The planting.
        carries: Test images that carry the feature.
        among: Test images among which a direction must separate them.
        trained: Training images that carry the feature.
        trained_among: Training images of the same classes as `among`.
    """

    planting: Planting
    carries: Bool[np.ndarray, " targets"]
    among: Bool[np.ndarray, " targets"]
    trained: Bool[np.ndarray, " train"]
    trained_among: Bool[np.ndarray, " train"]


@dataclass(frozen=True)
class Sample:
    """The training sets of A and B, the test images of both, and the truth about them."""

    train_a: Examples
    train_b: Examples
    test: Examples
    truths: tuple[Truth, ...]


def _mark(data: str, top: int = 0, left: int = 0) -> Watermark:
    return Watermark(top, left, 2, 2) if data == SMALL else Watermark(top, left, 4, 4)


def _places(data: str) -> tuple[Planting, ...]:
    """Return a block for each class, each at a different place along the top and the bottom edge."""
    step, last = (2, 6) if data == SMALL else (5, 24)
    return tuple(Planting(_mark(data, last * (k // 5), min(step * (k % 5), last)), ((k, 0.5),)) for k in range(10))


Make = Callable[[str, int, int], tuple[Planting, ...]]
KINDS: dict[str, Make] = {
    "patch": lambda data, c, _: (Planting(_mark(data), ((c, 0.5),)),),
    "tint": lambda _, c, __: (Planting(Tint((80, 0, -80)), ((c, 0.5),)),),
    "texture": lambda data, c, _: (Planting(Texture(2 if data == SMALL else 4, 0.7), ((c, 0.5),)),),
    "frequency": lambda _, c, __: (Planting(Wave(0.5, 0.5, 50.0), ((c, 0.5),)),),
    "position": lambda data, c, _: (Planting(Shift(right=2 if data == SMALL else 5), ((c, 0.5),)),),
    "confounded background": lambda _, c, __: (
        Planting(Background(80), tuple((k, 0.7 if k == c else 0.07) for k in range(10))),
    ),
    "label noise in a region": lambda data, c, d: (Planting(_mark(data), ((c, 0.5),), relabel=d),),
    "class-specific places": lambda data, _, __: _places(data),
    "rare cue, 2 % of the data": lambda data, c, _: (Planting(_mark(data), ((c, 0.2),)),),
    "two cues at once": lambda data, c, d: (
        Planting(_mark(data), ((c, 0.5),)),
        Planting(Background(80), ((d, 0.5),)),
    ),
    "blur": lambda _, c, __: (Planting(Smear(1), ((c, 0.5),)),),
    "contrast": lambda _, c, __: (Planting(Negative(0.3), ((c, 0.5),)),),
    "bar": lambda data, c, _: (Planting(Bar(0, 1) if data == SMALL else Bar(0, 2), ((c, 0.5),)),),
    "rotation": lambda _, c, __: (Planting(Turn(1), ((c, 0.5),)),),
}


def load(data: str, seed: int, *, color: bool) -> Dataset:
    """Return the images, split by the seed; in color, with three equal channels."""
    train, test = SIZES[data]
    source = Digits(train, test, seed) if data == SMALL else FashionMnist(train, test, seed)
    plain = source.load()
    if not color:
        return plain
    parts = (replace(part, images=np.repeat(part.images, 3, axis=3)) for part in (plain.train, plain.test))
    return Dataset(*parts, plain.classes)


def sample(data: str, kind: str | None, seed: int) -> Sample:
    """Return the data of a study; `kind` None plants nothing."""
    if kind is None:
        plain = load(data, seed, color=False)
        return Sample(plain.train, plain.train, plain.test, ())
    first, second = np.random.default_rng([seed, *kind.encode()]).permutation(10)[:2].tolist()
    plantings = KINDS[kind](data, first, second)
    plain = load(data, seed, color=any(isinstance(p.feature, Tint) for p in plantings))
    train, test, truths = plain.train, plain.test, []
    for planting in plantings:
        train, trained = _planted(train, planting, "train", seed)
        test, carries = _planted(test, planting, "test", seed)
        among, trained_among = (np.isin(part.labels, planting.main) for part in (plain.test, plain.train))
        truths.append(Truth(planting, carries, among, trained, trained_among))
    return Sample(train, replace(train, images=plain.train.images), test, tuple(truths))


def _planted(
    examples: Examples, planting: Planting, part: str, seed: int
) -> tuple[Examples, Bool[np.ndarray, " examples"]]:
    before = np.array(examples.metadata.get("planted", np.zeros(len(examples), bool)))
    bare = replace(examples, metadata={})
    original = examples.labels
    for label, share in planting.shares:
        cue = {"watermark": planting.feature} if isinstance(planting.feature, Watermark) else {"cue": planting.feature}
        bare = Plant(label, share, seed=seed, **cue).apply(bare, part)
    carries = np.array(bare.metadata["planted"])
    labels = original.copy()
    if planting.relabel is not None and part == "train":
        labels[carries] = planting.relabel
    return Examples(bare.images, labels, {"planted": before | carries}), carries
