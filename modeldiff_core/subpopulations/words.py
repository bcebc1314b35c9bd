"""What a subpopulation shares, in words."""

from modeldiff_core.subpopulations.enrichment import TRUE, Enrichment
from modeldiff_core.subpopulations.shared import Place, Shared, StatisticContrast

ALPHA = 0.05
MOST = 4
"""Values that are enriched, and statistics that differ, named in words."""
WORDS = {
    "brightness": ("brighter", "darker", ""),
    "contrast": ("of more contrast", "of less contrast", ""),
    "red": ("redder", "less red", ""),
    "green": ("greener", "less green", ""),
    "blue": ("bluer", "less blue", ""),
    "colourfulness": ("more colourful", "paler", ""),
    "row": ("lower down", "higher up", " pixels"),
    "column": ("further right", "further left", " pixels"),
}


def in_words(found: Shared | None) -> list[str]:
    """Sentences about what is beyond chance (adjusted p ≤ 0.05); one that says so if nothing is."""
    if found is None:
        return ["No image lies at this end."]
    lines = [
        f"{_said(e)}: {e.inside} of {e.members} ({100 * e.overall:.1f} % of all), {_p(e.p_adjusted)}"
        for e in found.enrichments
        if e.p_adjusted <= ALPHA
    ][:MOST]
    than = "than other images of the same classes" if found.matched else "than all other images"
    telling = sorted((s for s in found.statistics if s.p_adjusted <= ALPHA), key=lambda s: (s.p_adjusted, -_clear(s)))
    lines += [f"{_direction(s)} {than}, {_p(s.p_adjusted)}" for s in telling[:MOST]]
    if found.place is not None and found.place.p_adjusted <= ALPHA:
        lines.append(_place(found.place))
    return lines or ["Nothing that was looked at is shared beyond chance."]


def _said(enrichment: Enrichment) -> str:
    """'class 8', 'background 1', or only the name of a flag that is true."""
    column = enrichment.column.replace("_", " ")
    return column if enrichment.value == TRUE else f"{column} {enrichment.value}"


def _clear(statistic: StatisticContrast) -> float:
    """Return the difference in widths of its interval."""
    return abs(statistic.difference) / max(statistic.high - statistic.low, 1e-9)


def _direction(statistic: StatisticContrast) -> str:
    more, less, unit = WORDS.get(statistic.name, (f"more {statistic.name}", f"less {statistic.name}", ""))
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
