"""Data sets of benchmarks/agreement.py: a cue goes with the label, and B's training has no use for it.

A trains plainly. B is one of two. *Shuffled*: it trains on the same images with the cue put on others at random, as an
augmentation would, so that it tells nothing. *Attacked*: it trains under projected gradient ascent in the l2 ball of
EPSILON; the cue there is faint, with an l2 norm of FAINT, less than twice EPSILON, so that an attack can put it on
images that lack it and take it off those that have it. A strong cue, which both use, has more than twice as much. Cues
are on a share USUAL of the images of the last of five classes (a second cue of the fourth). What tells the label
besides is the image: a digit from 0 to 4, or one of five kinds of clothes for the upper body.

That an attack could take a cue off does not mean that B has no use for it: the attack goes where the loss rises most.
On digits, told right in .99 without it, A's reliance on a faint cue is .010 to .017 (as a share of the log odds) and
B's, under attacks of 0.5 or 0.75, as much (.012 to .021; seed 99). So nothing is planted there, and those three are
UNUSED. On clothes, told right in two of three, A's is .04 to .11 and B's under attacks of 0.75 .002 to .009.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from modeldiff_core.data.digits import Digits
from modeldiff_core.data.fashion_mnist import FashionMnist
from modeldiff_core.data.featured import Featured, Values

EPSILON, FAINT, CLEAR, STRONG = 0.75, 0.85, 2.0, 4.0
TRAIN, TEST = 300, 300
CLASSES, USUAL = 5, 0.6
Pictures = Float[np.ndarray, "examples height width"]
Source = Callable[[int], tuple[Pictures, np.ndarray]]
"""Of images and their labels, by the seed."""
Pair = Callable[[int], tuple[Pictures, Pictures]]
"""Of images of two kinds, by the seed."""


Way = Literal["shuffled", "attacked", "seeds"]


@dataclass(frozen=True)
class Made:
    """Training and test examples.

    planted: the feature that B's training is to have no use for; empty where there is none. way: how B differs from A;
    'seeds' if in nothing else.
    """

    train: Featured
    test: Featured
    planted: str
    way: Way


def _digits(seed: int) -> tuple[Pictures, np.ndarray]:
    """Return digits from 0 to 4, in 0..1, and which they are."""
    found = Digits(1796, 1, seed).load().train
    rows = np.flatnonzero(found.labels < CLASSES)[: TRAIN + TEST]
    return found.images[rows, ..., 0].astype(np.float64) / 255, found.labels[rows].astype(np.int64)


def _clothes(seed: int) -> tuple[Pictures, np.ndarray]:
    """Return shirts, pullovers, dresses, coats and tops in 0..1, 14 × 14 pixels."""
    found = FashionMnist(6000, 10, seed).load().train
    kinds = np.array([0, 2, 3, 4, 6])
    rows = np.flatnonzero(np.isin(found.labels, kinds))[: TRAIN + TEST]
    return _halved(found.images[rows]), np.searchsorted(kinds, found.labels[rows])


def _zeros_and_ones(seed: int) -> tuple[Pictures, Pictures]:
    """Return zeros and ones in 0..1."""
    every = Digits(1796, 1, seed).load().train
    images = every.images[..., 0].astype(np.float64) / 255
    return images[every.labels == 0], images[every.labels == 1]


def _trousers_and_boots(seed: int) -> tuple[Pictures, Pictures]:
    """Return trousers and boots in 0..1, 14 × 14 pixels."""
    found = FashionMnist(6000, 10, seed).load().train
    trousers, boots = (_halved(found.images[found.labels == kind]) for kind in (1, 9))
    return trousers, boots


def _halved(images: np.ndarray) -> Pictures:
    """Return images of bytes in 0..1 with half as many pixels to a side."""
    values = images[..., 0].astype(np.float64) / 255
    return np.asarray(values.reshape(len(values), 14, 2, 14, 2).mean((2, 4)))


def _pattern(kind: str, height: int, width: int, norm: float) -> Float[np.ndarray, "height width"]:
    """Return what a cue adds to an image."""
    marks = np.zeros((height, width))
    down, across = np.mgrid[:height, :width]
    if kind == "block":
        marks[:2, :2] = 1
    elif kind == "stripes":
        marks[:, ::2] = 1
    elif kind == "checks":
        marks[(down + across) % 2 == 0] = 1
    elif kind == "frame":
        marks[[0, -1]] = 1
        marks[:, [0, -1]] = 1
    elif kind == "bar":
        marks[-1] = 1
    elif kind == "bars":
        marks[-2:] = 1
    else:
        assert kind == "background", kind
        marks[:] = 1
    return marks * norm / np.linalg.norm(marks)


def _carries(
    labels: np.ndarray, random: np.random.Generator, *, tells: bool = True, of: int = CLASSES - 1
) -> np.ndarray:
    """Return which images carry a cue; one that does not tell is on the same share of all together."""
    share = np.where(labels == of, USUAL, 0.0) if tells else np.full(len(labels), USUAL / CLASSES)
    return random.random(len(labels)) < share


def _split(values: Values, labels: np.ndarray, draw: Callable[[Values], np.ndarray], planted: str, way: Way) -> Made:
    parts = []
    for rows in (slice(0, TRAIN), slice(TRAIN, TRAIN + TEST)):
        parts.append(Featured({name: value[rows] for name, value in values.items()}, labels[rows], draw))
    return Made(parts[0], parts[1], planted, way)


def _cued(
    images: Pictures,
    labels: np.ndarray,
    cues: Mapping[str, np.ndarray],
    seed: int,
    way: Way = "shuffled",
    *,
    tells: bool = True,
) -> Made:
    """Return images with cues, each of another class from the last on; the one that is named cue is planted."""
    random = np.random.default_rng([seed, 2])
    carried = {name: _carries(labels, random, tells=tells, of=CLASSES - 1 - at) for at, name in enumerate(cues)}
    values = {"image": images, **carried}

    def draw(values: Values) -> np.ndarray:
        added = sum(values[name][:, None, None] * pattern for name, pattern in cues.items())
        return np.asarray(np.clip(values["image"] + added, 0, 1)[..., None])

    return _split(values, labels, draw, "cue" if tells and way != "seeds" else "", way)


def _on_digits(kind: str, seed: int, way: Way = "shuffled", *, tells: bool = True) -> Made:
    pattern = _pattern(kind, 8, 8, FAINT if way == "attacked" else CLEAR)
    return _cued(*_digits(seed), {"cue": pattern}, seed, way, tells=tells)


def _two_cues(seed: int) -> Made:
    cues = {"cue": _pattern("block", 8, 8, CLEAR), "strong": _pattern("bars", 8, 8, STRONG)}
    return _cued(*_digits(seed), cues, seed)


def _on_clothes(kind: str, seed: int, way: Way = "shuffled") -> Made:
    return _cued(*_clothes(seed), {"cue": _pattern(kind, 14, 14, FAINT if way == "attacked" else CLEAR)}, seed, way)


def _dominoes(seed: int, way: Way, second: Source = _digits, pairs: Pair = _zeros_and_ones) -> Made:
    """Return a faint image of a pair above another; the pair's second stands above most of the last class alone."""
    images, labels = second(seed)
    pictures = pairs(seed)
    random = np.random.default_rng([seed, 3])
    one = _carries(labels, random)
    first = np.stack([random.choice(pictures[int(number)]) for number in one])
    apart = np.linalg.norm(pictures[1].mean(0) - pictures[0].mean(0))
    values = {"first": first * min(1.0, (FAINT if way == "attacked" else CLEAR) / apart), "second": images}

    def draw(values: Values) -> np.ndarray:
        return np.concatenate([values["first"], values["second"]], 1)[..., None]

    return _split(values, labels, draw, "first", way)


