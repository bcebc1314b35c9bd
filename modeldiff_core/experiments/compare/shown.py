"""What a finished comparison shows on any screen: its findings and tables."""

from collections.abc import Mapping
from typing import Any

from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.contrasts import variances_told
from modeldiff_core.experiments.compare.enough import about_enough
from modeldiff_core.experiments.compare.sentences import terms_of
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.store import ObjectStore, read_record


def shown(comparison: Comparison, store: ObjectStore) -> Shown:
    """Return the sentences and tables of a complete comparison."""
    names, summary = comparison.names, read_record(store, comparison.summary.record)
    terms = terms_of(comparison)
    tables = [
        Table(
            "directions",
            [_direction(entry, names) for entry in summary["directions"]],
            "Variance along each direction, from pairs of different trainings"
            if "products" in summary
            else "Variance along each direction, measured on models that did not choose it",
        )
    ]
    if summary["transformations"]:
        rows = [_effect(entry, names, "distinguishing") for entry in summary["transformations"]]
        tables.append(Table("effects", rows, terms.said("Mean change of a class probability at full intensity")))
    if summary["found"]:
        rows = [{**_effect(entry, names, "confirmed"), "along": _along(entry)} for entry in summary["found"]]
        words = "What the search put to the test, on images and models that had not chosen it"
        tables.append(Table("found", rows, terms.said(words)))
    findings = (*about_enough(comparison, summary, store), *summary["findings"])
    return Shown(f"{names['a']} against {names['b']}", findings, tuple(tables))


def row(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a comparison found as one row of a sweep's table."""
    named = [entry["name"] for entry in summary["transformations"] if entry["distinguishing"]]
    return {
        "LDS, A": round(summary["lds"]["a"]["mean"], 3),
        "LDS, B": round(summary["lds"]["b"]["mean"], 3),
        "significant directions": sum(bool(direction["significant"]) for direction in summary["directions"]),
        "distinguishing": ", ".join(named) or "none",
    }


def _direction(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "side": f"{names[entry['side'][0]]} − {names[entry['side'][2]]}",
        "direction": entry["index"] + 1,
        **{f"variance, {names[which]}": _variance(entry, which) for which in ("a", "b")},
        "null p": "cannot be tested" if entry["null_p"] is None else round(entry["null_p"], 4),
        "stability": "" if entry["stability"] is None else round(entry["stability"], 3),
        "significant": "yes" if entry["significant"] else "no",
    }


def _variance(entry: Mapping[str, Any], which: str) -> float | str:
    told: float = round(entry["explained_variance"][which], 5)
    return told if variances_told(entry) else "cannot be told"


def _effect(entry: Mapping[str, Any], names: Mapping[str, str], verdict: str) -> dict[str, Any]:
    return {
        "transformation": entry["name"],
        "class": "own" if entry["class"] is None else entry["class"],
        f"effect, {names['a']}": round(entry["effect"]["a"], 4),
        f"effect, {names['b']}": round(entry["effect"]["b"], 4),
        "difference": round(entry["difference"], 4),
        "adjusted p": entry["p_adjusted"],
        verdict: "yes" if entry["distinguishing"] else "no",
    }


def _along(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{direction['side']} {direction['index'] + 1}" for direction in entry["along"])
