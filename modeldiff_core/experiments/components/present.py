"""What a component attribution shows: sentences, tables and the figure of scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from modeldiff_core.experiments.components.edits import CHOSEN_BY
from modeldiff_core.experiments.components.scores import ALONE, FITTED, METHODS
from modeldiff_core.experiments.experiment import Table
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme

WORDS = {
    FITTED: "regression on ablations",
    ALONE: "leave-one-out",
    "gradient_parameter": "gradient × parameter",
    "conductance": "neuron conductance",
    "influence": "internal influence",
    "random": "random order",
}
AS_GOOD = 0.01
"""Difference of scores below which leave-one-out counts as as good."""


def interval(score: Mapping[str, float]) -> str:
    """Return a score with its interval."""
    return f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def findings(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what was found in sentences."""
    rho, cost = summary["rho"], summary["ablations"]
    at = min(rho, key=lambda one: abs(one["alpha"] - summary["alpha"]))
    lines = [
        f"{WORDS[FITTED].capitalize()}: predicted and true outputs of fresh ablations of {at['alpha']:.1%} of the "
        f"{summary['count']} components correlate with {interval(at['rho'][FITTED])} "
        f"({cost[FITTED]:,} ablations, {cost[FITTED] / summary['count']:.1f} a component).",
        *_against_leave_one_out(summary),
        f"A linear model explains {at['variance_explained']['mean']:.1%} of the variance of outputs at this share; the "
        f"rest is what components do together, and noise of the fit.{_pairs(at)}",
    ]
    top = max(summary["layers"], key=lambda layer: layer["share"])
    lines.append(
        f"{top['layer']} has {top['share']:.0%} of all weight ({top['components']} of {summary['count']} components)."
    )
    if summary["rounds"]:
        ran = ", ".join(f"{one['rho']:.3f} at {one['ablations']:,}" for one in summary["rounds"])
        lines.append(f"Rounds ended at {cost[FITTED]:,} ablations; correlation on ablations held out for them: {ran}.")
    failed = sum(one["failed"] for one in rho)
    if failed:
        lines.append(f"{failed} test ablations gave outputs that are not finite and are left out.")
    return tuple(lines)


def _pairs(test: Mapping[str, Any]) -> str:
    share = test["pairs_of_layers"]
    if share is None:
        return ""
    return f" Of this rest, numbers ablated in pairs of layers explain {max(0.0, share):.0%}."


def _against_leave_one_out(summary: Mapping[str, Any]) -> list[str]:
    gaps = {one["alpha"]: one["rho"][FITTED]["mean"] - one["rho"][ALONE]["mean"] for one in summary["rho"]}
    cheaper = summary["ablations"][FITTED] / summary["ablations"][ALONE]
    same = [f"{alpha:.1%}" for alpha, gap in gaps.items() if gap <= AS_GOOD]
    better = [f"{gap:.3f} at {alpha:.1%}" for alpha, gap in gaps.items() if gap > AS_GOOD]
    lines = []
    if same:
        lines.append(
            f"Leave-one-out is as good (within {AS_GOOD}, or better) where {', '.join(same)} is ablated, with "
            f"{cheaper:.0f} times fewer ablations."
        )
    if better:
        lines.append(f"The regression's correlation is higher than leave-one-out's by {', '.join(better)} ablated.")
    return lines


def tables(summary: Mapping[str, Any]) -> tuple[Table, ...]:
    """Return scores by method and share, layers, and the strongest components."""
    cost = summary["ablations"]
    scores = [
        {
            "attribution": WORDS[name],
            "ablations": cost.get(name, 0),
            **{f"{one['alpha']:.1%} ablated": interval(one["rho"][name]) for one in summary["rho"]},
        }
        for name in METHODS
    ]
    many = len(summary["networks"])
    over = f"Student's t over {many} networks" if many > 1 else "ablations and targets redrawn"
    layers = [
        {
            "layer": one["layer"],
            "components": one["components"],
            "what": one["kind"],
            "mean size": f"{one['mean_size']:.4f}",
            "share": f"{one['share']:.1%}",
        }
        for one in summary["layers"]
    ]
    strongest = [
        {
            "component": one["component"],
            "mean size": f"{one['mean_size']:.4f}",
            "mean": f"{one['mean_weight']:+.4f}",
            "95 % interval": "" if one["low"] is None else f"[{one['low']:+.4f}, {one['high']:+.4f}]",
        }
        for one in summary["strongest"]
    ]
    return (
        Table("Scores", scores, f"Mean correlation over targets, with 95 % intervals ({over})"),
        Table("Layers", layers, "Mean size of the weights of a layer's components, and their share of the sum"),
        Table("Strongest components", strongest, f"Of network {summary['networks'][0]}, over all targets"),
    )


