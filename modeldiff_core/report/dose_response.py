"""Dose-response plots: the effect of a transformation on probability and margin over its intensity."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeldiff_core.report.facts import CurveFacts, EffectFacts
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme

Limits = tuple[float, float]
WIDTH, HEIGHT = 400, 430
"""Of a figure, in CSS pixels."""
POINTS = 100
"""Percentage points of a probability."""


def probability_limits(effects: Sequence[EffectFacts]) -> Limits:
    """Range of percentage points that holds every band of the effects, zero, and at least ten points."""
    return _limits([(e.a, e.b) for e in effects], POINTS, 10.0)


def margin_limits(effects: Sequence[EffectFacts]) -> Limits:
    """Range of margins that holds every band of the effects, zero, and at least one."""
    return _limits([(e.margin_a, e.margin_b) for e in effects], 1, 1.0)


def _limits(curves: Sequence[tuple[CurveFacts, CurveFacts]], scale: int, least: float) -> Limits:
    ends = np.concatenate([part * scale for both in curves for c in both for part in (c.low, c.high, c.effect)])
    ends = ends[np.isfinite(ends)]
    low, high = min(0.0, float(ends.min(initial=0))), max(0.0, float(ends.max(initial=0)))
    spare = max(0.0, least - (high - low)) / 2 + 0.06 * (high - low)
    return low - spare, high + spare


def dose_response_plot(
    effect: EffectFacts, probability: Limits, margin: Limits, titles: tuple[str, str] | None = None
) -> Plot:
    """Change of the probability in percentage points, and of the margin, over intensity: A and B with their bands.

    titles: of both panels, where something else is measured.
    """
    whose = "own class" if effect.class_name is None else effect.class_name
    first, second = titles or (f"change of P({whose}), percentage points", f"change of the margin of {whose}")
    panels = (
        (first, effect.a, effect.b, POINTS, probability),
        (second, effect.margin_a, effect.margin_b, 1, margin),
    )

    def paint(figure: Figure, theme: Theme) -> None:
        for row, (title, a, b, scale, limits) in enumerate(panels):
            axes = new_axes(figure, theme, (2, 1, row + 1))
            _panel(axes, theme, effect, a, b, scale, limits)
            axes.set_title(title, color=theme.muted, fontsize=SMALL, loc="left", parse_math=False)
            if row == 1:
                axes.set_xlabel("intensity", color=theme.ink, fontsize=MEDIUM)

    return plot(paint, WIDTH, HEIGHT)


def _panel(
    axes: Axes, theme: Theme, effect: EffectFacts, a: CurveFacts, b: CurveFacts, scale: int, limits: Limits
) -> None:
    order = np.argsort(effect.intensities, kind="stable")
    intensities = effect.intensities[order]
    axes.set_ylim(limits)
    axes.axhline(0, color=theme.muted, linewidth=0.9, zorder=1)
    axes.grid(axis="y", color=theme.line, linewidth=0.7, zorder=0)
    last: list[tuple[float, str, str]] = []
    for name, curve, color, marker in (("A", a, theme.a, "o"), ("B", b, theme.b, "s")):
        mean, low, high = (part[order] * scale for part in (curve.effect, curve.low, curve.high))
        if len(order) == 1:
            apart = intensities + (-0.08 if name == "A" else 0.08)
            reach = np.clip([mean - low, high - mean], 0, None)
            axes.errorbar(apart, mean, reach, color=color, marker=marker, ms=6, lw=1.6, capsize=4)
        else:
            axes.fill_between(intensities, low, high, color=color, alpha=0.18, linewidth=0, zorder=2)
            axes.plot(intensities, mean, color=color, marker=marker, ms=4, lw=1.6, zorder=3)
        last.append((float(mean[-1]), name, color))
    if len(order) == 1:
        axes.set_xlim(intensities[0] - 0.6, intensities[0] + 0.6)
        for (value, name, color), aside in zip(last, (-0.13, 0.13), strict=True):
            axes.text(
                intensities[0] + aside,
                value,
                name,
                color=color,
                va="center",
                ha="right" if aside < 0 else "left",
                fontsize=MEDIUM,
                fontweight="bold",
            )
    else:
        _end_labels(axes, last, limits)
    axes.set_xticks(intensities[:: max(1, math.ceil(len(order) / 6))])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _end_labels(axes: Axes, last: list[tuple[float, str, str]], limits: Limits) -> None:
    """Name each line at its right end, pushed apart where the ends almost meet."""
    (low, *_), (high, *_) = sorted(last)
    need = 0.09 * (limits[1] - limits[0])
    push = max(0.0, need - (high - low)) / 2
    for place, (value, name, color) in enumerate(sorted(last)):
        axes.annotate(
            name,
            (1, value + (push if place else -push)),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            color=color,
            va="center",
            fontsize=MEDIUM,
            fontweight="bold",
        )
