"""What a contrast found, in sentences for readers who do not know the method."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from modeldiff_core.experiments.compare.verdicts import verdict_sentences

SIDE_NAMES = {"a-b": ("a", "b"), "b-a": ("b", "a")}
TOLD = 3
"""Most differences that have a sentence of their own."""
ALIKE = 0.05
"""Logarithm of a slope within which margins are said to react about as strongly."""
UNRELATED = 2.0
"""All that differs where A and B rely on unrelated examples: more is the error of lengths that too few models tell."""


def contrast_sentences(
    summary: Mapping[str, Any],
    names: Mapping[str, str],
    targets: Int[np.ndarray, " targets"] | None,
    classes: Sequence[str],
    tested: bool,
) -> list[str]:
    """Return what differs, how much and how sure; what that explains; how strongly margins react; and the verdict.

    Args:
        summary: ``differences``, ``directions``, ``total``, ``reaction``, ``verdict`` and ``found`` of summary.json.
        names: Of the algorithms, by letter.
        targets: Classes of the test images, if they are known.
        classes: Names of the classes.
        tested: Whether directions were tested against chance.

    """
    if not tested:
        return ["Directions were not tested against chance (comparison.draws=0)."]
    said = _nothing(summary, names)
    if summary["differences"]:
        said = [_difference(one, summary, names, targets, classes) for one in summary["differences"][:TOLD]]
        said.append(_explained(summary))
    return [*said, _reaction(summary["reaction"], names), *verdict_sentences(summary["verdict"])]


def _nothing(summary: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    total = summary["total"]
    amount = f"and all that differs amounts to {_share(total)} of a datamodel"
    if total["value"] > UNRELATED:
        amount = "but these models are too few to tell how much could differ"
    return [
        f"No sign that {names['a']} and {names['b']} rely on different training examples: of "
        f"{len(summary['directions'])} directions none stands out from chance, {amount}."
    ]


def _difference(
    one: Mapping[str, Any],
    summary: Mapping[str, Any],
    names: Mapping[str, str],
    targets: Int[np.ndarray, " targets"] | None,
    classes: Sequence[str],
) -> str:
    """Return who relies on what, by which transformation it shows, by how much, on which images, and how sure it is."""
    more, less = (names[letter] for letter in SIDE_NAMES[one["side"]])
    entry = next(d for d in summary["directions"] if (d["side"], d["index"]) == (one["side"], one["directions"][0]))
    shown = _shown(one, summary, names, classes)
    where = _images(entry, targets, classes)
    many = len(one["directions"])
    belong = "" if many == 1 else f" {many} directions belong to it."
    return (
        f"{_who(more, less, entry['ratio'])} on one group of training examples{shown}.{where}{belong} Chance alone "
        f"would give so large a difference with p = {one['p_adjusted']:.2g}."
    )


def _who(more: str, less: str, ratio: Mapping[str, Any] | None) -> str:
    """Return who relies more, as far as the interval of the ratio of both variances tells that."""
    low = None if ratio is None else ratio["low"]
    if low is None or low <= 1:
        return f"{more} and {less} rely differently"
    times = f"{low:.1f}" if low < 10 else f"{low:.0f}"
    return f"{more} relies at least {times} times more than {less}" if low >= 1.5 else f"{more} relies more than {less}"


def _images(entry: Mapping[str, Any], targets: Int[np.ndarray, " targets"] | None, classes: Sequence[str]) -> str:
    """Return the class that most of the images at an end have; nothing where classes are not known."""
    if targets is None or not len(classes):
        return ""
    ends = [targets[entry[end]] for end in ("top_targets", "bottom_targets")]
    commonest = [Counter(end.tolist()).most_common(1)[0] for end in ends if len(end)]
    number, count = max(commonest, key=lambda pair: pair[1])
    size = len(entry["top_targets"])
    return f" It shows on test images of class {classes[number]} ({count} of the {size} furthest out)."


def _shown(one: Mapping[str, Any], summary: Mapping[str, Any], names: Mapping[str, str], classes: Sequence[str]) -> str:
    """Return the confirmed transformation of the largest difference of effects, with both effects."""
    confirmed = [
        found
        for found in summary["found"]
        if found["distinguishing"]
        and any(d["side"] == one["side"] and d["index"] in one["directions"] for d in found["along"])
    ]
    if not confirmed:
        return "; no transformation of an image that shows it was confirmed"
    best = max(confirmed, key=lambda found: abs(found["difference"]))
    of = "the own class" if best["class"] is None else f"class {classes[best['class']]}"
    points = [_points(best["effect"][letter]) for letter in ("a", "b")]
    apart = ", ".join(f"{100 * abs(end):.1f}" for end in sorted(best["difference_ci"], key=abs))
    return (
        f": the transformation “{best['name']}” changes the probability of {of} by {points[0]} points for "
        f"{names['a']} and by {points[1]} for {names['b']} ({100 * abs(best['difference']):.1f} [{apart}] points apart)"
    )


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def _explained(summary: Mapping[str, Any]) -> str:
    """Return how much of all that differs the differences explain, and what remains."""
    differences, total = summary["differences"], summary["total"]
    named = "This difference explains" if len(differences) == 1 else f"These {len(differences)} differences explain"
    if len(differences) > TOLD:
        named = f"These and {len(differences) - TOLD} more explain"
    explained = total["explained"]
    all_of_it = f"All that differs amounts to {_share(total)} of the squared length of a datamodel"
    if explained is None:
        return f"{all_of_it}; how much of it is named here cannot be told."
    rest = max(0.0, 1 - min(1.0, explained["value"]))
    return (
        f"{named} {_share(explained, most=True)} of all that A and B rely on differently; the other "
        f"{100 * rest:.0f} % lies in no direction that stands out from chance. {all_of_it}."
    )


def _reaction(reaction: Mapping[str, float], names: Mapping[str, str]) -> str:
    """Return how strongly margins react, and whether that varies from image to image by as much as can be said."""
    middle, spread, p = (reaction[name] for name in ("middle", "spread", "p"))
    strongly = "about as strongly" if abs(np.log(middle)) < ALIKE else f"{middle:.2f} times as strongly"
    on_average = f"On average margins of {names['a']} react {strongly} as those of {names['b']}"
    if p > 0.05:
        return f"{on_average}, on all images alike as far as can be told (p = {p:.2g})."
    if spread < ALIKE:
        return (
            f"{on_average}; from image to image that varies by less than {100 * np.expm1(ALIKE):.0f} % (p = {p:.2g})."
        )
    factor = f"by a factor of {np.exp(spread):.1f}" if spread >= np.log(1.5) else f"by {100 * np.expm1(spread):.0f} %"
    return (
        f"{on_average}; from image to image that varies {factor} beyond noise (p = {p:.2g}), which is no difference in "
        "what they rely on."
    )


def _share(one: Mapping[str, Any], *, most: bool = False) -> str:
    """Return a share with its interval in percent, not below 0; most: nor above 100."""
    value, low, high = (
        max(0.0, min(1.0, part) if most else part) if part is not None else None
        for part in (one["value"], one["low"], one["high"])
    )
    if value is None:
        return "a share that cannot be told"
    ends = "" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{100 * value:.0f} %{ends}"
