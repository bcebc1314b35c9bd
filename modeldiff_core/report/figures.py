"""The plot of the variances of directions, and how every plot is drawn."""

import io
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from modeldiff_core.report.facts import DirectionFacts, ReportFacts, Side
from modeldiff_core.report.theme import DARK, LIGHT, Theme
from modeldiff_core.report.words import direction_name, side_name

PX = 1 / 96  # inches of a CSS pixel
SMALL, MEDIUM = 8.6, 9.4  # font sizes in points
PLACES = [(7.0, 0.0), (-7.0, 0.0), (0.0, 6.0), (0.0, -6.0)] + [
    (side * dx, dy) for dx, dy in ((10.0, 9.0), (10.0, -9.0), (18.0, 17.0), (18.0, -17.0)) for side in (1, -1)
]  # of a label from its point, in points, best first

Paint = Callable[[Figure, Theme], None]


@dataclass(frozen=True)
class Plot:
    """One plot: vector for a light and a dark page, raster for papers and slides; width and height in CSS pixels."""

    light: bytes
    dark: bytes
    png: bytes
    width: int
    height: int


def house_style() -> AbstractContextManager[None]:
    """Settings under which text stays text and the same facts give the same bytes; restored at the end."""
    return matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "modeldiff",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "axes.unicode_minus": True,
        }
    )


def plot(paint: Paint, width: int, height: int) -> Plot:
    """Draw with `paint` on a figure of this many CSS pixels, once for each theme."""
    with house_style():
        light, dark = (_painted(paint, width, height, theme) for theme in (LIGHT, DARK))
        return Plot(saved(light, "svg"), saved(dark, "svg"), saved(light, "png"), width, height)


def _painted(paint: Paint, width: int, height: int, theme: Theme) -> Figure:
    figure = Figure(figsize=(width * PX, height * PX), dpi=96, facecolor=theme.paper, layout="constrained")
    paint(figure, theme)
    return figure


def saved(figure: Figure, kind: str) -> bytes:
    """Return the figure as png or svg; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format=kind,
        dpi=192 if kind == "png" else 72,
        metadata={"Date": None} if kind == "svg" else {"Software": None},
    )
    return buffer.getvalue()


def new_axes(figure: Figure, theme: Theme, place: tuple[int, int, int] = (1, 1, 1)) -> Axes:
    """Axes in the house's style; place: rows, columns and number from 1, as add_subplot counts."""
    axes = figure.add_subplot(*place, facecolor=theme.paper)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.faint)
    axes.tick_params(colors=theme.muted, labelsize=SMALL, length=3, width=0.8)
    return axes


def noise_floor(facts: ReportFacts) -> float:
    """95 % quantile of |null|: 19 of 20 differences between like algorithms are smaller; NaN without a null."""
    return float(np.quantile(np.abs(facts.null), 0.95)) if len(facts.null) else math.nan


def variance_plot(facts: ReportFacts, width: int = 620, height: int = 600) -> Plot:
    """Variance of each direction under B against under A, cross-fitted and in-sample, around the line of equality."""
    floor = math.nan if facts.contrast or facts.trainings else noise_floor(facts)
    values = [v for d in facts.directions for v in (d.variance_a, d.variance_b, d.in_sample_a, d.in_sample_b)]
    values += [end for d in facts.directions if d.intervals for which in ("a", "b") for end in d.intervals[which]]
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    top = max(max(finite), 1e-6) * 1.12
    bottom = min(0.0, min(finite) * 1.12) - 0.03 * top

    def paint(figure: Figure, theme: Theme) -> None:
        axes = new_axes(figure, theme)
        axes.set(xlim=(bottom, top), ylim=(bottom, top), aspect="equal")
        ends = np.array([bottom, top])
        if math.isfinite(floor):
            axes.fill_between(ends, ends - floor, ends + floor, color=theme.ink, alpha=0.07, linewidth=0, zorder=0)
        axes.plot(ends, ends, color=theme.muted, linewidth=0.9, zorder=1)
        for x, y, text, color, side in (
            (0.98, 0.03, "matters more to A", theme.a, "right"),
            (0.03, 0.98, "matters more to B", theme.b, "left"),
        ):
            vertical = "bottom" if side == "right" else "top"
            axes.text(x, y, text, transform=axes.transAxes, color=color, ha=side, va=vertical, fontsize=MEDIUM)
        diagonal = axes.text(
            top * 0.97, top * 0.97, "x = y", color=theme.muted, ha="right", va="bottom", fontsize=SMALL
        )
        diagonal.set(rotation=45, rotation_mode="anchor")
        for direction in facts.directions:
            _point(axes, direction, theme)
        axes.set_xlabel("variance under A", color=theme.ink, fontsize=MEDIUM)
        axes.set_ylabel("variance under B", color=theme.ink, fontsize=MEDIUM)
        figure.legend(
            handles=_keys(theme, facts),
            loc="outside lower center",
            ncol=2 if width < 500 else 3,
            frameon=False,
            fontsize=SMALL,
            labelcolor=theme.muted,
            columnspacing=1.6,
            handletextpad=0.6,
            handlelength=1.4,
        )
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # labels are placed in pixels: nothing may move afterwards
        _labels(axes, facts.directions, floor, theme)

    return plot(paint, width, height)


