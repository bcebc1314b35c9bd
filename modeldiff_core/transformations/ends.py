"""The ends of a direction: whose images they are, and what sets these apart from others of the same classes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Num

from modeldiff_core.data import Examples
from modeldiff_core.identity import generator
from modeldiff_core.statistics import within_classes
from modeldiff_core.subpopulations import furthest
from modeldiff_core.transformations.candidates import TransformationTest

Sign = Literal["positive", "negative"]
EXAMPLES = 4000
"""Most examples that contrasts are measured on; more would hardly sharpen them."""
MAJORITY = 1 / 3
"""Least share of an end's members that makes their commonest class the end's class."""


@dataclass(frozen=True)
class OrderedExamples:
    """Examples with their place along a direction: targets by projection, training examples by weight."""

    examples: Examples
    values: Float[np.ndarray, " examples"]

    def some(self) -> "OrderedExamples":
        """At most EXAMPLES of them, drawn at random."""
        if len(self.values) <= EXAMPLES:
            return self
        order = generator("search examples", len(self.values)).permutation(len(self.values))
        kept = np.sort(order[:EXAMPLES])
        return OrderedExamples(self.examples.select(kept), self.values[kept])


@dataclass(frozen=True)
class End:
    """An end: the class that most of its members have, if one prevails, and its members' images, strongest first.

    images: of members of the end's class alone, if there is one. parts: targets and training examples, with values that
    grow toward this end. share: of all examples that are members.
    """

    sign: Sign
    images: np.ndarray
    target_class: int | None
    parts: tuple[OrderedExamples, ...]
    share: float

    def difference(
        self, of: Callable[[np.ndarray], Num[np.ndarray, "examples *shape"]]
    ) -> Float[np.ndarray, "*shape"] | None:
        """By how much members differ from others of the same classes in what `of` makes of images.

        The difference within classes (see within_classes) among targets and among training examples, each with the
        weight of its members' number. None if no class holds members and others.
        """
        total, weight = 0.0, 0
        for part in self.parts:
            some = part.some()
            member = furthest(some.values, self.share)
            found = within_classes(of(some.examples.images), member.astype(np.float64), some.examples.strata)
            if found is not None:
                total = total + member.sum() * found.difference
                weight += int(member.sum())
        return np.asarray(total / weight) if weight else None

    def others(self) -> np.ndarray:
        """Images of the end's class that do not belong to it."""
        found = []
        for part in (part.some() for part in self.parts):
            rest = ~furthest(part.values, self.share) & (part.examples.labels == self.target_class)
            found.append(part.examples.images[rest])
        return np.concatenate(found)

    def test(
        self, words: str, kind: str, parameters: dict[str, object], *, own_class: bool = False
    ) -> TransformationTest:
        """Return a candidate that follows the end's class, or each image's own."""
        whose = None if own_class else self.target_class
        name = f"{words} ({self.sign} end{', own class' if own_class else ''})"
        return TransformationTest(name, kind, whose, parameters=parameters)


def ends(targets: OrderedExamples, train: OrderedExamples, share: float) -> Iterator[End]:
    """Yield the positive and the negative end, where there are members."""
    signs: tuple[tuple[Sign, int], ...] = (("positive", 1), ("negative", -1))
    for sign, factor in signs:
        parts = tuple(OrderedExamples(part.examples, factor * part.values) for part in (targets, train))
        images, labels = [], []
        for part in parts:
            position = np.flatnonzero(furthest(part.values, share))
            strongest_first = position[np.argsort(-part.values[position], kind="stable")]
            images.append(part.examples.images[strongest_first])
            labels.append(part.examples.strata[strongest_first])
        counts = np.bincount(np.concatenate(labels))
        if not counts.sum():
            continue
        if not targets.examples.classed:
            yield End(sign, np.concatenate(images), None, parts, share)
            continue
        common = int(counts.argmax())
        if counts[common] < MAJORITY * counts.sum():
            yield End(sign, np.concatenate(images), None, parts, share)
        else:
            # Members of other classes would only blur what those of the end's class have in common.
            own = np.concatenate(images)[np.concatenate(labels) == common]
            yield End(sign, own, common, parts, share)
