"""Random generators that are pure functions of their purpose."""

import hashlib

import numpy as np


def generator(*purpose: int | str) -> np.random.Generator:
    """Return a generator that depends on its purpose alone, for example ``generator("mask", seed, model)``.

    The purpose is hashed to a Philox key, so that neighboring seeds and indices give unrelated streams and no
    stream depends on how many others were drawn, in which process, or in which order.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in purpose)
    key = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
