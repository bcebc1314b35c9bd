"""What ``simplicity`` shows: sentences, tables and the figure of the paper."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import getitem
from typing import Any

from matplotlib.figure import Figure

from modeldiff_core.experiments.experiment import Table
from modeldiff_core.experiments.featured.intervals import holds, words
from modeldiff_core.report.figures import MEDIUM, SMALL, Plot, new_axes, plot
from modeldiff_core.report.theme import Theme

AS_GOOD = 0.01
"""Difference of accuracies below which a network is as good as without the change."""
NARROW = 0.05
"""Half the width of an interval beyond which it says nothing of chance."""
LEARNED, PARTLY = 0.05, 0.5
"""Distance to the Bayes accuracy below which a feature counts as learnable alone, and the share of the way from chance
from which on it counts as learnable in part."""
WIDEST, CROWDED = 740, 8
"""Pixels that a page has for a figure, and cells from which on their names are slanted."""
NARROWEST, THREE_COLUMNS = 520, 640
"""Pixels that the legend needs in two columns, and in three."""
NAMES = {"accuracy": "accuracy", "roc_auc": "AUC (ROC)", "pr_auc": "AUC (precision-recall)"}


def findings(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each cell, for the controls, for attacks, and for what failed."""
    lines = []
    for cell in summary["cells"]:
        lines.append(f"{cell['name']}: {cell['failure'] + '.' if cell['failure'] else _cell(summary, cell)}")
    for cell in summary["controls"]:
        lines.append(f"Control, {cell['name']} alone: {_control(summary, cell)}")
    for cell in summary["cells"]:
        for attack, found in cell.get("attacked", {}).items():
            lines.append(f"{cell['name']} under {attack}: {_attack(summary, found)}")
    return tuple(lines)


