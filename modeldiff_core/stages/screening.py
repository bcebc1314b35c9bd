"""Which models of a matrix are left out or named, as its record says it, and what is said of them to people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Bool

from modeldiff_core.margins.distinct import Distinct
from modeldiff_core.margins.screening import Screened, Screening, sample_of, screen
from modeldiff_core.store import MarginMatrix

VERSION = 1
RANGES = 4
"""Most ranges of rows that a sentence names."""
DESCRIBED = 5
"""Most models whose measures are kept of each kind."""
REASONS = {
    "unfinished": "were never written",
    "copies": "are exact copies of earlier ones",
    "wild": "cannot be models among the others",
    "strange": "stand out from the others",
}
"""Why models are left out, in words, in the order in which they are told."""


def screen_matrix(
    matrix: MarginMatrix, asked: Screening, right_above: float | None, classes: int | None
) -> dict[str, Any]:
    """Return the fields of a matrix's record that say which of its models are left out, and which stand out.

    Args:
        matrix: All its margins are read.
        asked: What becomes of models that stand out.
        right_above: Margin above which a prediction is right; None for outputs that do not tell.
        classes: Number of classes, if there are any.
    """
    finite = np.ones(matrix.record["models"], dtype=bool)
    finite[matrix.record["diverged"]] = False
    margins = matrix.margins()
    found = screen(margins, finite, right_above=right_above, classes=classes)
    out = found.left_out(asked)
    facts = screening_facts({"wild": out & found.wild, "strange": out & ~found.wild}, found, asked)
    facts["screening"] |= distinct_facts(margins[sample_of(np.flatnonzero(finite))])
    return facts


def screening_facts(
    reasons: Mapping[str, Bool[np.ndarray, " models"]], found: Screened, asked: Screening
) -> dict[str, Any]:
    """Return ``left_out`` and ``screening`` of a record: rows by reason, those that are named only, and some measures.

    reasons: rows that are left out, by a key of REASONS; a row stands under one of them.
    """
    out = np.logical_or.reduce([np.zeros(len(found.wild), dtype=bool), *reasons.values()])
    named = (found.wild | found.strange) & ~out
    chosen = asked.choices()
    screening = {
        "version": VERSION,
        "left_out": {reason: np.flatnonzero(rows).tolist() for reason, rows in reasons.items() if rows.any()},
        "named": np.flatnonzero(named).tolist(),
        "measured": found.reasons(_extreme(found, named | (out & (found.wild | found.strange)))),
    }
    return {
        "left_out": np.flatnonzero(out).tolist(),
        "screening": screening | ({"choices": chosen} if chosen else {}),
    }


def distinct_facts(sample: np.ndarray) -> dict[str, Any]:
    """Return ``distinct`` of a screening where margins take few values or many are equal."""
    found = Distinct.of(sample)
    return {} if found is None else {"distinct": asdict(found)}


def screening_sentences(name: str, record: Mapping[str, Any]) -> list[str]:
    """Return what is to be told of a matrix's models: how many are left out and why, and which stand out.

    name: of the algorithm. record: of the matrix; empty for one that was not screened.
    """
    screening = record.get("screening")
    if not screening:
        return []
    said = []
    models, left_out = record["models"], screening["left_out"]
    for reason, words in REASONS.items():
        if rows := left_out.get(reason, []):
            said.append(
                f"{len(rows):,} of {models:,} models of {name} {words} and {'is' if len(rows) == 1 else 'are'} left out "
                f"({ranges(rows, 'model')}{_measured(screening, rows)}), in comparisons with the other algorithm's of the "
                "same subset."
            )
    if rows := screening["named"]:
        said.append(
            f"{len(rows):,} of {models:,} models of {name} stand{'s' if len(rows) == 1 else ''} out from the others and "
            f"{'was' if len(rows) == 1 else 'were'} kept ({ranges(rows, 'model')}{_measured(screening, rows)})."
        )
    if distinct := screening.get("distinct"):
        said.append(
            f"Margins of {name} take {'few values' if distinct['values'] <= FEW_WORDS else 'one value often'}: "
            f"{distinct['values']:,} distinct ones in a sample, and {100 * distinct['share']:.0f} % of them are "
            f"±{distinct['most']:.4g}. Probabilities that saturate and counts of leaves or neighbors leave datamodels "
            "little to explain."
        )
    return said


FEW_WORDS = 20
"""Distinct values that are called few."""


def ranges(rows: Iterable[int], word: str = "row") -> str:
    """Return numbers in words: 'row 7', 'rows 3, 9 to 12 and 40', at most RANGES of them."""
    found = runs(sorted(rows))
    parts = [f"{first:,}" if first == last else f"{first:,} to {last:,}" for first, last in found[:RANGES]]
    if len(found) > RANGES:
        parts.append(f"{sum(last - first + 1 for first, last in found[RANGES:]):,} more")
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{word}{'s' if len(found) > 1 or found[0][0] != found[0][1] else ''} {listed}"


def runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for row in rows:
        if found and row == found[-1][1] + 1:
            found[-1] = found[-1][0], row
        else:
            found.append((row, row))
    return found


def _extreme(found: Screened, chosen: Bool[np.ndarray, " models"]) -> np.ndarray:
    """Return the most extreme of some models by reach, at most DESCRIBED from either end."""
    rows = np.flatnonzero(chosen)
    order = rows[np.argsort(found.reach[rows], kind="stable")]
    return np.unique(np.concatenate([order[:DESCRIBED], order[len(order) - min(len(order), DESCRIBED) :]]))


def _measured(screening: Mapping[str, Any], rows: Sequence[int]) -> str:
    """Return what was measured of the most extreme of some models, in words."""
    chosen = [one for one in screening["measured"] if one["model"] in set(rows)]
    if not chosen:
        return ""
    furthest = max(chosen, key=lambda one: abs(np.log(max(one["times"], 1e-12))))
    size = f"margins {furthest['times']:.3g} times as large as usual" if furthest["times"] else "all margins zero"
    accuracy = "" if furthest["accuracy"] is None else f", accuracy {furthest['accuracy']:.2f}"
    which = "" if len(rows) == 1 else f" of model {furthest['model']:,}"
    return f"; {size}{accuracy}{which}"
