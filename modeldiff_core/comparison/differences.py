"""How many differences stand out, and so how many directions slopes are estimated outside.

A difference bends the slopes of its targets (comparison.contrast). With slopes outside one direction, two differences
of equal size therefore come out as one direction that mixes them, and nothing else stands out. With slopes outside both
they are two. Their number grows one by one:

- one, if the largest eigenvalue is above all of CHECKED draws of its null;
- k, if at slopes outside k + 1 directions the k-th largest eigenvalue is above these draws, too, and if, with the k − 1
  larger ones taken out, what is then the largest eigenvalue is above as many draws of its own null, at slopes outside
  two directions more in both.

By its own null alone a strong difference has lesser parts that are no chance: of digits_watermark, with one planted
block and 2,000 models of each, seven of eight directions stood out so.

Draws of the first are the first of those that p-values come from. With fewer than two nothing is as it would not be
without this. With two or more only these can be significant: each still has its p.
"""

from dataclasses import replace

import numpy as np

from modeldiff_core.comparison.contrast import Contrast, Fits, Sample, centered, find_contrast
from modeldiff_core.comparison.contrast_null import null_sample
from modeldiff_core.comparison.leading import leading_vectors

CHECKED = 19
"""Draws of the null that a difference exceeds, which one of chance does in 5 %."""


def naming_differences(contrast: Contrast, sample: Sample, fits: Fits, most: int, seed: int) -> Contrast:
    """Return the contrast with the number of differences that stand out, at most so many.

    Args:
        contrast: Without directions removed.
        sample: Its margins.
        fits: Their datamodels.
        most: Directions that are asked for.
        seed: Of the draws.
    """
    limit = min(int((contrast.weights > 0).sum()) - 1, fits.a[0].shape[1])
    threshold, named = largest_draw(contrast, sample, fits, seed), contrast
    for count in range(2, min(most, limit - 1) + 1 if threshold < np.inf else 2):
        candidate = contrast.naming(count)
        rows = centered(candidate.rows(fits)[0])
        vectors = leading_vectors(*rows, count)
        if np.einsum("ij,ij->j", rows[0] @ vectors, rows[1] @ vectors).min() <= threshold:
            break
        rest = replace(contrast.without(vectors[:, :-1].T), leading=2)
        if largest_draw(rest, sample, fits, seed) == np.inf:
            break
        named = candidate
    return named


def largest_draw(contrast: Contrast, sample: Sample, fits: Fits, seed: int) -> float:
    """Return the largest of CHECKED draws of the null; infinity if one reaches the contrast's own value."""
    found = find_contrast(contrast, fits, 1)
    null, value, largest = null_sample(sample, contrast, found.steady), float(found.eigenvalues[0]), 0.0
    for draw in range(CHECKED):
        largest = max(largest, float(null.largest(range(draw, draw + 1), seed)[0]))
        if largest >= value:
            return float(np.inf)
    return largest
