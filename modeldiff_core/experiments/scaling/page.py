"""What answers say in sentences and tables, for the page of any experiment that has runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from modeldiff_core.experiments.experiment import Table

SURE = 0.95
"""Share of the draws from which on a sign is said without reserve."""


def findings(answers: Mapping[str, Any]) -> tuple[str, ...]:
    """Return sentences, the most important first."""
    lines = [_trend(answers["trends"]), *_best(answers), *_held(answers["held_out"]), *_undetermined(answers["laws"])]
    return (*lines, *_censored(answers), *_advised(answers["advice"]), *_runs(answers))


def _trend(found: Mapping[str, Any]) -> str:
    parts = []
    for share, yes, where in (
        (found["rises"], "rises with N", "at fixed C"),
        (found["falls"], "falls with C", "at fixed N"),
    ):
        if share is None:
            parts.append(f"whether S* {yes} {where} cannot be told: no two neighboring optima lie inside the runs")
            continue
        words = f"S* {yes} {where}"
        if share <= 1 - SURE:
            words = f"S* does not do what the paper found, that it {yes} {where}"
        elif share < SURE:
            words = f"whether {words} is undecided"
        parts.append(f"{words} (in {share:.0%} of the draws)")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}. {found['inside']} of {found['points']} optima looked at lie inside the runs."


def _best(answers: Mapping[str, Any]) -> list[str]:
    """Return a sentence about the smallest and the largest size whose optimum lies inside, at the middle budget."""
    flops = [row["flops"] for row in answers["best_sparsity"]]
    middle = sorted(set(flops))[len(set(flops)) // 2]
    rows = [row for row in answers["best_sparsity"] if row["flops"] == middle]
    inside = [row for row in rows if not row["edge"]]
    if not inside:
        return [f"At C = {middle:.2g} no optimum lies inside the runs: {', '.join(map(_sparsity, rows))}."]
    chosen = inside if len(inside) == 1 else [inside[0], inside[-1]]
    told = " and ".join(f"S* = {_sparsity(row)} at N = {row['parameters']:.2g}" for row in chosen)
    return [f"At C = {middle:.2g}: {told}."]


def _held(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for held in dict.fromkeys(row["held"] for row in rows):
        told = [
            f"{row['law']} {row['rmse']:.4f}" if row["rmse"] is not None else f"{row['law']} could not be fitted"
            for row in rows
            if row["held"] == held
        ]
        lines.append(f"Held out {held}: root mean squared error in nats of {', '.join(told)}.")
    return lines


def _undetermined(laws: Sequence[Mapping[str, Any]]) -> list[str]:
    law = laws[0]
    weak = [row["name"] for row in law["coefficients"] if not row["determined"]]
    if not weak:
        return [f"These runs determine all coefficients of the law {law['name']} to a tenth."]
    return [
        f"These runs do not determine {_listed(weak)}: their 95 % intervals reach beyond a tenth of the value. Optima "
        "and predictions do not need them one by one, and have intervals of their own."
    ]


def _censored(answers: Mapping[str, Any]) -> list[str]:
    rows = [row for surface in answers["surfaces"] for row in surface["rows"]]
    count = sum(row["edge"] != 0 for row in rows)
    if not rows:
        return ["No budget has cells enough for a surface of its own."]
    return [
        f"By the surfaces of single budgets, {count} of {len(rows)} best sparsities lie on the edge of what was tried: "
        "they are bounds, and are averaged nowhere."
    ]


def _advised(advice: Mapping[str, Any]) -> list[str]:
    if not advice["targets"]:
        return []
    answer = _listed([one["answer"] for one in advice["targets"]])
    if advice["flops"] is None:
        return [f"No number of runs that was tried brings the width of {answer} to {advice['share']:.0%}."]
    return [
        f"To bring the width of {answer} to {advice['share']:.0%} takes {advice['flops']:.2g} FLOPs in the cells of "
        f"the table below, {advice['flops'] / advice['grid']:.0%} of what all runs again would take, if the law holds."
    ]


def _runs(answers: Mapping[str, Any]) -> list[str]:
    runs, law = answers["runs"], answers["laws"][0]
    sizes, sparsities = runs["parameters"], runs["sparsities"]
    return [
        f"{runs['count']} runs of {runs['cells']} cells at {len(runs['budgets'])} budgets, N from {sizes[0]:.2g} to "
        f"{sizes[1]:.2g}, S from {sparsities[0]:.3g} to {sparsities[-1]:.3g}; they scatter about the law {law['name']} "
        f"by {law['noise']:.2%} of the loss.",
        *runs["notes"],
        *_cost(answers["cost"]),
    ]


def _cost(cost: Mapping[str, float]) -> list[str]:
    if cost["error"] <= 0.05:
        return []
    return [
        f"A token's FLOPs depart from {cost['factor']:.3g}·N^{cost['power']:.3g}·(1 − {cost['sparse']:.3g}·S) by up to "
        f"{cost['error']:.0%}: what a budget buys in other cells is as uncertain."
    ]


def tables(answers: Mapping[str, Any]) -> tuple[Table, ...]:
    """Return the tables of optima, predictions, coefficients, laws, surfaces and advice."""
    return (
        *_optima_tables(answers),
        *(_coefficients(law) for law in answers["laws"]),
        _held_table(answers["held_out"]),
        *_surface_tables(answers["surfaces"]),
        *_advice_tables(answers["advice"]),
    )


def _optima_tables(answers: Mapping[str, Any]) -> list[Table]:
    law, new = answers["laws"][0]["name"], answers["new_budget"]
    sparsest = [
        {
            "C": f"{row['flops']:.3g}",
            "N": f"{row['parameters']:.3g}",
            "S*": _sparsity(row),
            "95 % interval": _interval(row["best"], ".3f"),
            "loss": f"{row['loss']['value']:.4f}",
        }
        for row in answers["best_sparsity"]
    ]
    best = [_size_row(row) for row in answers["best_size"]]
    predicted = [_size_row(row) for row in new["rows"]]
    text = f"By the law {law}; ≤ and ≥ mark bounds, where the optimum lies on the edge of the runs"
    return [
        Table("Best sparsity", sparsest, text),
        Table("Best size", best, text),
        Table("New budget", predicted, f"Predicted at C = {new['flops']:.3g}, without the noise of one run. {text}"),
    ]


def _size_row(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "C": f"{row['flops']:.3g}",
        "S": f"{row['sparsity']:.3g}",
        "N*": _bound(row["edge"]) + f"{row['best']['value']:.3g}",
        "95 % interval of N*": _interval(row["best"], ".3g"),
        "loss": f"{row['loss']['value']:.4f}",
        "95 % interval of the loss": _interval(row["loss"], ".4f"),
    }


def _coefficients(law: Mapping[str, Any]) -> Table:
    rows = [
        {
            "coefficient": row["name"],
            "value": f"{row['value']:.4g}",
            "95 % interval": _interval(row, ".4g"),
            "determined": "yes" if row["determined"] else "no",
        }
        for row in law["coefficients"]
    ]
    text = f"{law['source']}; profile intervals, determined if they lie within a tenth of the value"
    return Table(f"Law {law['name']}", rows, text)


def _held_table(held: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        {
            "held out": row["held"],
            "law": row["law"],
            "runs": row["runs"],
            "RMSE (nats)": f"{row['rmse']:.4f}" if row["rmse"] is not None else row["failure"],
            "bias": f"{row['bias']:+.4f}" if row["bias"] is not None else "",
            "R²": f"{row['r2']:.4f}" if row["r2"] is not None else "",
        }
        for row in held
    ]
    return Table("Laws on runs held out", rows, "Each law fitted without these runs")


def _surface_tables(surfaces: Sequence[Mapping[str, Any]]) -> list[Table]:
    rows = [
        {
            "C": f"{surface['flops']:.3g}",
            "degrees": ", ".join(map(str, surface["degrees"])),
            "held-out RMSE": f"{surface['error']:.4f}",
            "held-out r": f"{surface['correlation']:.4f}" if surface["correlation"] is not None else "",
            "N": f"{row['parameters']:.3g}",
            "S*": _sparsity(row),
            "95 % interval": _interval(row["best"], ".3f"),
        }
        for surface in surfaces
        for row in surface["rows"]
    ]
    text = "A polynomial in ln N, −ln(1 − S) and their product for each budget, degrees by cross-validation, no law"
    return [Table("IsoFLOP surfaces", rows, text)] if rows else []


def _advice_tables(advice: Mapping[str, Any]) -> list[Table]:
    if not advice["targets"]:
        return []
    goals = [
        {"answer": one["answer"], "95 % width": f"{one['width']:.3g}", "width after": f"{one['then']:.3g}"}
        for one in advice["targets"]
    ]
    rows = [
        {
            "N": f"{row['parameters']:.3g}",
            "S": f"{row['sparsity']:.3g}",
            "D": f"{row['tokens']:.3g}",
            "C of a run": f"{row['flops']:.3g}",
            "runs": row["runs"],
        }
        for row in advice["rows"]
    ]
    text = "Runs that narrow the answers above most per FLOP, other seeds where a cell has several; if the law holds"
    costs = [
        {
            "width, of what it is": f"{one['share']:.0%}",
            "FLOPs of advised runs": f"{one['flops']:.2g}" if one["flops"] is not None else "not reached",
            "FLOPs of all runs again": f"{one['grid']:.2g}",
        }
        for one in advice["costs"]
    ]
    widths = "Predicted widths, now and after the runs below"
    return [
        Table("Answers to narrow", goals, widths),
        Table("Cost of narrower answers", costs, "Root mean square over the answers; predicted, if the law holds"),
        Table("Next", rows, text),
    ]


def _sparsity(row: Mapping[str, Any]) -> str:
    return _bound(row["edge"]) + f"{row['best']['value']:.3f}"


def _bound(edge: int) -> str:
    return {-1: "≤ ", 1: "≥ "}.get(edge, "")


def _interval(found: Mapping[str, Any], form: str) -> str:
    ends = ["−∞" if found["low"] is None else format(found["low"], form)]
    ends.append("∞" if found["high"] is None else format(found["high"], form))
    return f"{ends[0]} to {ends[1]}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
