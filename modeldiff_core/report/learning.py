"""How the score grows with the number of models: the figure of both algorithms, and what it says in words."""

import math

import numpy as np
from matplotlib.figure import Figure

from modeldiff_core.evaluation.law import LEAST_POINTS, Estimate, FittedCurve, LearningCurve
from modeldiff_core.report.facts import LearningFacts, ReportFacts
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme
from modeldiff_core.report.words import number

BEYOND = 3.0
"""How many times the models trained the fitted curve is drawn to."""
ROUNDED = 10
"""Numbers of models that are estimated are said in tens."""


def learning_plot(facts: LearningFacts) -> Plot:
    """Mean score against models on a logarithmic axis, with its 95 % band over targets; dashed: the fitted law."""

    def paint(figure: Figure, theme: Theme) -> None:
        axes = new_axes(figure, theme)
        axes.set_xscale("log")
        axes.grid(axis="y", color=theme.line, linewidth=0.7, zorder=0)
        for curve, name, color, marker in zip(facts.curves, "AB", (theme.a, theme.b), "os", strict=True):
            models, reach = curve.models + facts.held, 1.96 * curve.scores.std(1) / math.sqrt(curve.scores.shape[1])
            axes.fill_between(
                models, curve.means - reach, curve.means + reach, color=color, alpha=0.15, linewidth=0, zorder=2
            )
            axes.plot(models, curve.means, color=color, marker=marker, ms=4, lw=0, zorder=4, label=name)
            if len(curve.models) >= LEAST_POINTS:
                law = FittedCurve.of(curve).law
                along = np.geomspace(law.first, BEYOND * curve.models[-1], 100)
                fitted = [law.score(float(at)) for at in along]
                axes.plot(along + facts.held, fitted, color=color, lw=1.2, ls="--", zorder=3)
        if facts.wished is not None:
            axes.axhline(facts.wished, color=theme.muted, linewidth=0.9, zorder=1, label="wished")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:,.0f}" if str(value)[0] in "25" else "")
        axes.tick_params(which="minor", colors=theme.muted, labelsize=SMALL, length=2)
        axes.set_xlabel("models of each algorithm", color=theme.ink, fontsize=MEDIUM)
        axes.set_title("linear datamodeling score", color=theme.muted, fontsize=SMALL, loc="left")
        axes.legend(frameon=False, fontsize=SMALL, labelcolor=theme.muted, loc="lower right")

    return plot(paint, width=620, height=380)


def learned(facts: ReportFacts) -> list[str]:
    """Return what the learning curves say, a sentence an algorithm; nothing without curves."""
    if facts.learning is None:
        return []
    names, held, wished = (facts.a.name, facts.b.name), facts.learning.held, facts.learning.wished
    return [learning_words(n, c, held, wished) for n, c in zip(names, facts.learning.curves, strict=True)]


def learning_words(name: str, curve: LearningCurve, held: int, wished: float | None) -> str:
    """Return one algorithm's curve in a sentence: where it is, what twice the models give, where it ends, what is
    needed.
    """
    last = int(curve.models[-1])
    said = f"{name}: score {number(float(curve.means[-1]))} after {last + held:,} models"
    if len(curve.models) < LEAST_POINTS:
        return f"{said}; too few points ({len(curve.models)} of {LEAST_POINTS}) to say what more would give."
    fitted = FittedCurve.of(curve)
    twice = fitted.score(2.0 * last + held)
    said += (
        f"; the fitted curve gives {_interval(twice)} after twice as many and levels off at {_interval(fitted.plateau)}"
    )
    if wished is None:
        return f"{said}."
    needed = fitted.models(wished)
    if math.isinf(needed.value):
        within = "" if math.isinf(needed.low) else f" (at best it takes {_models(needed.low, held)} models)"
        return f"{said}, so a score of {number(wished)} is out of its reach{within}."
    return f"{said}; a score of {number(wished)} takes about {_models(needed.value, held)} models " + (
        f"[{_models(needed.low, held)}, {_models(needed.high, held)}]."
    )


def _interval(estimate: Estimate) -> str:
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def _models(fitted: float, held: int) -> str:
    return "out of reach" if math.isinf(fitted) else f"{round((fitted + held) / ROUNDED) * ROUNDED:,}"
