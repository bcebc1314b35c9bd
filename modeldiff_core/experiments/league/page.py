"""The overview of a league as one page: the matrix of all pairs, and every pair with its verdict and its own report."""

import io
import json
from collections.abc import Mapping, Sequence
from posixpath import relpath
from typing import Any

import pandas as pd

from modeldiff_core.data.inventory import Inventory, sections
from modeldiff_core.experiments.league.overview import matrix
from modeldiff_core.report.html import environment

SHADES = 0.45
"""Share of a cell's color at the largest difference."""


def league_page(
    summary: Mapping[str, Any],
    names: Mapping[str, str],
    folder: str,
    study: Mapping[str, Any],
    data: Sequence[Inventory],
) -> dict[str, bytes]:
    """Return the files of the overview by name; it needs no other file, and links to the reports of the pairs.

    Args:
        summary: The league's.
        names: What people call the algorithms, by short name.
        folder: Where the league is stored, from which links to the pairs' reports start.
        study: The settings as plain values.
        data: What the dataset held.

    """
    entries = [{**entry, "link": relpath(entry["report"], f"{folder}/report")} for entry in summary["pairs"]]
    page = (
        environment()
        .get_template("league.html.jinja")
        .render(
            title=summary["study"],
            findings=summary["findings"],
            names=names,
            algorithms=summary["algorithms"],
            accuracy=all(one["subset_accuracy"] is not None for one in summary["algorithms"]),
            level=summary["level"],
            margin=summary["margin"],
            pairs=entries,
            cells=[[_cell(entry, entries) for entry in row] for row in matrix(list(names), entries)],
            study=json.dumps(study, indent=2, ensure_ascii=False),
            data=[{"rows": sections(one), "told": one.remarks} for one in data],
        )
    )
    settings = json.dumps(study, indent=2, ensure_ascii=False)
    return {"index.html": page.encode(), "study.json": settings.encode(), **tables(summary["pairs"], names)}


def tables(pairs: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, bytes]:
    """Return the table of pairs as CSV and as Parquet, numbers in full."""
    rows = [
        {
            "a": names[one["a"]],
            "b": names[one["b"]],
            "verdict": one["answer"],
            "verdict_alone": one["alone"],
            **{f"total_{name}": value for name, value in one["total"].items() if name in ("value", "low", "high")},
            **{name: one[name] for name in ("p", "p_adjusted", "similarity", "directions")},
        }
        for one in pairs
    ]
    table, parquet = pd.DataFrame(rows), io.BytesIO()
    table.to_parquet(parquet, index=False)
    csv = table.to_csv(index=False, lineterminator="\n").encode()
    return {"tables/pairs.csv": csv, "tables/pairs.parquet": parquet.getvalue()}


def _cell(entry: Mapping[str, Any] | None, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if entry is None:
        return None
    largest = max(max(one["total"]["value"] for one in entries), 1e-9)
    shade = SHADES * min(1.0, max(0.0, entry["total"]["value"] / largest))
    return {**entry, "shade": round(100 * shade)}
