"""How many of many parts carry a whole."""

import numpy as np
from jaxtyping import Float


def participation(values: Float[np.ndarray, " parts"]) -> float:
    """Return the participation number (Σp²)²/Σp⁴: k for k parts of equal size and no others, n/3 for n normal ones.

    0 where all parts are 0.
    """
    largest = float(np.abs(values).max(initial=0))
    if largest == 0:
        return 0.0
    squares = np.square(values.astype(np.float64) / largest)  # so that the fourth powers of tiny parts do not underflow
    return float(squares.sum() ** 2 / np.square(squares).sum())


def unseen_share(images: int, level: float = 0.95) -> float:
    """Return the largest share of all images of which none is among this many with chance 1 − level.

    That is 1 − (1 − level)^(1/n). A mean over images and its interval know nothing of a group that is not among them:
    with 40 images one of 7 %.
    """
    return float(1 - (1 - level) ** (1 / images))
