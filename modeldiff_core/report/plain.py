"""What the page says of plain differences, before any direction."""

import math
from dataclasses import dataclass

from modeldiff_core.report.facts import IntervalFacts, PlainFacts, PlainRow, ReportFacts
from modeldiff_core.report.words import number, probability

SHOWN_GROUPS = 12
"""Groups shown on the page, those of the least p first; the table has all."""
SIGNIFICANT = 0.05
UNITS = {
    "nats": "nats",
    "deviations": "standard deviations of the training rows' target",
    "variances": "1 is what predicting the mean of the training rows gives",
}
"""Units whose numbers are no shares, in words."""


@dataclass(frozen=True)
class PlainRowView:
    """One row of the table: what is compared, A's and B's values, their difference, p; differs: whether it is shown."""

    name: str
    a: str
    b: str
    difference: str
    p_adjusted: str
    images: str
    differs: bool


@dataclass(frozen=True)
class PlainView:
    """Sentences, the table of the whole test set, and that of groups of its images."""

    words: list[str]
    rows: list[PlainRowView]
    cost: str
    groups: list[PlainRowView]
    left_out: int


def plain_view(facts: ReportFacts) -> PlainView | None:
    """Return plain differences as the page shows them; None where no full-data models are known."""
    found = facts.plain
    if found is None:
        return None
    whole = [_row(row, row.name) for row in found.rows if not row.group]
    groups = sorted((row for row in found.rows if row.group), key=lambda row: row.p_adjusted)
    return PlainView(
        _words(found),
        [*whole, *_agreement(found)],
        _cost(facts),
        [_row(row, row.group) for row in groups[:SHOWN_GROUPS]],
        max(0, len(groups) - SHOWN_GROUPS),
    )


def _words(found: PlainFacts) -> list[str]:
    """Return what differs plainly, or that nothing is shown to, and how far predictions agree."""
    first = found.rows[0]
    differing = [row for row in found.rows if row.p_adjusted <= SIGNIFICANT]
    named = [row.name if not row.group else f"{row.name} on {row.group}" for row in differing]
    right = [_value(one, first.unit) for one in (first.a, first.b)]
    if first.unit == "share":
        said = f"A is right on {right[0]} and B on {right[1]} of the images."
    else:
        said = f"The mean {first.name} of A is {right[0]}, that of B {right[1]} ({UNITS[first.unit]})."
    if named:
        rest = f" and {len(named) - 4} more" if len(named) > 4 else ""
        said += f" They differ beyond chance in: {', '.join(named[:4])}{rest}."
    else:
        said += " No plain difference is beyond chance."
    agreement = found.agreement
    if not agreement:
        return [said]
    shares = [number(agreement[name].mean, 1, scale=100) for name in ("a", "b", "between")]
    verdict = "more than seeds explain" if found.p <= SIGNIFICANT else "no more than seeds explain"
    return [
        said,
        f"Two models of A predict the same class for {shares[0]} % of the images, two of B for {shares[1]} %, one of "
        f"each for {shares[2]} %: the algorithms disagree {verdict} (p {_p(found.p)}).",
    ]


def _cost(facts: ReportFacts) -> str:
    """Return what training one model of each costs; empty where neither was counted."""
    a, b = (one.flops for one in (facts.a, facts.b))
    if math.isnan(a) and math.isnan(b):
        return ""
    said = " and ".join(f"{_operations(one)} for a model of {which}" for which, one in (("A", a), ("B", b)))
    ratio = "" if math.isnan(a) or math.isnan(b) else f" ({a / b:.2f} times as much for A)"
    return f"Training on all data takes {said}{ratio}, counted from network and recipe: no test, since nothing varies."


def _operations(flops: float) -> str:
    """Return a number of floating-point operations in words."""
    if math.isnan(flops):
        return "a number of operations that was not counted"
    power = min(6, max(2, int(math.log10(max(flops, 1)) // 3)))
    names = {2: "million", 3: "billion", 4: "trillion", 5: "quadrillion", 6: "quintillion"}
    return f"{flops / 1000**power:.3g} {names[power]} floating-point operations"


def _agreement(found: PlainFacts) -> list[PlainRowView]:
    one = found.agreement
    if not one:
        return []
    return [
        PlainRowView(
            "agreement of two models", _value(one["a"], "share"), _value(one["b"], "share"), "", "", "", False
        ),
        PlainRowView(
            "agreement of A with B, and what is missing to that of seeds",
            _value(one["between"], "share"),
            "",
            _value(one["beyond"], "share", signed=True),
            probability(found.p),
            "",
            found.p <= SIGNIFICANT,
        ),
    ]


def _row(row: PlainRow, name: str) -> PlainRowView:
    return PlainRowView(
        name,
        _value(row.a, row.unit),
        _value(row.b, row.unit),
        _value(row.difference, row.unit, signed=True),
        probability(row.p_adjusted),
        f"{row.images:,}",
        row.p_adjusted <= SIGNIFICANT,
    )


def _value(one: IntervalFacts, unit: str, *, signed: bool = False) -> str:
    """Return a number with its interval, shares and probabilities in percent."""
    scale, places, sign = (1, 3, "") if unit in UNITS else (100, 1, "" if signed else " %")
    ends = ", ".join(number(end, places, scale=scale) for end in (one.low, one.high))
    return f"{number(one.mean, places, scale=scale, signed=signed)}{sign} [{ends}]"


def _p(p: float) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"
