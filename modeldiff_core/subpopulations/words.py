"""What a subpopulation shares, in words."""

import numpy as np

from modeldiff_core.subpopulations.enrichment import TRUE, Enrichment
from modeldiff_core.subpopulations.shared import MeanImage, Shared, StatisticContrast

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
    telling = sorted((s for s in found.statistics if s.p_adjusted <= ALPHA), key=lambda s: s.p_adjusted)
    lines += [f"{_direction(s)} {than}, {_p(s.p_adjusted)}" for s in telling[:MOST]]
    place = _place(found.image) if found.image is not None else ""
    if place:
        lines.append(place)
    return lines or ["Nothing that was looked at is shared beyond chance."]


def _said(enrichment: Enrichment) -> str:
    """'class 8', 'background 1', or only the name of a flag that is true."""
    column = enrichment.column.replace("_", " ")
    return column if enrichment.value == TRUE else f"{column} {enrichment.value}"


def _direction(statistic: StatisticContrast) -> str:
    more, less, unit = WORDS.get(statistic.name, (f"more {statistic.name}", f"less {statistic.name}", ""))
    text = more if statistic.difference > 0 else less
    ends = sorted((abs(statistic.low), abs(statistic.high)))
    return f"{text} by {abs(statistic.difference):.3g} [{ends[0]:.3g}, {ends[1]:.3g}]{unit}"


def _place(found: MeanImage) -> str:
    """Where the mean image differs most, if a pixel differs by more than chance over all pixels (Bonferroni)."""
    t = np.divide(found.difference, found.error, out=np.zeros_like(found.difference), where=found.error > 0)
    strongest = np.abs(t).max(axis=2)
    if strongest.max(initial=0) < _critical(strongest.size):
        return ""
    row, column = np.unravel_index(int(strongest.argmax()), strongest.shape)
    channel = int(np.abs(t[row, column]).argmax())
    value, error = found.difference[row, column, channel], found.error[row, column, channel]
    return (
        f"the mean image differs most at row {row}, column {column}: "
        f"{'brighter' if value > 0 else 'darker'} by {abs(value):.0f} ± {error:.0f} of 255"
    )


def _critical(tests: int) -> float:
    from scipy.special import ndtri

    return float(-ndtri(ALPHA / 2 / tests))


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
