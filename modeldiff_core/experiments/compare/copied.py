"""Training examples at the ends of directions that are copies of test images, told with the findings."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.data import Known
from modeldiff_core.experiments.compare.findings import Findings
from modeldiff_core.subpopulations.copies import copies

FURTHEST = 24
"""Training examples of the largest weights, of either sign, that are looked at for copies of test images."""


def copied(train: Known, targets: Known, weights: Float[np.ndarray, " train"]) -> tuple[str, ...]:
    """Return a sentence about copies among the furthest training examples; none where there is no copy."""
    return copies(train, targets, np.argsort(-np.abs(weights), kind="stable")[:FURTHEST]).words


def copied_sentences(summary: Mapping[str, Any], findings: Findings, train: Known, targets: Known) -> list[str]:
    """Return which differences of a contrast rest on copies of test images, by the first direction of each.

    summary: ``differences`` of summary.json.
    """
    said = []
    for number, one in enumerate(summary["differences"], 1):
        weights = findings.side(one["side"], "directions")[one["directions"][0]]
        which = "this difference" if len(summary["differences"]) == 1 else f"difference {number}"
        said += [f"Of {which}: {words}" for words in copied(train, targets, weights)]
    return said