def edit_findings(edits: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each edit: what it changed on examples that did not choose it, beside other ways."""
    lines = []
    for name, records in edits.items():
        before, ours, alone = (_mean(records, place) for place in ("before", FITTED, ALONE))
        sizes = ", ".join(str(len(record["limited"][FITTED]["components"])) for record in records)
        said = "" if _better(ours, alone) else " Leave-one-out chooses as good a set."
        lines.append(
            f"{name}: without {sizes} components the accuracy of the targets goes from {before['targets']:.3f} to "
            f"{ours['targets']:.3f}, that of the reference from {before['reference']:.3f} to {ours['reference']:.3f} "
            f"(chosen by leave-one-out: {alone['targets']:.3f} and {alone['reference']:.3f}).{said}"
        )
    return tuple(lines)


def edit_table(edits: Mapping[str, Any]) -> tuple[Table, ...]:
    """Return accuracies after each edit by each way to choose its components, over networks."""
    rows = []
    for name, records in edits.items():
        for place in ("before", *CHOSEN_BY, "random"):
            found = _mean(records, place)
            rows.append(
                {
                    "edit": name,
                    "chosen by": "nothing ablated" if place == "before" else WORDS.get(place, place),
                    "components": f"{found['size']:.1f}",
                    "targets": f"{found['targets']:.3f}",
                    "reference": f"{found['reference']:.3f}",
                }
            )
    words = "Accuracy on examples that chose nothing, mean over networks; sets by the limited loss, 20 random sets"
    return (Table("Edits", rows, words),) if rows else ()


def edit_plot(records: Sequence[Mapping[str, Any]]) -> Plot:
    """Return accuracies of targets and reference against the number of components ablated.

    Lines: in the order of Welch's score, mean over networks. Dashed: the sets by the limited loss as they grow, a
    line for each network.
    """

    def paint(figure: Figure, theme: Theme) -> None:
        colors = (theme.a, theme.b, theme.good, theme.muted)
        for at, (part, words) in enumerate((("targets", "targets"), ("reference", "reference")), 1):
            axes, whole = new_axes(figure, theme, (1, 2, at)), _mean(records, "before")[part]
            for name, color in zip((*CHOSEN_BY, "random"), colors, strict=True):
                sizes = records[0]["curves"][name]["sizes"]
                mean = np.mean([record["curves"][name][part] for record in records], axis=0)
                axes.plot([0, *sizes], [whole, *mean], color=color, lw=1.2, label=WORDS[name])
            for number, record in enumerate(records):
                path = record["limited"][FITTED]["path"]
                if path["sizes"]:
                    label = "limited loss" if number == 0 else None
                    line = [record["before"][part], *path[part]]
                    axes.plot([0, *path["sizes"]], line, color=theme.ink, lw=1, ls="--", alpha=0.6, label=label)
            axes.set_ylim(-0.02, 1.02)
            axes.set_xlabel("components ablated", color=theme.ink, fontsize=MEDIUM)
            axes.set_title(f"accuracy of the {words}", color=theme.ink, fontsize=MEDIUM)
            if at == 1:
                handles, labels = axes.get_legend_handles_labels()
        place: dict[str, Any] = {"loc": "outside lower center", "ncol": 3, "frameon": False, "fontsize": SMALL}
        figure.legend(handles, labels, labelcolor=theme.muted, **place)

    return plot(paint, 720, 380)


def _mean(records: Sequence[Mapping[str, Any]], place: str) -> dict[str, float]:
    """Return mean accuracies over networks, and the mean size of the sets; place: 'before', 'random' or a method."""
    found: dict[str, list[float]] = {"targets": [], "reference": [], "size": []}
    for record in records:
        one = record["limited"][place] if place in record["limited"] else record[place]
        for part in ("targets", "reference"):
            found[part].append(float(np.mean(one[part])))
        found["size"].append(float(one.get("size", len(one.get("components", ())))))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _better(ours: Mapping[str, float], alone: Mapping[str, float]) -> bool:
    return abs(ours["targets"] - alone["targets"]) > AS_GOOD or ours["reference"] > alone["reference"] + AS_GOOD


def score_plot(summary: Mapping[str, Any]) -> Plot:
    """Return the scores of all methods against the share of components that is ablated."""
    alphas = [one["alpha"] for one in summary["rho"]]

    def paint(figure: Figure, theme: Theme) -> None:
        axes = new_axes(figure, theme)
        colors = dict(zip(METHODS, (theme.a, theme.b, theme.good, theme.muted, theme.ink, theme.faint), strict=True))
        for name in METHODS:
            means, low, high = ([one["rho"][name][end] for one in summary["rho"]] for end in ("mean", "low", "high"))
            axes.plot(alphas, means, "o-", color=colors[name], markersize=4, linewidth=1.2, label=WORDS[name])
            axes.vlines(alphas, low, high, color=colors[name], linewidth=1, alpha=0.5)
        axes.set_xlabel("share of components ablated", color=theme.ink, fontsize=MEDIUM)
        axes.set_ylabel("correlation of predicted and true outputs", color=theme.ink, fontsize=MEDIUM)
        axes.axhline(0, color=theme.line, linewidth=0.8, zorder=0)
        axes.set_xlim(0, 1.15 * max(alphas))
        axes.set_ylim(-0.25, 1.05)
        figure.legend(loc="outside lower center", ncol=3, frameon=False, fontsize=SMALL, labelcolor=theme.muted)

    return plot(paint, 620, 440)
