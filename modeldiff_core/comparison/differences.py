"""How many differences stand out, and so how many directions slopes are estimated outside.

A difference bends the slopes of its targets (comparison.contrast). With slopes outside one direction, two differences
of equal size therefore come out as one direction that mixes them, and nothing else stands out. With slopes outside both
they are two. Their number grows one by one:

- one, if the largest eigenvalue is above all of CHECKED draws of its null;
- k, if at slopes outside k + 1 directions the first k, rotated to few training examples each, move targets of their
  own (``shared_targets`` of no two of them reaches SHARED), and if, with the k − 1 largest ones taken out, what is then
  the largest eigenvalue is above all of CHECKED_MORE draws of its own null, at slopes outside two directions more in
  both. Of three equal differences the first two directions mix all, so that more may be named where two are not.

By its own null alone a strong difference has lesser parts that are no chance, and the more of them the more models
there are: of digits_watermark, with one planted block and 2,000 models of each, seven of eight directions stood out so.
They move the images that the difference moves. That tells parts from differences, and the draws of the first null do
not: these are the larger the stronger the first difference is, which they hold, and are made at slopes outside one
direction, where eigenvalues are larger. Two differences that move the same images are named as one.

With fewer than two nothing is as it would not be without this. With two or more only these can be significant. The
first is tested as it is where it is alone, each other one in what is left of the contrast without all others
(``standing_alone``).
"""

from dataclasses import replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Contrast, Fits, Sample, centered, find_contrast
from modeldiff_core.comparison.contrast_null import null_sample
from modeldiff_core.comparison.leading import Rows, leading_vectors
from modeldiff_core.comparison.rotation import varimax

CHECKED = 19
"""Draws of the null that a difference exceeds, which one of chance does in 5 %."""
CHECKED_MORE = 39
"""The same of a second difference and of those after it: one of chance exceeds them in 2.5 %.

A true one is well above: of three simulated ones the third is 1.4 in the median, its draws up to 0.6.
"""
SHARED = 0.1
"""Least part of two directions' variances that lies on the same targets for them to be parts of one difference.

Of two and three simulated differences 0.02 to 0.07 (benchmarks/several.py), of parts of one trained difference
0.14 to 0.50 (benchmarks/parts.py).
"""


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
    first, named = stands_out(contrast, sample, fits, seed, CHECKED), contrast
    for count in range(2, min(most, limit - 1) + 1 if first else 2):
        candidate = contrast.naming(count)
        rows = centered(candidate.rows(fits)[0])
        vectors = leading_vectors(*rows, count)
        if shared_targets(rows, varimax(vectors)) >= SHARED:
            continue
        if not stands_out(_without(contrast, vectors[:, :-1].T), sample, fits, seed, CHECKED_MORE):
            break
        named = candidate
    return named


def shared_targets(rows: tuple[Rows, Rows], directions: Float[np.ndarray, "train count"]) -> float:
    """Return the largest part that two directions' variances have on the same targets.

    Σ_t min(p_t, q_t) of two directions, p_t the part of target t in Σ_t max(0, ⟨R_t⁽⁰⁾,v⟩·⟨R_t⁽¹⁾,v⟩): products of
    both halves, so that the noise of either adds little.
    """
    held = np.maximum((rows[0] @ directions) * (rows[1] @ directions), 0.0)
    parts = held / np.maximum(held.sum(0), np.finfo(np.float32).tiny)
    pairs = combinations(parts.T, 2)
    return max((float(np.minimum(one, other).sum()) for one, other in pairs), default=0.0)


def standing_alone(contrast: Contrast, directions: Float[np.ndarray, "components train"], rank: int) -> Contrast:
    """Return the contrast in which a difference is tested.

    Args:
        contrast: With the number of differences that are named.
        directions: Found in it; the first are the differences.
        rank: Which of them. The largest is tested with nothing taken out, as it is where it is the only one; another
            one without all others, at slopes outside two directions more.
    """
    if rank == 0 or rank >= contrast.differences:
        return contrast.naming(1)
    return _without(contrast, np.delete(directions[: contrast.differences], rank, 0))


def _without(contrast: Contrast, directions: Float[np.ndarray, "directions train"]) -> Contrast:
    return replace(contrast.without(directions), leading=2)


def stands_out(contrast: Contrast, sample: Sample, fits: Fits, seed: int, draws: int) -> bool:
    """Return whether the largest eigenvalue is above all of so many draws of its null."""
    found = find_contrast(contrast, fits, 1)
    null, value = null_sample(sample, contrast, found.steady), float(found.eigenvalues[0])
    return all(float(null.largest(range(draw, draw + 1), seed)[0]) < value for draw in range(draws))
