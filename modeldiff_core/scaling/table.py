"""Tables of runs that others made: a CSV file with a header, read into columns of known names and units."""

import csv
from pathlib import Path

import fsspec
import numpy as np

from modeldiff_core.errors import ConfigError

NAMES = {
    "parameters": ("n", "parameters", "params", "n_params", "total_params", "total_parameters"),
    "tokens": ("d", "tokens", "n_tokens", "train_tokens"),
    "sparsity": ("s", "sparsity"),
    "flops": ("c", "flops", "compute", "train_flops"),
    "loss": ("loss", "l", "val_loss", "validation_loss", "eval_loss"),
    "granularity": ("g", "granularity"),
    "rate": ("lr", "rate", "learning_rate"),
    "seed": ("seed",),
    "cell": ("cell", "name", "run", "id"),
    "experts": ("e", "experts", "n_experts", "num_experts"),
    "active": ("k", "active", "top_k", "active_experts"),
}
"""What a column may be called, in capital letters or not."""
NEEDED = ("parameters", "tokens", "flops", "loss")
BITS = ("bit", "bpb", "bpc", "bpt")
"""Parts of the names of columns whose losses are in bits."""


def read_columns(path: str | Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the columns of a CSV file by the names of ``Runs``, and sentences about the rows that were left out.

    path: of the file, or an fsspec URL.

    Raises ConfigError for a file that cannot be read, columns that are missing, ambiguous or in bits, cells that are
    no numbers, and a table without rows.
    """
    header, rows = _rows(path)
    places = _places(header)
    texts = {name: [row[place].strip() for row in rows] for name, place in places.items()}
    found = {name: np.array(values) if name == "cell" else _numbers(name, values) for name, values in texts.items()}
    finite = np.isfinite(found["loss"])
    if not finite.any():
        raise ConfigError("table", "at least one row with a loss", f"{len(rows)} rows, none of them with a loss")
    kept, notes = finite.copy(), []
    if not finite.all():
        notes.append(f"{int((~finite).sum())} of {len(rows)} rows have no loss (diverged or cut) and were left out.")
    seen = set[tuple[str, ...]]()
    for at, row in enumerate(rows):
        key = tuple(cell.strip() for cell in row)
        if kept[at] and key in seen:
            kept[at] = False
        seen.add(key)
    twice = int(finite.sum() - kept.sum())
    if twice:
        notes.append(f"{twice} of {len(rows)} rows repeat another in every column and were left out.")
    found = {name: values[kept] for name, values in found.items()}
    return _sparsities(found), tuple(notes)


def _rows(path: str | Path) -> tuple[list[str], list[list[str]]]:
    try:
        with fsspec.open(str(path), "rt", newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except (OSError, ValueError, ImportError, csv.Error) as error:
        raise ConfigError("table", "a CSV file that can be read", str(path), str(error)) from error
    if len(lines) < 2:
        raise ConfigError("table", "a header and at least one row", f"{len(lines)} lines in {path}")
    header, rows = [cell.strip() for cell in lines[0]], lines[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise ConfigError("table", f"{len(header)} columns, as in the header", f"{len(row)} in row {number}")
    return header, rows


def _places(header: list[str]) -> dict[str, int]:
    """Return the position of each known column."""
    lowered, found = [name.lower() for name in header], dict[str, int]()
    for name, names in NAMES.items():
        at = [place for place, given in enumerate(lowered) if given in names]
        if len(at) > 1:
            raise ConfigError("table", f"one column of {name}", ", ".join(header[place] for place in at))
        if at:
            found[name] = at[0]
    missing = [name for name in NEEDED if name not in found]
    bits = [name for name in header if any(part in name.lower() for part in BITS)]
    if "loss" in missing and bits:
        hint = "Multiply bits per token by ln 2 = 0.6931 (bits per byte by the bytes per token too), and call it loss"
        raise ConfigError("table", "losses in nats per token", bits[0], hint)
    if missing:
        hint = f"A column of {missing[0]} is called one of: {', '.join(NAMES[missing[0]])}"
        raise ConfigError("table", f"columns {', '.join(NEEDED)}", ", ".join(header), hint)
    if "sparsity" not in found and not {"experts", "active"} <= found.keys():
        hint = "S = (E − K)/E of K active experts out of E"
        raise ConfigError("table", "a column S, or both E and K", ", ".join(header), hint)
    return found


def _numbers(name: str, texts: list[str]) -> np.ndarray:
    """Return a column as numbers; an empty cell is NaN, which only the loss may have."""
    values = np.empty(len(texts))
    for row, text in enumerate(texts):
        try:
            values[row] = float(text) if text else np.nan
        except ValueError:
            raise ConfigError("table", f"numbers in column {name}", text, f"So in row {row + 1}") from None
        if not text and name != "loss":
            raise ConfigError("table", f"a number in every row of column {name}", "", f"Row {row + 1} has none")
    return values


def _sparsities(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns with S in the place of E and K; raise ConfigError where both are given and disagree."""
    experts, active = found.pop("experts", None), found.pop("active", None)
    if experts is None or active is None:
        return found
    wrong = ~((active >= 1) & (active <= experts))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ConfigError("table", "1 ≤ K ≤ E experts", f"K = {active[row]:g}, E = {experts[row]:g}")
    sparsity = (experts - active) / experts
    if "sparsity" in found and (off := np.abs(found["sparsity"] - sparsity) > 0.006).any():
        row = int(np.flatnonzero(off)[0])
        told = f"S = {found['sparsity'][row]:g} beside E = {experts[row]:g}, K = {active[row]:g}"
        raise ConfigError("table", "S = (E − K)/E within .006", told)
    return found | {"sparsity": sparsity}
