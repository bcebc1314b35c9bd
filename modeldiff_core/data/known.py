"""What is known of the examples of one axis, whose labels or images may not have been given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from modeldiff_core.data.kinds import PICTURES


@runtime_checkable
class Known(Protocol):
    """Examples as far as they are known. labels, images: None where they were not given or do not exist."""

    @property
    def images(self) -> UInt8[np.ndarray, "examples height width channels"] | None: ...

    @property
    def labels(self) -> Int[np.ndarray, " examples"] | None: ...

    @property
    def metadata(self) -> Mapping[str, Shaped[np.ndarray, "examples ..."]]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Given:
    """So many examples, with the labels, columns and images that were given of them.

    features: numbers of each example by name, such as the columns of a table. texts: each example as people read it,
    where that is no image. noun: what an example is called.
    """

    count: int
    labels: Int[np.ndarray, " examples"] | None = None
    metadata: Mapping[str, Shaped[np.ndarray, "examples ..."]] = field(default_factory=dict)
    images: UInt8[np.ndarray, "examples height width channels"] | None = None
    features: Mapping[str, Float[np.ndarray, " examples"]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    noun: str = ""

    def __len__(self) -> int:
        return self.count


def nothing_known(examples: Known) -> bool:
    """Return whether the examples have positions alone."""
    named = examples.metadata or features_of(examples)
    return examples.labels is None and examples.images is None and not named


def features_of(examples: Known) -> Mapping[str, Float[np.ndarray, " examples"]]:
    """Return the named numbers of examples that have any."""
    return examples.features if isinstance(examples, Given) else {}


def texts_of(examples: Known) -> tuple[str, ...]:
    """Return the examples as people read them; empty for images, and where nothing is known."""
    return examples.texts if isinstance(examples, Given) else ()


def noun_of(examples: Known) -> str:
    """Return what one of the examples is called."""
    named = examples.noun if isinstance(examples, Given) else ""
    return named or PICTURES.noun
