"""The sentences and tables of ``scaling``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.experiments.scaling.page import findings, tables


def presented(name: str, summary: Mapping[str, Any]) -> Shown:
    """Return what a grid shows."""
    cells = summary["cells"]
    done = [cell for cell in cells if cell["loss"] is not None]
    lines = [
        f"{summary['runs']} runs of {len(cells)} cells on {summary['text']['tokens']:,} tokens; {summary['diverged']} "
        f"diverged and are in no mean; {summary['cut']} learning rates were cut early."
    ]
    lines += _edges(summary)
    lines += [f"{summary['no_laws']}."] if summary["no_laws"] else []
    lines += findings(summary["laws"]) if summary["laws"] else _best(done)
    shown = (_losses(cells), _trainings(cells), _rates(cells), *_rule(summary))
    laws = tables(summary["laws"]) if summary["laws"] else ()
    return Shown(f"Mixtures of experts of {name}", tuple(lines), (*laws, *shown))


def _edges(summary: Mapping[str, Any]) -> Iterator[str]:
    lost = [cell["name"] for cell in summary["cells"] if cell["loss"] is None]
    if lost:
        yield f"Every run of {len(lost)} cells diverged: {'; '.join(lost[:3])}."
    if summary["edges"]:
        yield (
            f"In {summary['edges']} of {len(summary['cells'])} cells the best learning rate is the lowest or highest "
            "that was tried: their losses may be too high."
        )


def groups_of(cells: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    """Return cells by (budget, parameters, granularity, shape), which differ in sparsity alone."""
    found = dict[tuple[Any, ...], list[Mapping[str, Any]]]()
    for cell in cells:
        shape = cell["width"], cell["layers"], cell["experts"]
        found.setdefault((cell["budget"], cell["parameters"], cell["granularity"], shape), []).append(cell)
    return {key: sorted(own, key=lambda cell: cell["sparsity"]) for key, own in sorted(found.items())}


def _best(cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the sparsity with the lowest mean loss of each size and budget, and whether it is the grid's edge."""
    for (budget, size, granularity, _), own in groups_of(cells).items():
        if len(own) < 2:
            continue
        best = min(own, key=lambda cell: cell["loss"])
        edge = " (an end of the grid)" if best in (own[0], own[-1]) else ""
        sd = f" ± {best['sd']:.3f} between seeds" if best["sd"] is not None else ""
        yield (
            f"C {budget:.3g}, N {size:,}, G {granularity}: the lowest loss, {best['loss']:.3f}{sd}, is at S "
            f"{best['sparsity']:.3f}{edge}."
        )


def _losses(cells: Sequence[Mapping[str, Any]]) -> Table:
    """Return the loss by sparsity, a row for each size and budget."""
    levels, rows = sorted({round(cell["sparsity"], 3) for cell in cells}), []
    for (budget, size, granularity, shape), own in groups_of(cells).items():
        row: dict[str, Any] = {"C": f"{budget:.3g}", "N": size, "G": granularity, "shape": "x".join(map(str, shape))}
        by_level = {round(cell["sparsity"], 3): cell for cell in own}
        for level in levels:
            cell = by_level.get(level)
            row[f"S {level:g}"] = "" if cell is None else "diverged" if cell["loss"] is None else f"{cell['loss']:.3f}"
        rows.append(row)
    return Table("Loss by sparsity", rows, "Nats per token of validation text, means over seeds at the best rate")


def _trainings(cells: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        {
            "cell": cell["name"],
            "active parameters": cell["active_parameters"],
            "steps": cell["steps"],
            "tokens": cell["tokens"],
            "loss": "" if cell["loss"] is None else f"{cell['loss']:.4f}",
            "sd": "" if cell["sd"] is None else f"{cell['sd']:.4f}",
            "seeds": cell["seeds"],
            "diverged": sum(run["failure"] != "" for run in cell["runs"]),
            "heaviest expert": "" if cell["balance"] is None else f"{cell['balance']['heaviest']:.2f}",
            "idle experts": "" if cell["balance"] is None else f"{cell['balance']['idle']:.0%}",
        }
        for cell in cells
    ]
    about = "The heaviest expert's load in units of an even one; idle experts have less than a tenth of it"
    return Table("Cells", rows, about)


def _rates(cells: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for cell in cells:
        cut = [one for halving in cell["halvings"] for one in halving["cut"]]
        failed = sorted({run["rate"] for run in cell["runs"] if run["failure"]})
        rows.append(
            {
                "cell": cell["name"],
                "best rate": "" if cell["rate"] is None else f"{cell['rate']:g}",
                "at an end": "yes" if cell["edge"] else "",
                "trained to the end": ", ".join(f"{rate:g}" for rate in sorted({run["rate"] for run in cell["runs"]})),
                "cut early": ", ".join(f"{one['rate']:g}" for one in cut),
                "diverged": ", ".join(f"{rate:g}" for rate in failed),
            }
        )
    return Table("Learning rates", rows, "Rates that were cut early were worse than others after the same steps")


def _rule(summary: Mapping[str, Any]) -> Iterator[Table]:
    if summary["rule"] is None:
        return
    i, j, k = summary["rule"]["coefficients"]
    rows = [
        {
            "active parameters": row["active"],
            "C": f"{row['budget']:.3g}",
            "best rate": f"{row['rate']:.3g}",
            "at an end": "yes" if row["edge"] else "",
        }
        for row in summary["rule"]["cells"]
    ]
    yield Table("Rule of the learning rate", rows, f"log η = {i:.3f} + {j:.3f} log N_a + {k:.3f} log C on these cells")
