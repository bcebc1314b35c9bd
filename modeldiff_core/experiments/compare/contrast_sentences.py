"""What a contrast found, in sentences that a stranger understands."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

SIDE_NAMES = {"a-b": ("a", "b"), "b-a": ("b", "a")}


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
        said = [_difference(one, summary, names, targets, classes) for one in summary["differences"][:3]]
        said.append(_explained(summary))
    return [*said, _reaction(summary["reaction"], names), *_verdict(summary["verdict"], names)]


def _nothing(summary: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    total = summary["total"]
    return [
        f"No sign that {names['a']} and {names['b']} rely on different training examples: of "
        f"{len(summary['directions'])} directions none stands out from chance, and all that differs amounts to "
        f"{_share(total)} of a datamodel."
    ]


def _difference(
    one: Mapping[str, Any],
    summary: Mapping[str, Any],
    names: Mapping[str, str],
    targets: Int[np.ndarray, " targets"] | None,
    classes: Sequence[str],
) -> str:
    """Return who relies on what, where it shows, how much of the difference it is, and how sure that is."""
    more, less = (names[letter] for letter in SIDE_NAMES[one["side"]])
    entry = next(d for d in summary["directions"] if (d["side"], d["index"]) == (one["side"], one["directions"][0]))
    times = entry["ratio"]
    far = "" if times is None or times["low"] is None or times["low"] < 1.5 else f" at least {times['low']:.1f} times"
    where = _images(entry, targets, classes)
    many = "" if len(one["directions"]) == 1 else f" ({len(one['directions'])} directions that belong together)"
    share = one["share"]
    of_all = "" if share is None else f", {_share(share, most=True)} of all that differs"
    strength = f"relies{far} more than {less}" if far else f"relies more than {less}"
    return (
        f"{more} {strength} on one group of training examples{many}{of_all} (p = {one['p_adjusted']:.2g}){where}"
        f"{_shown(one, summary, names, classes)}."
    )


def _images(entry: Mapping[str, Any], targets: Int[np.ndarray, " targets"] | None, classes: Sequence[str]) -> str:
    if targets is None or not len(classes):
        return ""
    ends = [targets[entry[end]] for end in ("top_targets", "bottom_targets")]
    commonest = [Counter(end.tolist()).most_common(1)[0] for end in ends if len(end)]
    number, count = max(commonest, key=lambda pair: pair[1])
    size = len(entry["top_targets"])
    return f"; it shows on test images of class {classes[number]} ({count} of the {size} furthest out)"


def _shown(one: Mapping[str, Any], summary: Mapping[str, Any], names: Mapping[str, str], classes: Sequence[str]) -> str:
    confirmed = [
        found
        for found in summary["found"]
        if found["distinguishing"]
        and any(d["side"] == one["side"] and d["index"] in one["directions"] for d in found["along"])
    ]
    if not confirmed:
        return ""
    best = max(confirmed, key=lambda found: abs(found["difference"]))
    of = "the own class" if best["class"] is None else f"class {classes[best['class']]}"
    points = [f"{100 * best['effect'][letter]:+.1f}".replace("-", "−") for letter in ("a", "b")]
    return (
        f", and when {best['name']} is done to an image: P({of}) changes by {points[0]} points for {names['a']} and by "
        f"{points[1]} for {names['b']}"
    )


def _explained(summary: Mapping[str, Any]) -> str:
    differences, total = summary["differences"], summary["total"]
    named = "This difference explains" if len(differences) == 1 else f"These {len(differences)} differences explain"
    explained = total["explained"]
    if explained is None:
        return f"All that differs amounts to {_share(total)} of a datamodel; how much of it is named cannot be told."
    rest = max(0.0, 1 - min(1.0, explained["value"]))
    return (
        f"{named} {_share(explained, most=True)} of all that differs, which amounts to {_share(total)} of a "
        "datamodel; the "
        f"remaining {100 * rest:.0f} % is in no direction that stands out from chance."
    )


def _reaction(reaction: Mapping[str, float], names: Mapping[str, str]) -> str:
    middle, spread, p = (reaction[name] for name in ("middle", "spread", "p"))
    on_average = f"On average margins of {names['a']} react {middle:.2g} times as strongly as those of {names['b']}"
    if p > 0.05 or spread <= 0:
        return f"{on_average}, on all images alike as far as can be told (p = {p:.2g})."
    return (
        f"{on_average}; from image to image that varies by a factor of {np.exp(spread):.2g} beyond noise (p = "
        f"{p:.2g}), "
        "which is no difference in what they rely on."
    )


def _verdict(verdict: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    if not verdict["margin"]:
        return []
    margin = f"{100 * verdict['margin']:g} % of a datamodel"
    if verdict["answer"] == "equivalent":
        return [f"Equivalent: all that differs was shown to be below {margin}."]
    if verdict["answer"] == "different":
        return [f"Different: what differs was shown to be above {margin}."]
    more = verdict["models_needed"]
    enough = f"about {more:,} models of each would decide" if more else "no number of models can be told that decides"
    return [f"Undecided within {margin}: {enough}."]


def _share(one: Mapping[str, Any], *, most: bool = False) -> str:
    """Return a share with its interval in per cent, not below 0; most: nor above 100."""
    value, low, high = (
        max(0.0, min(1.0, part) if most else part) if part is not None else None
        for part in (one["value"], one["low"], one["high"])
    )
    if value is None:
        return "a share that cannot be told"
    ends = "" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{100 * value:.0f} %{ends}"
