"""Training examples that are copies of test images, pixel for pixel."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from modeldiff_core.data import Known


@dataclass(frozen=True)
class Copies:
    """Of some training examples, those whose image is a test image, and those of them that have another label there."""

    looked_at: int
    copies: int
    relabeled: int

    @property
    def words(self) -> tuple[str, ...]:
        """Return a sentence, none where there is no copy."""
        if not self.copies:
            return ()
        verb = "is a copy of a test image" if self.copies == 1 else "are copies of test images"
        other = f", {self.relabeled} of them under another label" if self.relabeled else ""
        return (f"{self.copies} of the {self.looked_at} furthest training examples {verb}, pixel for pixel{other}.",)


def copies(train: Known, targets: Known, positions: Int[np.ndarray, " chosen"]) -> Copies:
    """Return how many training examples at these positions are copies of test images; none without images."""
    if train.images is None or targets.images is None or train.images.shape[1:] != targets.images.shape[1:]:
        return Copies(len(positions), 0, 0)
    labels: dict[bytes, set[int]] = {}
    for at, image in enumerate(targets.images):
        labels.setdefault(_digest(image), set()).add(-1 if targets.labels is None else int(targets.labels[at]))
    found = relabeled = 0
    for at in positions:
        there = labels.get(_digest(train.images[at]))
        if there is None:
            continue
        found += 1
        known = train.labels is not None and targets.labels is not None
        relabeled += bool(known and train.labels is not None and int(train.labels[at]) not in there)
    return Copies(len(positions), found, relabeled)


def _digest(image: UInt8[np.ndarray, "height width channels"]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
