"""Which examples a change that is all or nothing has reached at an intensity."""

import hashlib

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.data.kinds import Inputs


def places(inputs: Inputs) -> Float[np.ndarray, " examples"]:
    """Return a number in [0, 1) for each example that depends on its own values alone, evenly spread."""
    digests = (hashlib.blake2b(np.ascontiguousarray(one).tobytes(), digest_size=8).digest() for one in inputs)
    return np.array([int.from_bytes(digest, "little") / 2**64 for digest in digests], np.float64)


def reached(inputs: Inputs, intensity: float) -> Bool[np.ndarray, " examples"]:
    """Return which examples are changed at an intensity: none at 0, all at 1, more and more between."""
    return places(inputs) < intensity
