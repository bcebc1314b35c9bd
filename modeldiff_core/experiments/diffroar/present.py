"""What ``diffroar`` shows: sentences that say where the control explains a score, tables, and the scores by share."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from modeldiff_core.experiments.experiment import Table
from modeldiff_core.experiments.featured.intervals import holds, words
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme

AS_GOOD = 0.02
"""Difference of accuracies below which masks alone are as good as masked images."""


def name_of(row: Mapping[str, Any]) -> str:
    """Return which networks and attribution a row is about."""
    return f"{row['networks']}, {row['attribution']}" if row["networks"] else str(row["attribution"])


def explained(row: Mapping[str, Any]) -> bool:
    """Return whether the control explains a score: on both sides masks alone do as well as masked images.

    Not where removed values are marginal draws, since networks cannot see the masks then.
    """
    return row["fill"] != "marginal" and all(
        row[side]["mask"]["mean"] >= row[side]["kept"]["mean"] - AS_GOOD for side in ("top", "bottom")
    )


def findings(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each score, the first with a warning where the control explains it."""
    lines = []
    for name, one in summary["networks"].items():
        lines.append(f"{name}: {one['failure'] or 'accuracy ' + words(one['accuracy'])}.")
    for row in summary["scores"]:
        where = f"{name_of(row)}, fill {row['fill']}, {row['k']:.0%} kept"
        if "diffroar" not in row:
            lines.append(f"{where}: all {row['diverged']} replicates diverged.")
            continue
        if not row["networks"] and row["attribution"] == "random":
            zero = "holds 0, as it should" if holds(row["diffroar"], 0.0) else "does not hold 0"
            lines.append(f"{where}: DiffROAR of {row['diffroar']['n']} orders {words(row['diffroar'])} {zero}.")
            continue
        left = f" ({row['diverged']} diverged)" if row["diverged"] else ""
        lines.append(
            f"{where}: DiffROAR {words(row['diffroar'])}, corrected {words(row['corrected'])}{left}; networks that see "
            f"the masks alone reach {words(row['top']['mask'])} (top) and {words(row['bottom']['mask'])} (bottom), on "
            f"masked images {words(row['top']['kept'])} and {words(row['bottom']['kept'])}.{_warning(row)}"
        )
    return tuple(lines)


def _warning(row: Mapping[str, Any]) -> str:
    if explained(row):
        return (
            " Warning: the shape of the masks alone explains these accuracies, so the score says nothing of what the "
            "kept values tell."
        )
    if not holds(row["diffroar"], 0.0) and holds(row["corrected"], 0.0):
        return " Warning: nothing is left of the score once what the masks tell is taken out."
    return ""


def tables(summary: Mapping[str, Any]) -> tuple[Table, ...]:
    """Return scores, and the accuracies that they are made of with the control beside them."""
    rows = [row for row in summary["scores"] if "diffroar" in row]
    scores = [
        {
            **_where(row),
            "DiffROAR": words(row["diffroar"]),
            "masks alone": words(row["mask"]),
            "corrected": words(row["corrected"]),
            "control": "explains it" if explained(row) else "",
            "replicates": row["diffroar"]["n"],
        }
        for row in rows
    ]
    accuracies = [
        {
            **_where(row),
            **{
                f"{side}, {text}": words(row[side][way])
                for side in ("top", "bottom")
                for way, text in (("kept", "kept"), ("replaced", "kept values replaced"), ("mask", "mask alone"))
            },
        }
        for row in rows
    ]
    about = "Accuracy of networks trained again on the highest values less that on the lowest; 95 % intervals"
    beside = "On test images that are masked by the same rule as those that networks were trained on"
    return Table("Scores", scores, about), Table("Accuracies", accuracies, beside)


def _where(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"networks": row["networks"], "attribution": row["attribution"], "fill": row["fill"], "kept": row["k"]}


def scores_plot(summary: Mapping[str, Any]) -> Plot:
    """Return each score against the share kept, one panel a fill: as it is, corrected, and of the masks alone."""
    rows = [row for row in summary["scores"] if "diffroar" in row]
    ks = sorted({row["k"] for row in rows})
    fills = list(dict.fromkeys(row["fill"] for row in rows))
    names = list(dict.fromkeys(name_of(row) for row in rows))
    drawn = [row[score] for row in rows for score in ("diffroar", "corrected", "mask")]
    ends = min([0.0, *(one["low"] for one in drawn)]), max([0.0, *(one["high"] for one in drawn)])
    room = 0.05 * (ends[1] - ends[0]) or 0.05

    def paint(figure: Figure, theme: Theme) -> None:
        colors = (theme.a, theme.b, theme.good, theme.ink, theme.muted, theme.faint)
        for at, fill in enumerate(fills, 1):
            axes = new_axes(figure, theme, (1, len(fills), at))
            axes.axhline(0, color=theme.line, linewidth=0.8, zorder=0)
            for number, name in enumerate(names):
                own = [row for row in rows if row["fill"] == fill and name_of(row) == name]
                color = colors[number % len(colors)]
                for score, style, marker in (("diffroar", "-", "o"), ("corrected", "--", "s"), ("mask", ":", "x")):
                    at_k = 0.04 * (number - len(names) / 2) + 0.2 * ("diffroar", "corrected", "mask").index(score) - 0.2
                    places = [ks.index(row["k"]) + at_k for row in own]
                    _line(axes, places, own, score, {"linestyle": style, "marker": marker, "color": color})
                axes.plot([], [], color=color, label=name)
            axes.set_title(f"fill: {fill}", color=theme.ink, fontsize=MEDIUM)
            axes.set_xticks(range(len(ks)), [f"{k:g}" for k in ks])
            axes.set_xlim(-0.6, len(ks) - 0.4)
            axes.set_ylim(ends[0] - room, ends[1] + room)
            axes.set_xlabel("share of the values kept", color=theme.ink, fontsize=MEDIUM)
            if at == 1:
                axes.set_ylabel("accuracy of top less bottom", color=theme.ink, fontsize=MEDIUM)
                handles, labels = axes.get_legend_handles_labels()
        for style, marker, text in (("-", "o", "DiffROAR"), ("--", "s", "corrected"), (":", "x", "masks alone")):
            handles += axes.plot([], [], color=theme.muted, linestyle=style, marker=marker, markersize=4)
            labels.append(text)
        figure.legend(
            handles, labels, loc="outside lower center", ncol=3, frameon=False, fontsize=SMALL, labelcolor=theme.muted
        )

    return plot(paint, 130 + 330 * len(fills), 420)


def _line(
    axes: Any, places: Sequence[float], rows: Sequence[Mapping[str, Any]], score: str, style: Mapping[str, Any]
) -> None:
    found = [row[score] for row in rows]
    axes.plot(places, [one["mean"] for one in found], markersize=4, linewidth=1.2, **style)
    axes.vlines(places, [one["low"] for one in found], [one["high"] for one in found], color=style["color"], alpha=0.4)
