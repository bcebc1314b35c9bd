"""Another null: the comparison between disjoint parts of one algorithm's models, which can differ by chance alone.

A part holds half as many models as the comparison and shares no mask with the other, so its differences are noisier
than those of A and B: against them fewer directions stand out than against exchanges (see comparison.permutation), and
no exchange of A for B is taken to be harmless.
"""

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.permutation import Method, Pairs, both_sides, common_fits
from modeldiff_core.identity import generator


def part_differences(
    halves: tuple[Pairs, Pairs],
    n_components: int,
    draws: range,
    seed: int,
    *,
    method: Method = "pca",
    normalize: bool = True,
) -> Float[np.ndarray, "draws sides components"]:
    """Return cross-fitted differences of each side of two random parts of A's models (even draws) or B's (odd ones).

    A difference is variance_first − variance_second along each direction, as `permuted_differences` takes A's and B's.

    Each half of the model numbers is split again, models of one mask together; with an odd number of them one is left
    out. Parts are fitted with what the real fits chose. Draw d is a pure function of (seed, d).
    """
    out = np.empty((len(draws), 2, n_components), np.float32)
    for row, draw in enumerate(draws):
        first, second = (
            _parted(half, generator("parts", seed, draw, h), of_b=draw % 2 == 1) for h, half in enumerate(halves)
        )
        out[row] = both_sides(common_fits((first, second), method=method), n_components, normalize=normalize)
    return out


def _parted(half: Pairs, random: np.random.Generator, *, of_b: bool) -> Pairs:
    """Return one algorithm's models of a half in two disjoint parts, the one as A and the other as B."""
    masks, margins = (half.masks_b, half.margins_b) if of_b else (half.masks_a, half.margins_a)
    one, other = half.replicates.parted(random)
    return Pairs(masks[one], masks[other], margins[one], margins[other], half.refit)
