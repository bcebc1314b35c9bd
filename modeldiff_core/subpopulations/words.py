"""What a subpopulation shares, in words."""

from collections.abc import Iterable

from modeldiff_core.subpopulations.enrichment import CLASS, TRUE, Enrichment
from modeldiff_core.subpopulations.shared import IMAGE, Place, Shared, SharedFacts, StatisticContrast

ALPHA = 0.05
MOST = 4
"""Values that are enriched, and statistics that differ, named in words."""
WORDS = {
    "brightness": ("brighter", "darker", ""),
    "contrast": ("of more contrast", "of less contrast", ""),
    "red": ("redder", "less red", ""),
    "green": ("greener", "less green", ""),
    "blue": ("bluer", "less blue", ""),
    "colourfulness": ("more colorful", "paler", ""),
    "row": ("lower down", "higher up", " pixels"),
    "column": ("further right", "further left", " pixels"),
}


def in_words(found: Shared | SharedFacts | None, lists: int = 1, noun: str = IMAGE) -> list[str]:
    """Return sentences about what is beyond chance; one that says so if nothing is.

    noun: what an example is called, where there is none. lists: how many lists of values, statistics or pixels the
    whole report has (``families``). A report names nothing with chance 0.95 where members are random: each p is
    multiplied by their number (Bonferroni). Classes come without a p: members are not drawn one by one, and an
    algorithm has a class balance of its own, so a class describes an end.
    """
    if found is None:
        return [f"No {noun} lies at this end."]

    def kept(p: float) -> bool:
        return p * lists <= ALPHA

    values = [e for e in found.enrichments if e.column != CLASS and kept(e.p_adjusted)]
    lines = [f"{_counted(e)}, {_p(min(1.0, e.p_adjusted * lists))}" for e in _each_once(values)[:MOST]]
    than = f"than other {found.noun}s of the same classes" if found.matched else f"than all other {found.noun}s"
    telling = sorted((s for s in found.statistics if kept(s.p_adjusted)), key=lambda s: (s.p_adjusted, -_clear(s)))
    told = [f"{_direction(s, found.noun)} {than}, {_p(min(1.0, s.p_adjusted * lists))}" for s in telling[:MOST]]
    if found.place is not None and kept(found.place.p_adjusted):
        told.append(_place(found.place))
    classes = [_counted(e) for e in found.enrichments if e.column == CLASS and e.p_adjusted <= ALPHA][:MOST]
    if not lines and not told:
        told = [f"Nothing {'else ' if classes else ''}that was looked at is shared beyond chance."]
    return [*lines, *classes, *told]


def families(found: Iterable[Shared | SharedFacts | None]) -> int:
    """Return in how many lists something was tested: of values, of statistics, of pixels, for each end."""
    counts = (
        any(e.column != CLASS for e in one.enrichments) + bool(one.statistics) + (one.place is not None)
        for one in found
        if one is not None
    )
    return max(1, sum(counts))


def _each_once(values: list[Enrichment]) -> list[Enrichment]:
    """Of a column of whole numbers keep either single values or quarters, whichever is more surprising."""
    kinds: dict[str, bool] = {}
    for one in values:
        kinds.setdefault(one.column, one.interval)
    return [one for one in values if kinds[one.column] == one.interval]


def _counted(e: Enrichment) -> str:
    return f"{_said(e)}: {e.inside} of {e.members} ({100 * e.overall:.1f} % of all)"


def _said(enrichment: Enrichment) -> str:
    """'class 8', 'background 1', or only the name of a flag that is true."""
    column = enrichment.column.replace("_", " ")
    return column if enrichment.value == TRUE else f"{column} {enrichment.value}"


def _clear(statistic: StatisticContrast) -> float:
    """Return the difference in widths of its interval."""
    return abs(statistic.difference) / max(statistic.high - statistic.low, 1e-9)


def _direction(statistic: StatisticContrast, noun: str) -> str:
    name = statistic.name
    if noun == IMAGE:
        more, less, unit = WORDS.get(name, (f"more {name}", f"less {name}", ""))
    else:
        more, less, unit = f"{name} higher", f"{name} lower", ""
    text, sign = (more, 1) if statistic.difference > 0 else (less, -1)
    low, high = (f"{end:.3g}".replace("-", "−") for end in sorted((sign * statistic.low, sign * statistic.high)))
    return f"{text} by {abs(statistic.difference):.3g} [{low}, {high}]{unit}"


def _place(found: Place) -> str:
    return (
        f"the mean image differs most at row {found.row}, column {found.column}: "
        f"{'brighter' if found.difference > 0 else 'darker'} by {abs(found.difference):.0f} ± {found.error:.0f} of 255"
    )


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
