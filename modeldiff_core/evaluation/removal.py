"""The group of training examples behind a difference, and by how much an effect shrinks without it.

The contrast's rows of the test images at the end of a direction where the difference shows, averaged over those
images and signed for the algorithm that reacts to the transformation, are what each training example adds to the
difference there: ū_i. They order the examples. What the effect loses without a group is predicted in margins: with
θ_A,t and θ_B,t datamodels of test image t, E the images at the end and O(t) the others of the class of t,

    d_i = mean over t in E of [(θ_A,t,i − θ_B,t,i) − mean over o in O(t) of (θ_A,o,i − θ_B,o,i)],

since the transformation moves an image from those to these. Noise cancels in a sum of d, since nothing is squared.
Where the order of the examples comes from the same noise, one half of the models orders and the other is summed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.special import expit, logit

from modeldiff_core.identity import generator
from modeldiff_core.statistics import Interval, two_way_interval

ALONE = "datamodels alone"
ALIKE = "datamodels, shared by images that are alike"
PICTURE = "how far an image already looks as the transformation makes it"
ENOUGH = 0.75
"""Share of what the best order's group holds that another's has to hold to be taken for being smaller."""
EXTREME = 0.005
"""Effects are taken to be so far from 0 and from 1 where their growth is predicted."""
LEFT = 0.1
"""Share of a class that stays, whatever is behind the difference."""
MOST = 0.25
"""Largest group, as a share of the training set."""
ALIKE_MOST = 4000
"""Examples of a class up to which images are compared with each other."""
PENALTIES = 10.0 ** -np.arange(0, 5, 0.5)
"""Of the kernel ridge, as shares of the kernel's largest eigenvalue."""

Halves = Float[np.ndarray, "2 train"]


@dataclass(frozen=True)
class Order:
    """One order in which training examples are taken into a group.

    Attributes:
        name: Where it comes from.
        examples: Their positions, the first to be taken first.
        held: Σū of the first k + 1 of them, by models that did not order them.
        lost: Σd of them, likewise.

    """

    name: str
    examples: Int[np.ndarray, " taken"]
    held: Float[np.ndarray, " taken"]
    lost: Float[np.ndarray, " taken"]


@dataclass(frozen=True)
class Group:
    """The group behind a difference.

    Attributes:
        order: Name of the order that it comes from.
        examples: Positions in the training set, those that matter most first.
        label: The class that adds most to the difference.
        held: Share of the Σū of the best order which the first k + 1 examples hold, for every k.
        lost: Σd of the first k + 1, in units of a margin.
        attributed: The most that any order loses, Σd in units of a margin.

    """

    order: str
    examples: Int[np.ndarray, " group"]
    label: int
    held: Float[np.ndarray, " group"]
    lost: Float[np.ndarray, " group"]
    attributed: float


@dataclass(frozen=True)
class Added:
    """What each training example adds to a difference, from two disjoint halves of the models.

    Attributes:
        contrast: ū of the module's docstring, which orders the examples.
        margins: d, which predicts what is lost without them.

    """

    contrast: Halves
    margins: Halves


def behind(
    added: Added,
    images: UInt8[np.ndarray, "train height width channels"],
    labels: Int[np.ndarray, " train"],
    change: Float[np.ndarray, "height width channels"],
    share: float,
) -> Group:
    """Return the smallest group that holds `share` of what its order holds at most.

    Three orders are tried: datamodels alone, over all classes; within the class that adds most, datamodels smoothed
    over images that are alike (kernel ridge); and within it, how far an image lies along the mean change of the
    transformation. Of the groups that hold ENOUGH of what the best of them does the smallest is taken.

    Args:
        added: What each training example adds.
        images: Of the training set.
        labels: Their classes.
        change: The transformation's mean change of an image of that class, in the sense in which the effect grows.
        share: Of the most that an order holds.
    """
    label = leading_class(added.contrast, labels)
    orders = [one for one in _orders(added, images, labels, label, change) if len(one.examples)]
    most, attributed = (
        max(max(float(values.max()) for values in found), float(np.finfo(np.float32).tiny))
        for found in ([one.held for one in orders], [one.lost for one in orders])
    )
    groups = []
    for one in orders:
        size = int(np.argmax(one.held >= share * one.held.max())) + 1
        held, lost = one.held[:size] / most, one.lost[:size]
        groups.append(Group(one.name, one.examples[:size], label, held, lost, attributed))
    best = max(float(group.held[-1]) for group in groups)
    enough = [group for group in groups if group.held[-1] >= min(best, ENOUGH * best)]
    return min(enough, key=lambda group: len(group.examples))


