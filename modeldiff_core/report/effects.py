"""What the page says about each transformation's effect."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modeldiff_core.report.facts import EffectFacts, ReportFacts
from modeldiff_core.report.figures import Plot, effect_limits, effect_plot
from modeldiff_core.report.galleries import Row, sheet
from modeldiff_core.report.images import image_uri, is_pixel_art
from modeldiff_core.report.words import points, probability, slug

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
    a: str
    b: str
    difference: str
    p_adjusted: str
    images: int
    plot: Plot
    pairs: list[PairView]


def effect_views(facts: ReportFacts) -> list[EffectView]:
    """Effects in their order, distinguishing ones first; plots of one transformation share one scale."""
    views = [_view(effect, at, facts.effects) for at, effect in enumerate(facts.effects)]
    return sorted(views, key=lambda view: not view.distinguishing)


def _view(effect: EffectFacts, at: int, effects: tuple[EffectFacts, ...]) -> EffectView:
    full = int(np.argmax(effect.intensities))
    alike = [other for other in effects if other.name == effect.name]
    return EffectView(
        stem=_stem(effect, at),
        anchor=f"effect-{at + 1}",
        name=effect.name,
        description=effect.description,
        whose="own class" if effect.class_name is None else f"class {effect.class_name}",
        intensity=f"{effect.intensities[full]:g}",
        distinguishing=effect.distinguishing,
        a=points(*(float(part[full]) for part in (effect.a.effect, effect.a.low, effect.a.high))),
        b=points(*(float(part[full]) for part in (effect.b.effect, effect.b.low, effect.b.high))),
        difference=points(effect.difference, effect.difference_low, effect.difference_high),
        p_adjusted=probability(effect.p_adjusted),
        images=effect.images,
        plot=effect_plot(effect, effect_limits(alike)),
        pairs=[
            PairView(image_uri(before), image_uri(after), is_pixel_art(before))
            for before, after in zip(effect.before[:PAIRS], effect.after[:PAIRS], strict=True)
        ],
    )


def _stem(effect: EffectFacts, at: int) -> str:
    whose = "own-class" if effect.class_name is None else slug(effect.class_name)
    return f"effect-{at + 1:02d}-{slug(effect.name)}-{whose}"


def effect_sheets(facts: ReportFacts) -> Iterator[tuple[str, bytes]]:
    """Images without and with each transformation, with their file names."""
    for at, effect in enumerate(facts.effects):
        rows = [
            Row(heading, list(images[:PAIRS]), [""] * len(images[:PAIRS]))
            for heading, images in (("without", effect.before), ("with, at full intensity", effect.after))
        ]
        if len(effect.before):
            yield f"figures/{_stem(effect, at)}-images.png", sheet(effect.name, rows)
