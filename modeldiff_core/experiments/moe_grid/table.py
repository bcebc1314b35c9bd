"""The table of runs: what a law is fitted to, as a CSV that any study or program reads."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from modeldiff_core.errors import ConfigError
from modeldiff_core.scaling.runs import Runs

COLUMNS = "parameters", "tokens", "sparsity", "flops", "loss", "granularity", "rate", "seed", "cell"


def rows_of(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each run at its cell's chosen learning rate; diverged runs are none of them."""
    return [
        {
            **{name: cell[name] for name in ("parameters", "tokens", "sparsity", "flops", "granularity")},
            "loss": run["loss"],
            "rate": run["rate"],
            "seed": run["seed"],
            "cell": cell["name"],
        }
        for cell in summary["cells"]
        for run in cell["runs"]
        if run["rate"] == cell["rate"] and not run["failure"]
    ]


def csv_of(summary: Mapping[str, Any]) -> bytes:
    """Return the table as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: row[name] for name in COLUMNS} for row in rows_of(summary))
    return text.getvalue().encode()


def runs_of(summary: Mapping[str, Any]) -> Runs:
    """Return the table as the laws take it; raises ConfigError if every run diverged."""
    rows = rows_of(summary)
    if not rows:
        raise ConfigError("runs", "at least one run that did not diverge", 0)
    lost = sum(run["failure"] != "" for cell in summary["cells"] for run in cell["runs"])
    notes = (f"{lost} runs diverged and are left out.",) if lost else ()
    return Runs.of({name: np.array([row[name] for row in rows]) for name in COLUMNS}, notes)
