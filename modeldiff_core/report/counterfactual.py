"""The page of a counterfactual check: predicted against actual changes, one point a target."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from modeldiff_core.data.inventory import Inventory, sections
from modeldiff_core.evaluation.counterfactual import Agreement
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.html import environment
from modeldiff_core.report.theme import Theme
from modeldiff_core.report.words import number, percent


@dataclass(frozen=True)
class RemovalFacts:
    """Changes of margin of one algorithm when each target's most helpful examples are removed."""

    name: str
    predicted: Float[np.ndarray, "models targets"]
    actual: Float[np.ndarray, "models targets"]
    agreement: Agreement


def render_counterfactual(
    study: str,
    top_k: int,
    fraction: float,
    targets: Sequence[int],
    facts: Sequence[RemovalFacts],
    inventory: Inventory | None = None,
) -> dict[str, bytes]:
    """File names to contents: `scatter.png`, `scatter.svg` and, last, `index.html`, which needs no other file.

    inventory: what the dataset held; None where nothing is known of it.
    """
    drawn = scatter_plot(facts)
    template = environment().get_template("counterfactual.html.jinja")
    page = template.render(
        study=study,
        top_k=top_k,
        fraction=percent(fraction, 0),
        models=len(facts[0].actual),
        plot=drawn,
        rows=[_row(one) for one in facts],
        names=[one.name for one in facts],
        changes=[
            (target, [(number(one.predicted[:, i].mean()), number(one.actual[:, i].mean())) for one in facts])
            for i, target in enumerate(targets)
        ],
        inventory=sections(inventory) if inventory else {},
        told=inventory.remarks if inventory else (),
    )
    return {"scatter.png": drawn.png, "scatter.svg": drawn.light, "index.html": page.encode()}


def scatter_plot(facts: Sequence[RemovalFacts]) -> Plot:
    """Mean actual against mean predicted change of each target, A and B, with the standard error over models."""

    def paint(figure: Figure, theme: Theme) -> None:
        axes = new_axes(figure, theme)
        axes.axhline(0, color=theme.line, linewidth=0.8, zorder=0)
        axes.axvline(0, color=theme.line, linewidth=0.8, zorder=0)
        for one, name, color, marker in zip(facts, "AB", (theme.a, theme.b), "os", strict=True):
            error = one.actual.std(0, ddof=1) / np.sqrt(len(one.actual))
            axes.errorbar(
                one.predicted.mean(0),
                one.actual.mean(0),
                error,
                color=color,
                marker=marker,
                ms=5,
                lw=0,
                elinewidth=0.8,
                label=f"{name}: {one.name}",
            )
        axes.axline((0, 0), slope=1, color=theme.muted, linewidth=0.9, zorder=1, label="as predicted")
        axes.set_xlabel("predicted change of margin", color=theme.ink, fontsize=MEDIUM)
        axes.set_ylabel("actual change of margin", color=theme.ink, fontsize=MEDIUM)
        legend = axes.legend(frameon=False, fontsize=SMALL, labelcolor=theme.muted, loc="upper left")
        for text in legend.get_texts():
            text.set_parse_math(False)

    return plot(paint, width=560, height=480)


def _row(one: RemovalFacts) -> tuple[str, str, str, str]:
    """Name, both correlations with their intervals, and the slope."""
    found = one.agreement

    def with_interval(value: float, interval: tuple[float, float]) -> str:
        return f"{number(value)} [{number(interval[0])}, {number(interval[1])}]"

    return (
        one.name,
        with_interval(found.pearson, found.pearson_interval),
        with_interval(found.spearman, found.spearman_interval),
        number(found.slope),
    )
