"""The figures of scaling laws: IsoFLOP curves, surfaces, optima against size and budget, residuals."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme
from modeldiff_core.scaling import Runs
from modeldiff_core.scaling.budgets import budgets_of
from modeldiff_core.scaling.held_out import CLOSE, levels_of
from modeldiff_core.scaling.law import FittedLaw, Points
from modeldiff_core.scaling.optima import Window, lowest

FINE = 60
"""Places at which a curve is drawn."""
COLUMNS = 3


def scaling_plots(runs: Runs, law: FittedLaw, answers: Mapping[str, Any]) -> dict[str, Plot]:
    """Return the figures by their captions.

    Args:
        runs: Of the best learning rates.
        law: The law that the answers rest on.
        answers: See ``answers.answers``.

    """
    return {
        "Loss against size at each budget, with the law and its best sizes": iso_curves(runs, law, answers),
        "Loss over size and sparsity at each budget": surfaces(runs, law),
        "Best sparsity against size and against budget": best_sparsities(answers),
        "Residuals of the law": residuals(runs, law),
    }


def shade(theme: Theme, share: float) -> tuple[float, float, float]:
    """Return a color between the theme's two, for the place of a sparsity or a budget among others."""
    found = LinearSegmentedColormap.from_list("sides", [theme.a, theme.b])(share)
    return float(found[0]), float(found[1]), float(found[2])


def iso_curves(runs: Runs, law: FittedLaw, answers: Mapping[str, Any]) -> Plot:
    """Return losses against N for each budget, a color for each sparsity, the law as lines and its N* as stars."""
    (budgets, number), levels, window = budgets_of(runs), levels_of(runs), Window.of(runs)
    sizes = np.exp(np.linspace(*window.size, FINE))

    def paint(axes: Axes, theme: Theme, at: int) -> None:
        for place, level in enumerate(levels):
            color = shade(theme, place / max(len(levels) - 1, 1))
            here = (number == at) & (np.abs(runs.sparsity - level) < CLOSE)
            axes.plot(runs.parameters[here], runs.loss[here], "o", color=color, markersize=3)
            sparsity = np.full(FINE, level)
            tokens = budgets[at] / law.cost.flops(sizes, sparsity)
            curve = law.form.losses(law.parameters[None], law.design(_points(law, sizes, tokens, sparsity)))[0]
            axes.plot(sizes, curve, color=color, linewidth=1, label=f"S = {level:.3g}" if not at else None)
        rows = [r for r in answers["best_size"] if np.isclose(r["flops"], budgets[at]) and not r["edge"]]
        best, loss = [row["best"]["value"] for row in rows], [row["loss"]["value"] for row in rows]
        axes.plot(best, loss, "*", color=theme.ink, markersize=7)
        low, high = np.quantile(runs.loss[number == at], [0, 1])
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low) + 1e-3)
        _log_axis(axes)

    return _panels(paint, budgets, ("N", "loss (nats)"), legend=True)


def surfaces(runs: Runs, law: FittedLaw) -> Plot:
    """Return the law's loss over ln N and −ln(1 − S) for each budget, the runs as points and S*(N) as a line."""
    (budgets, number), window = budgets_of(runs), Window.of(runs)
    n, s = (np.linspace(*within, FINE) for within in (window.size, window.sparsity))
    size, sparsity = (axis.ravel() for axis in np.meshgrid(np.exp(n), -np.expm1(-s)))

    def paint(axes: Axes, theme: Theme, at: int) -> None:
        points = _points(law, size, budgets[at] / law.cost.flops(size, sparsity), sparsity)
        loss = law.form.losses(law.parameters[None], law.design(points)).reshape(FINE, FINE)
        colors = LinearSegmentedColormap.from_list("losses", [theme.a, theme.paper])
        top = float(np.quantile(loss, 0.9))
        axes.contourf(np.exp(n), s, np.minimum(loss, top), levels=14, cmap=colors)
        here = number == at
        axes.plot(runs.parameters[here], -np.log1p(-runs.sparsity[here]), ".", color=theme.muted, markersize=3)
        best, _ = lowest(s, loss.T)
        inside = (best > s[0]) & (best < s[-1])
        axes.plot(np.exp(n)[inside], best[inside], color=theme.b, linewidth=1.4)
        _log_axis(axes)
        _sparsity_ticks(axes, window)

    return _panels(paint, budgets, ("N", "S"))


