"""What is known of the examples of one axis, where nobody may have given their labels or their images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped, UInt8


@runtime_checkable
class Known(Protocol):
    """Examples as far as they are known; a dataset's are known in full. labels, images: None where nobody gave them."""

    @property
    def images(self) -> UInt8[np.ndarray, "examples height width channels"] | None: ...

    @property
    def labels(self) -> Int[np.ndarray, " examples"] | None: ...

    @property
    def metadata(self) -> Mapping[str, Shaped[np.ndarray, "examples ..."]]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Given:
    """So many examples, with the labels, columns and images that were given of them."""

    count: int
    labels: Int[np.ndarray, " examples"] | None = None
    metadata: Mapping[str, Shaped[np.ndarray, "examples ..."]] = field(default_factory=dict)
    images: UInt8[np.ndarray, "examples height width channels"] | None = None

    def __len__(self) -> int:
        return self.count


def nothing_known(examples: Known) -> bool:
    """Return whether the examples have positions alone."""
    return examples.labels is None and examples.images is None and not examples.metadata
