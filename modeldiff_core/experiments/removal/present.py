"""What a removal shows on any screen: sentences, tables, and figures of effects, predictions and the groups."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from modeldiff_core.data import Dataset
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme

SHOWN = 24
"""Images of a group in a figure."""
SAID = 4
"""Of what a group shares, what is said; its record has all of it."""
COLUMNS = 8
CELL = 66
"""CSS pixels of an image with its margin."""


def present(name: str, summary: Mapping[str, Any]) -> Shown:
    """Return a removal for any screen."""
    said = [sentence for entry in summary["differences"] for sentence in _sentences(entry, summary)]
    if not summary["differences"]:
        said = ["The comparison names no difference, so there is nothing to remove."]
    found = summary["calibration"]["rank_correlation"]
    if found is not None:
        said.append(
            f"Predicted and measured shrinkage of all {summary['calibration']['removals']} groups that were removed "
            f"have rank correlation {found:.2f}."
        )
    rows = [row for entry in summary["differences"] for row in _rows(entry)]
    words = (
        f"Without so many training examples, {summary['models']} models of each algorithm were trained on all the "
        "others. Effects: change of the probability under the transformation, in points, A minus B with the interval "
        "for new models and images. Shrinkage: share of the effect (A minus B) that is gone; predicted from subset "
        "models alone."
    )
    return Shown(f"What is behind the differences of {name}", tuple(said), (Table("Removed groups", rows, words),))


def _sentences(entry: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    names = summary["algorithms"]
    more, less = (names[letter] for letter in entry["side"].split("-"))
    called = f"Difference {entry['number'] + 1} ({more} relies on something more than {less})"
    if entry["transformation"] is None:
        return [f"{called}: no transformation is confirmed along it, so no effect could shrink."]
    group, shrunk, beyond = entry["group"], entry["shrinkage"], entry["beyond_random"]
    size, examples = len(group["train"]), summary["examples"]
    classes = _classes(group["classes"])
    short = f" ({group['other_classes']} of them of other classes)" if group["other_classes"] else ""
    before, after = entry["effect"]["difference"]["value"], entry["without"]["difference"]["value"]
    return [
        f"{called}: behind it are {size} of {examples:,} training examples ({classes}). Without them the effect of "
        f"“{entry['transformation']}”, A minus B, falls from {_points(before)} to {_points(after)} points: it shrinks "
        f"by {_percent(shrunk['value'])} % [{_percent(shrunk['low'])}, {_percent(shrunk['high'])}]; without as many "
        f"random others of the same class{short} by {_percent(entry['random_shrinkage'])} % (mean of "
        f"{len(entry['random'])} groups), so the group takes {_percent(beyond['value'])} % "
        f"[{_percent(beyond['low'])}, {_percent(beyond['high'])}] more of it away.",
        f"What they share: {'; '.join(word.removesuffix('.') for word in group['words'][:SAID])}.",
    ]


def _classes(classes: Mapping[str, int]) -> str:
    named = list(classes.items())
    if len(named) == 1:
        return f"all of class {named[0][0]}"
    rest = sum(count for _, count in named[3:])
    said = ", ".join(f"{count} of class {label}" for label, count in named[:3])
    return f"{said}, {rest} of others" if rest else said


def _rows(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    if entry["transformation"] is None:
        return []
    effect = entry["effect"]
    number = entry["number"] + 1
    rows = [
        {
            "difference": number,
            "removed": "nothing",
            "examples": 0,
            "effect on A": _points(effect["a"]),
            "on B": _points(effect["b"]),
            "A minus B": _ends(effect["difference"], _points),
            "shrinkage": "",
            "predicted": "",
        }
    ]
    last = len(entry["parts"]) - 1
    for name, groups in (("group", entry["parts"]), ("random", entry["random"])):
        for at, one in enumerate(groups):
            words = f"random {at + 1}" if name == "random" else "the group" if at == last else "part of the group"
            rows.append(
                {
                    "difference": number,
                    "removed": words,
                    "examples": one["size"],
                    "effect on A": _points(one["effect"]["a"]),
                    "on B": _points(one["effect"]["b"]),
                    "A minus B": _ends(one["effect"]["difference"], _points),
                    "shrinkage": _ends(one["shrinkage"], lambda value: f"{_percent(value)} %"),
                    "predicted": f"{_percent(one['predicted'])} %",
                }
            )
    return rows


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{100 * value:.0f}".replace("-0", "0").replace("-", "−")


def _ends(one: Mapping[str, float], words: Any) -> str:
    return f"{words(one['value'])} [{words(one['low'])}, {words(one['high'])}]"


def figures(summary: Mapping[str, Any], data: Dataset) -> dict[str, Plot]:
    """Return figures by caption: measured against predicted shrinkage, and the first images of each group."""
    found = {}
    confirmed = [entry for entry in summary["differences"] if entry["transformation"] is not None]
    if confirmed:
        found["Measured against predicted shrinkage of every group that was removed"] = calibration_plot(confirmed)
    for entry in confirmed:
        chosen = entry["group"]["train"]
        caption = f"Difference {entry['number'] + 1}: the training images behind it"
        if len(chosen) > SHOWN:
            caption += f", the first {SHOWN} of {len(chosen)}"
        found[caption] = _sheet(chosen[:SHOWN], data)
    return found


def calibration_plot(entries: list[Mapping[str, Any]]) -> Plot:
    """Draw measured against predicted shrinkage with intervals: groups and their parts, and random groups."""

    def paint(figure: Figure, theme: Theme) -> None:
        axes = new_axes(figure, theme)
        axes.axhline(0, color=theme.line, linewidth=0.8, zorder=0)
        axes.axline((0, 0), slope=1, color=theme.muted, linewidth=0.9, zorder=1, label="as predicted")
        for name, words, color, marker in (
            ("parts", "the group and parts of it", theme.a, "o"),
            ("random", "random groups of its size", theme.muted, "s"),
        ):
            groups = [one for entry in entries for one in entry[name]]
            x = [100 * one["predicted"] for one in groups]
            y = np.array([100 * one["shrinkage"]["value"] for one in groups])
            reach = [[100 * one["shrinkage"][end] for one in groups] for end in ("low", "high")]
            error = np.clip([y - reach[0], reach[1] - y], 0, None)
            axes.errorbar(x, y, error, color=color, marker=marker, ms=5, lw=0, elinewidth=0.8, label=words)
        axes.set_xlabel("predicted shrinkage (%)", color=theme.ink, fontsize=MEDIUM)
        axes.set_ylabel("measured shrinkage (%)", color=theme.ink, fontsize=MEDIUM)
        axes.legend(frameon=False, fontsize=SMALL, labelcolor=theme.muted, loc="upper left")

    return plot(paint, width=560, height=440)


def _sheet(positions: list[int], data: Dataset) -> Plot:
    rows = -(-len(positions) // COLUMNS)

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axis in axes:
            axis.axis("off")
        for axis, position in zip(axes, positions, strict=False):
            image = data.train.images[position]
            axis.imshow(image[..., 0] if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255)
            axis.set_title(data.classes[data.train.labels[position]], fontsize=7, color=theme.ink)

    return plot(paint, CELL * COLUMNS, (CELL + 16) * rows)
