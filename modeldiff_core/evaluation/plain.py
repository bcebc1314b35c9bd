"""Plain differences between two algorithms: how good, how sure and how alike their models trained on all data are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_softmax

from modeldiff_core.evaluation.agreement import Agreement, agreement
from modeldiff_core.statistics import Difference, Interval, difference_test, holm, two_way_interval, unseen_share

Logits = Float[np.ndarray, "models targets classes"]
LogitsA = Float[np.ndarray, "models_a targets classes"]
LogitsB = Float[np.ndarray, "models_b targets classes"]
Pairing = Literal["independent", "paired"]
BINS = 15
"""Bins of equal width of the calibration error."""
LEAST = 10
"""Images that a group must have for its accuracy to be compared."""


@dataclass(frozen=True)
class Quantity:
    """One quantity of A's and of B's models with intervals, their difference with its test, and on how many images.

    group: class or metadata value whose images these are; empty for all of them. unit: 'share', 'nats', 'probability',
    'deviations' (of the number that is predicted) or 'variances'. p_adjusted: corrected by Holm over all quantities
    and groups.
    """

    name: str
    group: str
    unit: str
    a: Interval
    b: Interval
    difference: Difference
    images: int
    p_adjusted: float


@dataclass(frozen=True)
class PlainDifferences:
    """All quantities, the whole test set first, and how far predictions agree; None where they are no classes."""

    quantities: tuple[Quantity, ...]
    agreement: Agreement | None

    def of(self, name: str, group: str = "") -> Quantity:
        """Return one of the quantities."""
        return next(one for one in self.quantities if (one.name, one.group) == (name, group))


@dataclass(frozen=True)
class Setting:
    """pairing: 'paired' where models of one number share a seed. level: of intervals. seed: of exchanges."""

    pairing: Pairing = "paired"
    level: float = 0.95
    seed: int = 0


def plain_differences(
    a: LogitsA,
    b: LogitsB,
    labels: Int[np.ndarray, " targets"],
    groups: Mapping[str, Bool[np.ndarray, " targets"]],
    setting: Setting,
) -> PlainDifferences:
    """Compare models trained on all data on the same images; at least 2 of each algorithm.

    accuracy: share of right predictions, also within each group of at least LEAST images. loss: mean −log p of the own
    class. sureness: mean largest probability; overconfidence: it minus accuracy. Their intervals hold for new models
    and new images (`two_way_interval`), and so do the tests. calibration error: mean over models of Σ over bins of the
    share of images in a bin times |accuracy − mean sureness| there; its interval and test are for new models and these
    images.
    """
    rows = [
        *(
            measured(name, "", unit, of_a, of_b, setting)
            for (name, unit, of_a), (_, _, of_b) in zip(_by_image(a, labels), _by_image(b, labels), strict=True)
        ),
        _calibration(a, b, labels, setting),
    ]
    right_a, right_b = ((logits.argmax(2) == labels).astype(np.float64) for logits in (a, b))
    for group, inside in groups.items():
        if inside.sum() >= LEAST:
            rows.append(measured("accuracy", group, "share", right_a[:, inside], right_b[:, inside], setting))
    adjusted = holm(np.array([row.difference.p for row in rows]))
    quantities = tuple(replace(row, p_adjusted=float(p)) for row, p in zip(rows, adjusted, strict=True))
    return PlainDifferences(
        quantities, agreement(a.argmax(2), b.argmax(2), setting.pairing, setting.level, setting.seed)
    )


Values = Float[np.ndarray, "models targets"]
ValuesA = Float[np.ndarray, "models_a targets"]
ValuesB = Float[np.ndarray, "models_b targets"]


def _by_image(logits: Logits, labels: Int[np.ndarray, " targets"]) -> Iterator[tuple[str, str, Values]]:
    """Yield the quantities that each image has a value of: name, unit and values."""
    log_p = log_softmax(logits.astype(np.float64), axis=2)
    right = (logits.argmax(2) == labels).astype(np.float64)
    sure = np.exp(log_p.max(2))
    yield "accuracy", "share", right
    yield "loss", "nats", -log_p[:, np.arange(len(labels)), labels]
    yield "sureness", "probability", sure
    yield "overconfidence", "probability", sure - right


def measured(name: str, group: str, unit: str, a: ValuesA, b: ValuesB, setting: Setting) -> Quantity:
    """Return a quantity of A's and of B's models with the test of its difference, not yet adjusted for others."""
    level = setting.level
    of_a, of_b = two_way_interval(a, level=level), two_way_interval(b, level=level)
    if name == "accuracy":
        of_a, of_b = (_share(interval, a.shape[1], level) for interval in (of_a, of_b))
    difference = difference_test(a, b, level=level, models=setting.pairing)
    return Quantity(name, group, unit, of_a, of_b, difference, a.shape[1], 1.0)


def _share(found: Interval, images: int, level: float) -> Interval:
    """Return the interval of a share within 0..1; where all are right or wrong, as far as this many images can tell."""
    unseen = unseen_share(images, level)
    low = found.low if found.mean < 1 else 1 - unseen
    high = found.high if found.mean > 0 else unseen
    return replace(found, low=max(0.0, low), high=min(1.0, high))


def _calibration(a: LogitsA, b: LogitsB, labels: Int[np.ndarray, " targets"], setting: Setting) -> Quantity:
    """Compare the calibration errors of single models, as if every image had the same: only models vary."""
    of_a, of_b = (np.repeat(calibration_errors(x, labels)[:, None], 2, axis=1) for x in (a, b))
    return replace(measured("calibration error", "", "probability", of_a, of_b, setting), images=len(labels))


def calibration_errors(logits: Logits, labels: Int[np.ndarray, " targets"]) -> Float[np.ndarray, " models"]:
    """Return each model's expected calibration error over BINS bins of equal width."""
    sure = np.exp(log_softmax(logits.astype(np.float64), axis=2).max(2))
    right = (logits.argmax(2) == labels).astype(np.float64)
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    gaps = [np.bincount(own, difference, BINS) for own, difference in zip(bins, right - sure, strict=True)]
    return np.asarray(np.abs(np.array(gaps)).sum(1) / logits.shape[1])
