"""How many differences stand out, and so how many directions slopes are estimated outside.

A difference bends the slopes of its targets (comparison.contrast). With slopes outside one direction, two differences
of equal size therefore come out as one direction that mixes them, and nothing else stands out. With slopes outside both
they are two. Slopes outside directions of chance find more chance, so their number grows one by one:

- one, if the largest eigenvalue is above all of CHECKED draws of its null;
- k, if with the k − 1 largest directions taken out, as they are at slopes outside k + 1 directions, what is then the
  largest eigenvalue is above as many draws of its own null, at slopes outside two directions more in both.

Draws of the first are the first of those that p-values come from. With fewer than two nothing is as it would not be
without this. With two or more only these can be significant: each still has its p.
"""

from dataclasses import replace

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
    named = contrast
    for count in range(1, min(most, limit - 1) + 1):
        candidate, rest = contrast.naming(count), contrast
        if count > 1:
            larger = leading_vectors(*centered(candidate.rows(fits)[0]), count - 1)
            rest = replace(contrast.without(larger.T), leading=2)
        if not stands_out(rest, sample, fits, seed):
            break
        named = candidate
    return named


def stands_out(contrast: Contrast, sample: Sample, fits: Fits, seed: int) -> bool:
    """Return whether the largest eigenvalue is above that of every draw."""
    found = find_contrast(contrast, fits, 1)
    null, value = null_sample(sample, contrast, found.steady), float(found.eigenvalues[0])
    return value > 0 and all(null.largest(range(draw, draw + 1), seed)[0] < value for draw in range(CHECKED))