def best_sparsities(answers: Mapping[str, Any]) -> Plot:
    """Return S* against N, a line for each budget, and against C, a line for each size, with 95 % intervals."""
    rows = answers["best_sparsity"]

    def paint(figure: Figure, theme: Theme) -> None:
        for place, (along, by, name) in enumerate((("parameters", "flops", "N"), ("flops", "parameters", "C")), 1):
            axes = new_axes(figure, theme, (1, 2, place))
            values = sorted({row[by] for row in rows})
            for at, value in enumerate(values):
                color = shade(theme, at / max(len(values) - 1, 1))
                line = [row for row in rows if row[by] == value]
                x = [row[along] for row in line]
                told = [[-np.log1p(-row["best"][end]) for row in line] for end in ("value", "low", "high")]
                axes.plot(x, told[0], color=color, linewidth=1, label=f"{'C' if by == 'flops' else 'N'} = {value:.2g}")
                axes.vlines(x, told[1], told[2], color=color, linewidth=1.2)
                for one, height in zip(line, told[0], strict=True):
                    marker = {-1: "v", 1: "^"}.get(one["edge"], "o")
                    axes.plot([one[along]], [height], marker, color=color, markersize=5)
            _log_axis(axes)
            axes.set_xlabel(name, color=theme.ink, fontsize=MEDIUM)
            axes.set_ylabel("S* (triangles: bounds)", color=theme.ink, fontsize=MEDIUM)
            levels = answers["runs"]["sparsities"]
            _sparsity_ticks(axes, Window((-np.log1p(-levels[0]), -np.log1p(-levels[-1])), (0.0, 1.0)))
            axes.legend(
                frameon=False,
                fontsize=SMALL,
                labelcolor=theme.muted,
                loc="upper center",
                bbox_to_anchor=(0.5, -0.17),
                ncol=3,
            )

    return plot(paint, 860, 380)


def residuals(runs: Runs, law: FittedLaw) -> Plot:
    """Return ln of the law's loss minus ln of the run's against N, D, S and C."""
    found = {
        "N": runs.parameters,
        "D": runs.tokens,
        "1 − S": 1 - runs.sparsity,
        "C": runs.flops,
    }

    def paint(figure: Figure, theme: Theme) -> None:
        for place, (name, values) in enumerate(found.items(), 1):
            axes = new_axes(figure, theme, (1, 4, place))
            axes.plot(values, 100 * law.residuals, ".", color=theme.a, markersize=4)
            axes.axhline(0, color=theme.line, linewidth=0.8)
            _log_axis(axes)
            axes.set_xlabel(name, color=theme.ink, fontsize=MEDIUM)
            if place == 1:
                axes.set_ylabel("law / run − 1 (%)", color=theme.ink, fontsize=MEDIUM)

    return plot(paint, 860, 260)


def _panels(
    paint: Callable[[Axes, Theme, int], None],
    budgets: np.ndarray,
    labels: tuple[str, str],
    legend: bool = False,
) -> Plot:
    """Return a panel for each budget."""
    columns = min(COLUMNS, len(budgets))
    rows = -(-len(budgets) // columns)

    def draw(figure: Figure, theme: Theme) -> None:
        for at, flops in enumerate(budgets):
            axes = new_axes(figure, theme, (rows, columns, at + 1))
            paint(axes, theme, at)
            axes.set_title(f"C = {flops:.2g}", color=theme.ink, fontsize=MEDIUM, loc="left")
            axes.set_xlabel(labels[0], color=theme.ink, fontsize=MEDIUM)
            axes.set_ylabel(labels[1], color=theme.ink, fontsize=MEDIUM)
        if legend:
            figure.legend(loc="outside lower center", ncol=7, frameon=False, fontsize=SMALL, labelcolor=theme.muted)

    return plot(draw, 300 * columns, 260 * rows + (40 if legend else 0))


def _points(law: FittedLaw, size: np.ndarray, tokens: np.ndarray, sparsity: np.ndarray) -> Points:
    return Points(size, tokens, sparsity, np.ones(len(size)) if law.form.granular else None)


def _log_axis(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, labeled at 1, 2 and 5 where it spans little more than a decade."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    subs = (1.0, 2.0, 5.0) if high < 20 * low else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _sparsity_ticks(axes: Axes, window: Window) -> None:
    """Label an axis of −ln(1 − S) with values of S."""
    low, high = window.sparsity
    told = [value for value in (0, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99) if low - 0.01 <= -np.log1p(-value) <= high + 0.01]
    axes.set_yticks([-np.log1p(-value) for value in told], [f"{value:g}" for value in told])