def predicted_shrinkage(lost: float, attributed: float, effect: float) -> float:
    """Return by which share an effect is predicted to shrink where its margin loses `lost`.

    lost/attributed, since without all that is attributed nothing should be left. Where `lost` is negative the effect
    D grows, as far as a probability can: (D − σ(logit D − lost))/D.

    Args:
        lost: Σd of the examples that are removed.
        attributed: The most that any order loses.
        effect: D, the size of the difference of A's and B's changes of a probability.
    """
    if lost >= 0:
        return lost / attributed
    before = min(max(abs(effect), EXTREME), 1 - EXTREME)
    return float(1 - expit(logit(before) - lost) / before)


def leading_class(halves: Halves, labels: Int[np.ndarray, " train"]) -> int:
    """Return the class whose examples add most to the difference, the best of them as one half of the models orders.

    Summed by the other half, like what an order holds. The sum over all of a class may be small where some examples
    stand on one side and the rest on the other: images that are shifted, and those that are not.
    """
    added = np.zeros(int(labels.max()) + 1)
    for label in np.unique(labels):
        own = halves[:, labels == label].astype(np.float64)
        held = sum(np.cumsum(own[1 - half][np.argsort(-own[half], kind="stable")]) for half in (0, 1))
        added[label] = np.max(held)
    return int(np.argmax(added))


def _orders(
    added: Added,
    images: UInt8[np.ndarray, "train height width channels"],
    labels: Int[np.ndarray, " train"],
    label: int,
    change: Float[np.ndarray, "height width channels"],
) -> list[Order]:
    halves = added.contrast
    everyone, own = np.arange(len(labels)), np.flatnonzero(labels == label)
    most = max(1, round(MOST * len(labels)))
    within = max(1, min(most, len(own) - max(1, round(LEFT * len(own)))))
    pictures = images[own].reshape(len(own), -1).astype(np.float32)
    pictures -= pictures.mean(0)
    along = pictures @ change.ravel().astype(np.float32)
    found = [
        _ordered(ALONE, everyone, halves, added, most),
        _ordered(PICTURE, own, np.stack([along, along]), added, within),
    ]
    if len(own) <= ALIKE_MOST:
        smooth = np.stack([smoothed(pictures, half[own] - half[own].mean()) for half in halves])
        found.insert(1, _ordered(ALIKE, own, smooth, added, within))
    return found


def _ordered(
    name: str, examples: Int[np.ndarray, " some"], scores: Float[np.ndarray, "2 some"], added: Added, most: int
) -> Order:
    """Return an order by the mean of both halves' scores; what it holds is of one half, ordered by the other."""
    held, lost = np.zeros(most), np.zeros(most)
    for half in (0, 1):
        first = examples[np.argsort(-scores[half], kind="stable")[:most]]
        held += np.cumsum(added.contrast[1 - half][first], dtype=np.float64) / 2
        lost += np.cumsum(added.margins[1 - half][first], dtype=np.float64) / 2
    order = np.argsort(-scores.mean(0), kind="stable")[:most]
    return Order(name, examples[order], held, lost)


def smoothed(
    features: Float[np.ndarray, "examples values"], values: Float[np.ndarray, " examples"]
) -> Float[np.ndarray, " examples"]:
    """Return values as ridge on the features predicts them, at the penalty of the least leave-one-out error."""
    kernel = (features @ features.T).astype(np.float64)
    sizes, vectors = np.linalg.eigh(kernel)
    best, chosen = np.inf, np.zeros(len(values))
    if sizes[-1] <= 0:
        return chosen
    turned = vectors.T @ values
    for penalty in PENALTIES * sizes[-1]:
        kept = np.clip(sizes, 0, None) / (np.clip(sizes, 0, None) + penalty)
        fitted = vectors @ (kept * turned)
        error = float(np.mean(np.square((values - fitted) / (1 - np.square(vectors) @ kept + 1e-12))))
        if error < best:
            best, chosen = error, fitted
    return chosen


