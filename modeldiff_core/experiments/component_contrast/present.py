"""What a contrast by components shows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from modeldiff_core.experiments.experiment import Table
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme

NAMED = 5
"""Components that a row of the table names."""


def removed(side: Mapping[str, Any]) -> float:
    """Return the share of the effect that is gone."""
    before = float(side["before"]["effect"])
    return 1 - float(side["after"]["effect"]) / before if before > 0 else 0.0


def contrast_findings(summary: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, ...]:
    """Return what was found in sentences."""
    networks = summary["networks"]
    share = {side: np.mean([removed(one[side]) for one in networks]) for side in "ab"}
    lost = {
        side: np.mean([one[side]["before"]["accuracy"] - one[side]["after"]["accuracy"] for one in networks])
        for side in "ab"
    }
    sizes = ", ".join(str(len(one["names"])) for one in networks)
    effect = {side: np.mean([one[side]["before"]["effect"] for one in networks]) for side in "ab"}
    random = np.mean([_random(one) for one in networks])
    top = {side: max(summary["layers"], key=lambda layer: np.mean(layer[side])) for side in "ab"}
    return (
        f"{summary['effect']} changes the output of its class by {effect['a']:.3f} in {names['a']} and by "
        f"{effect['b']:.3f} in {names['b']} (mean size on images of other classes).",
        f"Without {sizes} of the {summary['count']} components of {names['a']}, {share['a']:.1%} of its effect is gone "
        f"and {lost['a']:.3f} of the accuracy, on images that did not choose them; without as many random ones "
        f"{random:.1%} of the effect.",
        f"Without the same components {names['b']} loses {lost['b']:.3f} of its accuracy; its effect goes from "
        f"{effect['b']:.3f} to {np.mean([one['b']['after']['effect'] for one in networks]):.3f}.",
        f"Of the effect's weights {np.mean(top['a']['a']):.0%} are in {top['a']['layer']} in {names['a']}, and "
        f"{np.mean(top['b']['b']):.0%} in {top['b']['layer']} in {names['b']}. Components of networks of other seeds "
        "are not aligned: layers and the sorted sizes of weights are compared, not components.",
    )


def contrast_tables(summary: Mapping[str, Any], names: Mapping[str, str]) -> tuple[Table, ...]:
    """Return a row for each network, and one for each layer."""
    rows = [
        {
            "network": one["network"],
            "components": len(one["names"]),
            f"removed in {names['a']}": f"{removed(one['a']):.1%}",
            "accuracy lost": f"{one['a']['before']['accuracy'] - one['a']['after']['accuracy']:.3f}",
            "removed by random sets": f"{_random(one):.1%}",
            f"effect in {names['b']}": f"{one['b']['before']['effect']:.3f}",
            f"without them in {names['b']}": f"{one['b']['after']['effect']:.3f}",
            "named": ", ".join(one["names"][:NAMED]) + (" …" if len(one["names"]) > NAMED else ""),
        }
        for one in summary["networks"]
    ]
    layers = [
        {
            "layer": layer["layer"],
            "components": layer["components"],
            **{names[side]: ", ".join(f"{share:.0%}" for share in layer[side]) for side in "ab"},
        }
        for layer in summary["layers"]
    ]
    words = {"layers": "share of each layer", "sizes": "sizes, sorted"}
    agreed = [
        {
            "what is compared": words[name],
            **{f"networks of {names[side]}": _share(found[side]) for side in "ab"},
            f"{names['a']} and {names['b']}": _share(found["between"]),
        }
        for name, found in summary["agreement"].items()
    ]
    return (
        Table("Named components", rows, "Components of A whose ablation removes the effect, and what the same do in B"),
        Table("Layers", layers, "Share of the sizes of the effect's weights in each layer, for each network"),
        Table(
            "Agreement of networks",
            agreed,
            "Mean overlap of pairs of networks, 1 − ½·Σ|p − q| of sizes that sum to 1: 1 is alike. Components of "
            "different networks are not aligned, so that no component is compared with another",
        ),
    )


def spectrum_plot(summary: Mapping[str, Any]) -> Plot:
    """Return the sorted sizes of the weights of every network of A and of B."""

    def paint(figure: Figure, theme: Theme) -> None:
        axes = new_axes(figure, theme)
        for side, color in (("a", theme.a), ("b", theme.b)):
            for at, values in enumerate(summary["spectra"][side]):
                rank = np.arange(1, len(values) + 1)
                axes.plot(rank, values, color=color, linewidth=1, alpha=0.8, label=side.upper() if at == 0 else None)
        axes.set_xlabel("component, by size", color=theme.ink, fontsize=MEDIUM)
        axes.set_ylabel("size of its mean weight", color=theme.ink, fontsize=MEDIUM)
        axes.legend(frameon=False, fontsize=SMALL, labelcolor=theme.muted)

    return plot(paint, 620, 380)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _random(one: Mapping[str, Any]) -> float:
    return 1 - float(np.mean(one["random"]["effect"])) / float(one["a"]["before"]["effect"] or 1)
