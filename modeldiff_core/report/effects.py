"""What the page says about each transformation's effect."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from modeldiff_core.report.dose_response import dose_response_plot, margin_limits, probability_limits
from modeldiff_core.report.facts import CurveFacts, EffectFacts, ReportFacts
from modeldiff_core.report.figures import Plot
from modeldiff_core.report.galleries import Row, sheet
from modeldiff_core.report.images import image_uri, is_pixel_art
from modeldiff_core.report.text_changes import TextChange, text_change
from modeldiff_core.report.words import margins, number, points, probability, slug

OF_NUMBERS = ("change of the prediction, hundredths of a deviation", "change of the negative squared error")
"""Titles of the panels of a figure where models predict a number."""
PAIRS = 6  # images shown without and with the transformation


@dataclass(frozen=True)
class PairView:
    """One image without and with the transformation."""

    before: str
    after: str
    pixels: bool


@dataclass(frozen=True)
class EffectView:
    """One transformation and class as the page shows it."""

    stem: str
    anchor: str
    name: str
    description: str
    whose: str
    intensity: str
    distinguishing: bool
    answer: str
    why: list[str]
    a: str
    b: str
    difference: str
    p_adjusted: str
    margin_a: str
    margin_b: str
    margin_difference: str
    margin_p_adjusted: str
    images: int
    along: str
    plot: Plot | None
    pairs: list[PairView]
    texts: list[TextChange]


def effect_views(effects: tuple[EffectFacts, ...], *, numbers: bool = False) -> list[EffectView]:
    """Effects in their order, distinguishing ones first; plots of one transformation share one scale.

    numbers: whether models predict a number, and there is no class that an effect is on.
    """
    views = [_view(effect, at, effects, numbers=numbers) for at, effect in enumerate(effects)]
    return sorted(views, key=lambda view: not view.distinguishing)


def _view(effect: EffectFacts, at: int, effects: tuple[EffectFacts, ...], *, numbers: bool) -> EffectView:
    full = int(np.argmax(effect.intensities))
    alike = [other for other in effects if other.name == effect.name]

    def at_full(curve: CurveFacts) -> tuple[float, float, float]:
        return float(curve.effect[full]), float(curve.low[full]), float(curve.high[full])

    return EffectView(
        stem=_stem(effect, at),
        anchor=f"{_kind(effect)}-{at + 1}",
        name=effect.name,
        description=effect.description,
        whose="" if numbers else "own class" if effect.class_name is None else f"class {effect.class_name}",
        intensity=f"{effect.intensities[full]:g}",
        distinguishing=effect.distinguishing,
        answer=effect.verdict.answer if effect.verdict else "",
        why=_why(effect),
        a=points(*at_full(effect.a)),
        b=points(*at_full(effect.b)),
        difference=points(effect.difference, effect.difference_low, effect.difference_high),
        p_adjusted=probability(effect.p_adjusted),
        margin_a=margins(*at_full(effect.margin_a)),
        margin_b=margins(*at_full(effect.margin_b)),
        margin_difference=margins(
            effect.margin_difference, effect.margin_difference_low, effect.margin_difference_high
        ),
        margin_p_adjusted=probability(effect.margin_p_adjusted),
        images=effect.images,
        along=effect.along,
        plot=_plot(effect, alike, numbers=numbers) if _shown(effect) else None,
        pairs=[
            PairView(image_uri(before), image_uri(after), is_pixel_art(before))
            for before, after in zip(effect.before[:PAIRS], effect.after[:PAIRS], strict=True)
            if _shown(effect)
        ],
        texts=[text_change(*one) for one in effect.texts] if _shown(effect) else [],
    )


def _plot(effect: EffectFacts, alike: list[EffectFacts], *, numbers: bool) -> Plot:
    titles = OF_NUMBERS if numbers else None
    return dose_response_plot(effect, probability_limits(alike), margin_limits(alike), titles)


FEW_CARRIERS = 6
"""Images that carry an effect below which Student's interval over images is too narrow."""


def _why(effect: EffectFacts) -> list[str]:
    """Return sentences about the answer: what was shown or not, how single images move, what would decide."""
    known = effect.verdict
    if known is None:
        return []
    low, high = ([number(end, 1, signed=True, scale=100) for end in ends] for ends in (known.low, known.high))
    sizes = [number(size, 1, scale=100) for size in known.magnitude]
    said = [
        f"{known.why[:1].upper()}{known.why[1:]}: A lies in [{low[0]}, {high[0]}] points, B in [{low[1]}, {high[1]}], "
        f"each end wrong with the chance of a test; single images move by {sizes[0]} and {sizes[1]} points on average."
    ]
    if known.answer == "undecided" and known.models is not None and known.images is not None:
        said.append(f"About {known.models:,} models of each and {known.images:,} images would decide.")
    elif known.answer == "undecided":
        said.append("How many models or images would decide cannot be told.")
    for name, carriers, interval in zip("AB", known.carriers, (effect.a, effect.b), strict=True):
        full = int(np.argmax(effect.intensities))
        if carriers < FEW_CARRIERS and interval.high[full] > interval.low[full]:
            many = "one image" if carriers < 1.5 else f"about {carriers:.0f} images"
            said.append(f"The effect on {name} sits in {many}, so its interval may be too narrow.")
    said.append(
        f"With {effect.images:,} images, a kind of image that makes up to {number(known.unseen, 1, scale=100)} % of "
        "all may not be among them."
    )
    return said


def _stem(effect: EffectFacts, at: int) -> str:
    whose = "own-class" if effect.class_name is None else slug(effect.class_name)
    return f"{_kind(effect)}-{at + 1:02d}-{slug(effect.name)}-{whose}"


def _kind(effect: EffectFacts) -> str:
    return "found" if effect.along else "effect"


def _shown(effect: EffectFacts) -> bool:
    """Of what a search put to the test only the confirmed is drawn; the rest is in the table."""
    return effect.distinguishing or not effect.along


def effect_sheets(facts: ReportFacts) -> Iterator[tuple[str, bytes]]:
    """Images without and with each transformation, with their file names."""
    for at, effect in chain(enumerate(facts.effects), enumerate(facts.found)):
        rows = [
            Row(heading, list(images[:PAIRS]), [""] * len(images[:PAIRS]))
            for heading, images in (("without", effect.before), ("with, at full intensity", effect.after))
        ]
        if len(effect.before) and _shown(effect):
            yield from sheet(f"figures/{_stem(effect, at)}-images", effect.name, rows).items()