def nested(size: int, parts: Sequence[float]) -> list[int]:
    """Return the sizes of the parts of a group that are removed, each once, the whole group last."""
    return sorted({min(size, max(1, round(part * size))) for part in (*parts, 1.0)})


def random_groups(
    labels: Int[np.ndarray, " train"], group: Int[np.ndarray, " group"], count: int, seed: int
) -> tuple[list[Int[np.ndarray, " group"]], int]:
    """Return random groups of the same classes and size that share no example with the group.

    Where a class has too few others, examples of other classes make up for them: so many stand in the second place.
    """
    rng = generator("random groups", seed)
    free = np.ones(len(labels), dtype=bool)
    free[group] = False
    wanted = np.bincount(labels[group], minlength=int(labels.max()) + 1)
    found, short = [], 0
    for _ in range(count):
        order = rng.permutation(np.flatnonzero(free))
        chosen = [order[labels[order] == label][:many] for label, many in enumerate(wanted) if many]
        taken = np.concatenate(chosen)
        short = len(group) - len(taken)
        rest = order[~np.isin(order, taken)][:short]
        found.append(np.sort(np.concatenate([taken, rest])))
    return found, short


Changes = Mapping[str, Float[np.ndarray, "models images"]]
"""Changes of a probability under the transformation, of A ("a") and of B ("b")."""


def difference(changes: Changes) -> Float[np.ndarray, "models images"]:
    """Return A's changes minus B's, model by model of one number."""
    return np.asarray(changes["a"].astype(np.float64) - changes["b"])


def shrinkages(
    before: Float[np.ndarray, "models images"], after: Float[np.ndarray, "models images"]
) -> Float[np.ndarray, "models images"]:
    """Return numbers whose mean is s = 1 − D'/D, D and D' the mean differences before and after.

    Each is s plus its influence on it, ((1 − s)·before − after)/D, so that their two-way interval is that of s (the
    delta method). Where D is 0 nothing can shrink: all are 0.
    """
    whole = float(before.mean())
    if whole == 0:
        return np.zeros_like(before)
    left = float(after.mean()) / whole
    return np.asarray(1 - left + (left * before - after) / whole)


def shrinkage(
    before: Float[np.ndarray, "models images"], after: Float[np.ndarray, "models images"], level: float
) -> Interval:
    """Return by which share the mean difference shrinks, with its interval for new models and images."""
    return two_way_interval(shrinkages(before, after), level=level)


def beyond_random(
    before: Float[np.ndarray, "models images"],
    after: Float[np.ndarray, "models images"],
    random: Sequence[Float[np.ndarray, "models images"]],
    level: float,
) -> Interval:
    """Return by how much more it shrinks than without random groups, on average over these."""
    others = np.mean([shrinkages(before, one) for one in random], axis=0)
    return two_way_interval(shrinkages(before, after) - others, level=level)


def at_end(
    rows: tuple[Float[np.ndarray, "targets train"], Float[np.ndarray, "targets train"]],
    members: Bool[np.ndarray, " targets"],
) -> Halves:
    """Return ū from both halves: the mean row of the targets at an end."""
    return np.stack([half[members].mean(0) for half in rows])


def beyond_class(
    rows: tuple[Float[np.ndarray, "targets train"], Float[np.ndarray, "targets train"]],
    members: Bool[np.ndarray, " targets"],
    labels: Int[np.ndarray, " targets"],
) -> Halves:
    """Return d from both halves: the mean over members of their row less the mean row of the others of their class.

    Members of a class without others count for nothing; 0 where no class has any.
    """
    inside = np.bincount(labels[members], minlength=int(labels.max()) + 1)
    others = np.bincount(labels[~members], minlength=len(inside))
    inside = np.where(others > 0, inside, 0)
    weights = np.where(members, (others > 0)[labels], -(inside / np.maximum(others, 1))[labels])
    return np.stack([weights @ half for half in rows]) / max(int(inside.sum()), 1)