def _color(direction: DirectionFacts, theme: Theme) -> str:
    if math.isnan(direction.variance_a):
        return theme.muted
    if not direction.significant:
        return theme.faint
    return theme.a if direction.side == "a-b" else theme.b


def _marker(direction: DirectionFacts) -> str:
    return "o" if direction.side == "a-b" else "s"


def _point(axes: Axes, direction: DirectionFacts, theme: Theme) -> None:
    color, shown = _color(direction, theme), direction.significant
    x, y = direction.variance_a, direction.variance_b
    if direction.intervals:
        (_, *of_a), (_, *of_b) = (direction.intervals[which] for which in ("a", "b"))
        for across, up in ((of_a, (y, y)), ((x, x), of_b)):
            axes.plot(across, up, color=color, alpha=0.6, lw=1.1, zorder=2)
    elif shown:
        axes.plot([direction.in_sample_a, x], [direction.in_sample_b, y], color=color, alpha=0.25, lw=0.7, zorder=2)
    axes.plot(
        direction.in_sample_a,
        direction.in_sample_b,
        _marker(direction),
        ms=4.5,
        color=color,
        markerfacecolor="none",
        markeredgewidth=0.8,
        alpha=0.55,
        zorder=2,
    )
    axes.plot(
        x,
        y,
        _marker(direction),
        ms=7 if shown else 5.5,
        color=color,
        markeredgecolor=theme.paper,
        markeredgewidth=0.8,
        zorder=4 if shown else 3,
    )


def _keys(theme: Theme, facts: ReportFacts) -> list[Line2D | Patch]:
    """Return what the markers mean, as far as there are any of the kind."""

    def key(label: str, marker: str, color: str, size: float, fill: str) -> Line2D:
        return Line2D(
            [],
            [],
            linestyle="",
            marker=marker,
            markersize=size,
            color=color,
            markerfacecolor=fill,
            markeredgewidth=0.8,
            label=label,
        )

    if not facts.tested:
        return [
            key("A−B, in-sample", "o", theme.muted, 4.5, "none"),
            key("B−A, in-sample", "s", theme.muted, 4.5, "none"),
        ]
    significant = {one.side for one in facts.directions if one.significant}
    sides: list[tuple[Side, str, str]] = [("a-b", "o", theme.a), ("b-a", "s", theme.b)]
    keys: list[Line2D | Patch] = [
        key(f"{side_name(side)}, cross-fitted", marker, color, 6.5, color)
        for side, marker, color in sides
        if side in significant
    ]
    if any(not one.significant for one in facts.directions):
        gray = "not significant" if facts.calibrated else "not tested"
        keys += [key(f"{side_name(side)}, {gray}", marker, theme.faint, 5.5, theme.faint) for side, marker, _ in sides]
    if facts.contrast or facts.trainings:
        return keys
    keys.append(key("in-sample", "o", theme.muted, 4.5, "none"))
    if facts.calibrated:
        keys.append(Patch(color=theme.ink, alpha=0.1, linewidth=0, label="noise floor"))
    return keys


def _labels(axes: Axes, directions: Sequence[DirectionFacts], floor: float, theme: Theme) -> None:
    """Name the points without overlap: significant ones always, others beyond the noise floor where there is room."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    radius = 4 * figure.dpi / 72
    drawn = [d for d in directions if math.isfinite(d.variance_a) and math.isfinite(d.variance_b)]
    centers = [axes.transData.transform((d.variance_a, d.variance_b)) for d in drawn]
    taken = [Bbox.from_extents(x - radius, y - radius, x + radius, y + radius) for x, y in centers]
    taken += [text.get_window_extent() for text in axes.texts]
    taken += [_bar(axes, one, which) for one in drawn if one.intervals for which in ("a", "b")]
    room = Bbox.from_extents(axes.bbox.x0, axes.bbox.y0, figure.bbox.x1, axes.bbox.y1)

    def put(direction: DirectionFacts, dx: float, dy: float) -> Annotation:
        return axes.annotate(
            direction_name(direction.side, direction.index),
            (direction.variance_a, direction.variance_b),
            xytext=(dx, dy),
            textcoords="offset points",
            ha="center" if dx == 0 else "left" if dx > 0 else "right",
            va="center" if dx != 0 else "bottom" if dy > 0 else "top",
            fontsize=MEDIUM if direction.significant else SMALL - 1,
            color=_color(direction, theme) if direction.significant else theme.muted,
            zorder=5,
        )

    for direction in sorted(drawn, key=lambda d: (not d.significant, -abs(d.variance_a - d.variance_b))):
        if not direction.significant and abs(direction.variance_a - direction.variance_b) <= floor:
            continue
        for place in PLACES if direction.significant or direction.intervals else PLACES[:4]:
            text = put(direction, *place)
            box = text.get_window_extent()
            inside = room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
        else:
            if direction.significant:
                put(direction, *PLACES[0])


def _bar(axes: Axes, direction: DirectionFacts, which: Literal["a", "b"]) -> Bbox:
    """Return where the interval of a direction's variance under A or under B is drawn, in pixels."""
    _, *ends = direction.intervals[which]
    points = [(end, direction.variance_b) if which == "a" else (direction.variance_a, end) for end in ends]
    return Bbox(axes.transData.transform(points)).padded(1)