def _cell(summary: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    parts = [f"accuracy {words(cell['standard']['accuracy'])}"]
    for one in summary["sets"]:
        parts.append(f"with {one['name']} randomized {words(cell['randomised'][one['name']]['accuracy'])}")
    told = [one["name"] for one in summary["sets"] if one["complexity"]]
    only = [name for name in told if _relies_only(summary, cell, name)]
    if only:
        more = [name for name in told if name != only[0]]
        idle = f", although {' and '.join(more)} would do" if more else ""
        return f"{'; '.join(parts)}. They rely on {only[0]} alone{idle}."
    reliance = [f"{name} {words(found, 2)}" for name in told if (found := cell["reliance"][name]) is not None]
    return f"{'; '.join(parts)}. Reliance: {', '.join(reliance) or 'on nothing that could be told'}."


def _relies_only(summary: Mapping[str, Any], cell: Mapping[str, Any], name: str) -> bool:
    """Return whether accuracy is at chance without a set and as good without all others."""
    without, alone = (cell[way][name]["accuracy"] for way in ("randomised", "rest"))
    narrow = without["high"] - without["mean"] <= NARROW
    at_chance = narrow and (holds(without, summary["chance"]) or abs(without["mean"] - summary["chance"]) <= AS_GOOD)
    return bool(at_chance and alone["mean"] >= cell["standard"]["accuracy"]["mean"] - AS_GOOD)


def _control(summary: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    if cell["failure"]:
        return f"{cell['failure']}."
    bayes = next(one["bayes"] for one in summary["sets"] if one["name"] == cell["name"])
    accuracy = cell["standard"]["accuracy"]
    chance = summary["chance"]
    if accuracy["mean"] >= bayes - LEARNED:
        end = "so it can be learned"
    elif accuracy["mean"] >= chance + PARTLY * (bayes - chance):
        end = "so it can be learned in part"
    else:
        end = "so these networks do not learn it, and that others do not use it says little"
    return f"accuracy {words(accuracy)} of {bayes:.3f} that are possible, {end}."


def _attack(summary: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    kept = [
        f"with {one['name']} fixed {words(found['fixed'][one['name']]['each'])} and "
        f"{words(found['fixed'][one['name']]['universal'])}"
        for one in summary["sets"]
    ]
    shares = [f"{share['mean']:.1%} of it on {name}" for name, share in found["share"].items() if share is not None]
    return (
        f"accuracy {words(found['each'])}, under one perturbation for all {words(found['universal'])}"
        f"{' (' + ', '.join(shares) + ')' if shares else ''}; {'; '.join(kept)}."
    )


def tables(summary: Mapping[str, Any]) -> tuple[Table, ...]:
    """Return a table for each metric, one of reliance, one of the features, and one of attacks."""
    cells = _trained(summary["cells"])
    controls = {f"control: {name} alone": cell for name, cell in _trained(summary["controls"]).items()}
    names = [one["name"] for one in summary["sets"]]
    found = []
    for metric, title in NAMES.items():
        rows = [
            {
                "networks": name,
                "as it is": words(cell["standard"][metric]),
                **{f"{one} randomized": words(cell["randomised"][one][metric]) for one in names},
                **{f"all but {one} randomized": words(cell["rest"][one][metric]) for one in names},
                "all randomized": words(cell["all"][metric]),
            }
            for name, cell in {**cells, **controls}.items()
        ]
        over = f"over {summary['seeds']} replicates of data and networks, 95 % intervals by Student's t"
        found.append(Table(title[0].upper() + title[1:], rows, f"On test examples, {over}"))
    rows = [
        {
            "feature": one["name"],
            "complexity": one["complexity"],
            "best accuracy alone": f"{one['bayes']:.3f}",
            "best accuracy without": f"{one['bayes_rest']:.3f}",
            **{name: words(r, 2) if (r := cell["reliance"][one["name"]]) else "" for name, cell in cells.items()},
        }
        for one in summary["sets"]
    ]
    text = "Drop of accuracy when a feature is randomized over the drop when all are, the simplest feature first"
    found.append(Table("Reliance", rows, text))
    attacks = _attack_rows(summary, cells)
    if attacks:
        found.append(Table("Attacks", attacks, "Accuracy on attacked test examples"))
    norms = _norm_rows(summary, cells)
    if norms:
        text = "At which half of what was told right is told wrong; more than was tried where nothing stands"
        found.append(Table("Norms that attacks need", norms, text))
    return tuple(found)


def _trained(cells: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the cells with networks by their names."""
    return {cell["name"]: cell for cell in cells if not cell["failure"]}


def _attack_rows(summary: Mapping[str, Any], cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, cell in cells.items():
        for attack, found in cell["attacked"].items():
            asked = summary["attacks"][attack]
            for way in ("each", "universal"):
                rows.append(
                    {
                        "networks": name,
                        "attack": attack,
                        "norm": asked["norm"],
                        "epsilon": asked["epsilon"],
                        "perturbation": "one for each example" if way == "each" else "one for all",
                        "accuracy": words(found[way]),
                        **{f"{one['name']} fixed": words(found["fixed"][one["name"]][way]) for one in summary["sets"]},
                    }
                )
    return rows


def _norm_rows(summary: Mapping[str, Any], cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "networks": name,
            "attack": f"{attack}, {summary['attacks'][attack]['norm']}",
            "perturbation": words_of_way,
            **{
                f"{held} fixed" if held else "nothing fixed": words(norms[way]) if norms[way] else ""
                for held, norms in found.items()
            },
        }
        for name, cell in cells.items()
        for attack, found in cell.get("needed", {}).items()
        for way, words_of_way in (("each", "one for each example"), ("universal", "one for all"))
    ]


def randomized_plot(summary: Mapping[str, Any], metric: str) -> Plot:
    """Return a metric of every cell and control as it is, and with each set and all but each set randomized."""
    cells = _trained(summary["cells"])
    cells |= {f"{name} alone": cell for name, cell in _trained(summary["controls"]).items()}
    sets = [one["name"] for one in summary["sets"]]

    def paint(figure: Figure, theme: Theme) -> None:
        axes = new_axes(figure, theme)
        colors = (theme.a, theme.b, theme.good, theme.muted)
        ways: list[tuple[str, str, str, tuple[str, ...]]] = [("as it is", theme.ink, "o", ("standard",))]
        for at, name in enumerate(sets):
            color = colors[at % len(colors)]
            ways.append((f"{name} randomized", color, "v", ("randomised", name)))
            ways.append((f"all but {name} randomized", color, "^", ("rest", name)))
        for at, (label, color, marker, keys) in enumerate(ways):
            places = [place + 0.7 * ((at + 0.5) / len(ways) - 0.5) for place in range(len(cells))]
            found = [reduce(getitem, (*keys, metric), cell) for cell in cells.values()]
            axes.plot(places, [f["mean"] for f in found], marker, color=color, markersize=5, label=label)
            axes.vlines(places, [f["low"] for f in found], [f["high"] for f in found], color=color, linewidth=1.2)
        axes.axhline(summary["chance"] if metric == "accuracy" else 0.5, color=theme.line, linewidth=0.8, zorder=0)
        labels = [name.replace(", ", "\n").replace(" alone", "\nalone") for name in cells]
        axes.set_xticks(range(len(cells)), labels, rotation=45 if len(cells) > CROWDED else 0)
        axes.set_ylabel(NAMES[metric], color=theme.ink, fontsize=MEDIUM)
        axes.set_ylim(min(0.35, summary["chance"] - 0.1), 1.03)
        columns = 3 if width >= THREE_COLUMNS else 2
        figure.legend(loc="outside lower center", ncol=columns, frameon=False, fontsize=SMALL, labelcolor=theme.muted)

    width = min(max(220 + 150 * len(cells), NARROWEST), WIDEST)
    return plot(paint, width, 440)
