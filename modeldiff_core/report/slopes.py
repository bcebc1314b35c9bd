"""The figure of how strongly each target reacts under A relative to B, and how a contrast was made, in words."""

import numpy as np
from matplotlib.figure import Figure

from modeldiff_core.report.facts import ContrastFacts
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme
from modeldiff_core.report.words import number, probability

WIDEST = 99.0
"""Per cent of the targets that the axes span."""


def slope_plot(facts: ContrastFacts, noun: str = "image") -> Plot | None:
    """Return the scatter of c_t from one half of the models against the other, on logarithmic axes; None without any.

    Noise scatters across the line of equality; targets that truly react more or less lie far out along it. noun: what
    a target is called.
    """
    both = facts.log_slopes[:, np.isfinite(facts.log_slopes).all(0)]
    if both.shape[1] < 3:
        return None
    low, high = np.percentile(both, [(100 - WIDEST) / 2, (100 + WIDEST) / 2])
    reach = max(abs(low - np.log(facts.middle)), abs(high - np.log(facts.middle)), 0.1) * 1.1
    ends = np.exp([np.log(facts.middle) - reach, np.log(facts.middle) + reach])

    def paint(figure: Figure, theme: Theme) -> None:
        axes = new_axes(figure, theme)
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
        axes.plot(ends, ends, color=theme.muted, linewidth=0.9, zorder=1)
        axes.plot(*np.exp(both), "o", ms=3.2, color=theme.ink, alpha=0.35, markeredgewidth=0, zorder=2)
        axes.axvline(facts.middle, color=theme.faint, linewidth=0.8, zorder=0)
        axes.axhline(facts.middle, color=theme.faint, linewidth=0.8, zorder=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}".lstrip("0.")[:1] in "25" else "")
        axes.tick_params(which="minor", colors=theme.muted, labelsize=SMALL, length=2)
        axes.set_xlabel(f"c of each test {noun}, one half of the models", color=theme.ink, fontsize=MEDIUM)
        axes.set_ylabel("the other half", color=theme.ink, fontsize=MEDIUM)

    return plot(paint, width=460, height=440)


def slope_words(facts: ContrastFacts) -> str:
    """Return what the figure shows in a sentence."""
    factor = float(np.exp(facts.spread))
    beyond = f"a factor of {number(factor)} beyond noise" if facts.spread > 0 else "nothing beyond noise"
    return f"Mean {number(facts.middle)}; spread over images: {beyond} (p {probability(facts.p)})."