def _blocks(seed: int, way: Way, source: Source = _digits) -> Made:
    """Return an image above or below a square, in whose middle stands the cue."""
    images, labels = source(seed)
    random = np.random.default_rng([seed, 4])
    side = images.shape[1]
    square, mark, middle = np.zeros((side, side)), np.zeros((side, side)), side // 2
    square[1:-1, 1:-1], square[2:-2, 2:-2] = 1, 0
    mark[middle - 1 : middle + 1, middle - 1 : middle + 1] = (FAINT if way == "attacked" else CLEAR) / 2
    below = random.random(len(labels)) < 0.5
    values = {"image": images, "position": below, "cue": _carries(labels, random)}

    def draw(values: Values) -> np.ndarray:
        block = square + values["cue"][:, None, None] * mark
        turned = values["position"][:, None, None]
        over, under = (np.where(at, block, values["image"]) for at in (turned, ~turned))
        return np.concatenate([over, under], 1)[..., None]

    return _split(values, labels, draw, "cue", way)


PLANTED: Mapping[str, Callable[[int], Made]] = {
    "watermark": lambda seed: _on_digits("block", seed),
    "stripes": lambda seed: _on_digits("stripes", seed),
    "checks": lambda seed: _on_digits("checks", seed),
    "frame": lambda seed: _on_digits("frame", seed),
    "background": lambda seed: _on_digits("background", seed),
    "watermark beside a strong bar": _two_cues,
    "watermark on clothes": lambda seed: _on_clothes("block", seed),
    "dominoes": lambda seed: _dominoes(seed, "shuffled"),
    "blocks": lambda seed: _blocks(seed, "shuffled"),
    "watermark on clothes, attacked": lambda seed: _on_clothes("block", seed, "attacked"),
    "dominoes of clothes, attacked": lambda seed: _dominoes(seed, "attacked", _clothes, _trousers_and_boots),
    "blocks of clothes, attacked": lambda seed: _blocks(seed, "attacked", _clothes),
}
"""A uses the cue and B does not."""
UNUSED: Mapping[str, Callable[[int], Made]] = {
    "watermark, attacked": lambda seed: replace(_on_digits("block", seed, "attacked"), planted=""),
    "dominoes, attacked": lambda seed: replace(_dominoes(seed, "attacked"), planted=""),
    "blocks, attacked": lambda seed: replace(_blocks(seed, "attacked"), planted=""),
}
"""A hardly uses the cue beside the digit, and no more than B."""
NOTHING: Mapping[str, Callable[[int], Made]] = {
    "nothing: other seeds": lambda seed: _on_digits("block", seed, "seeds"),
    "nothing: a cue that does not tell": lambda seed: _on_digits("block", seed, tells=False),
}
KINDS = {**PLANTED, **UNUSED, **NOTHING}
