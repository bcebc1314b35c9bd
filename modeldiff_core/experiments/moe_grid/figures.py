"""The figures of ``scaling``: loss by sparsity, learning curves, and how evenly experts are used."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from modeldiff_core.experiments.moe_grid.present import groups_of
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme

Cells = Sequence[Mapping[str, Any]]
STYLES = "-", "--", ":", "-."


def drawn_plots(summary: Mapping[str, Any]) -> dict[str, Plot]:
    """Return the figures by their captions; none where every run diverged."""
    cells = [cell for cell in summary["cells"] if cell["loss"] is not None]
    if not cells:
        return {}
    return {
        "Loss by sparsity, a panel for each budget": _panels(cells, _sparsities, "sparsity S", "loss (nats per token)"),
        "Learning curves, a panel for each budget": _panels(cells, _curves, "training FLOPs", "loss (nats per token)"),
        "Load of the heaviest expert in units of an even one": _panels(cells, _loads, "sparsity S", "load"),
    }


def _panels(cells: Cells, draw: Callable[[Any, Cells, Theme], None], x: str, y: str) -> Plot:
    budgets = sorted({cell["budget"] for cell in cells})

    def paint(figure: Figure, theme: Theme) -> None:
        for at, budget in enumerate(budgets, 1):
            axes = new_axes(figure, theme, (1, len(budgets), at))
            draw(axes, [cell for cell in cells if cell["budget"] == budget], theme)
            axes.set_title(f"C = {budget:.3g}", color=theme.ink, fontsize=MEDIUM)
            axes.set_xlabel(x, color=theme.ink, fontsize=MEDIUM)
            if at == 1:
                axes.set_ylabel(y, color=theme.ink, fontsize=MEDIUM)
                handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncol=3, frameon=False, fontsize=SMALL, labelcolor=theme.muted
        )

    return plot(paint, 130 + 300 * len(budgets), 420)


def _lines(cells: Cells, theme: Theme) -> list[tuple[str, dict[str, Any], Cells]]:
    """Return the words, the style and the cells of each line of a panel."""
    colors, found = (theme.a, theme.b, theme.good, theme.ink, theme.muted), list[tuple[str, dict[str, Any], Cells]]()
    for number, ((_, size, granularity, _), own) in enumerate(groups_of(cells).items()):
        style = {"color": colors[number % len(colors)], "linestyle": STYLES[number // len(colors) % len(STYLES)]}
        found.append((f"N {size:,}, G {granularity}", {**style, "linewidth": 1.2}, own))
    return found


def _sparsities(axes: Any, cells: Cells, theme: Theme) -> None:
    for words, style, own in _lines(cells, theme):
        x, losses = [_apart(cell) for cell in own], [cell["loss"] for cell in own]
        axes.plot(x, losses, marker="o", markersize=4, label=words, **style)
        spread = [cell["sd"] or 0.0 for cell in own]
        low, high = ([loss + sign * sd for loss, sd in zip(losses, spread, strict=True)] for sign in (-1, 1))
        axes.vlines(x, low, high, color=style["color"], alpha=0.4)
    _ticks(axes, cells)


def _curves(axes: Any, cells: Cells, theme: Theme) -> None:
    for words, style, own in _lines(cells, theme):
        for number, cell in enumerate(own):
            curve, share = cell["curve"], cell["flops"] / cell["steps"]
            alpha = 0.35 + 0.65 * (number + 1) / len(own)
            label = f"{words} (darker: sparser)" if number == len(own) - 1 else None
            x = [step * share for step in curve["steps"]]
            axes.plot(x, curve["validation"], alpha=alpha, label=label, **style)


def _loads(axes: Any, cells: Cells, theme: Theme) -> None:
    for words, style, own in _lines(cells, theme):
        shown = [cell for cell in own if cell["balance"]]
        x = [_apart(cell) for cell in shown]
        axes.plot(x, [cell["balance"]["heaviest"] for cell in shown], marker="o", markersize=4, label=words, **style)
    _ticks(axes, cells)


ROOM = 0.6
"""Least distance of two labels on the axis of sparsities."""


def _apart(cell: Mapping[str, Any]) -> float:
    """Return the position of a sparsity on the axis: log2 1/(1 − S), as its dense end is of interest too."""
    return -math.log2(1 - cell["sparsity"])


def _ticks(axes: Any, cells: Cells) -> None:
    """Mark every sparsity, and label those that have room for it."""
    levels = sorted({(_apart(cell), f"{cell['sparsity']:.3g}") for cell in cells})
    told, last = [], -math.inf
    for at, words in levels:
        told.append(words if at - last >= ROOM else "")
        last = at if told[-1] else last
    axes.set_xticks([at for at, _ in levels], told)
