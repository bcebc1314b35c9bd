"""Sets of features that are randomized together, or that an attack may not touch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modeldiff_core.data.featured import Featured, FeaturedData
from modeldiff_core.errors import ConfigError

KEY = "feature_sets"


@dataclass(frozen=True)
class FeatureSet:
    """Features under one name. complexity: that of the simplest of them that says something of the label, else 0."""

    name: str
    features: tuple[str, ...]
    complexity: int


def feature_sets(data: FeaturedData, asked: Mapping[str, tuple[str, ...]]) -> tuple[FeatureSet, ...]:
    """Return the sets that a study asks for, the simplest first and those that say nothing last; each feature if none.

    Raises ConfigError for an unknown feature, one that is in two sets, an empty set, and a set of all features.
    """
    sets = dict(asked) or {name: (name,) for name in data.features}
    owner = dict[str, str]()
    for name, features in sets.items():
        if not features:
            raise ConfigError(f"{KEY}.{name}", "one feature or more", list(features))
        data.test.check(features, f"{KEY}.{name}")
        for feature in features:
            if owner.setdefault(feature, name) != name:
                raise ConfigError(
                    f"{KEY}.{name}", f"features of no other set ({feature} is in {owner[feature]})", feature
                )
        if len(set(features)) == len(data.features):
            raise ConfigError(f"{KEY}.{name}", "fewer than all features", list(features))
    found = [
        FeatureSet(name, features, min([c for f in features if (c := data.complexity[f])], default=0))
        for name, features in sets.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.complexity == 0, one.complexity)))


def rest_of(data: FeaturedData, features: tuple[str, ...]) -> tuple[str, ...]:
    """Return all other features."""
    return tuple(name for name in data.features if name not in features)


def holding(part: Featured, features: tuple[str, ...], rows: slice) -> Callable[[Tensor], Tensor]:
    """Return a function that takes from perturbations [1, examples, ...] what changes these features.

    Of rotated coordinates it is their part of the space, of images the pixels of the features.
    """
    if part.rotation is not None and part.columns is not None:
        kept = np.ones(len(part.rotation))
        for name in features:
            kept[part.columns[name]] = 0
        matrix = torch.from_numpy((part.rotation.T * kept @ part.rotation).astype(np.float32))
        return lambda moved: (moved.flatten(2) @ matrix).reshape(moved.shape)
    touched = np.any([part.pixels(name)[rows] for name in features], axis=0)
    free = torch.from_numpy(~touched)[None]
    return lambda moved: moved * (free if free.shape[1] == moved.shape[1] else free.all(1, keepdim=True))


def share_of(part: Featured, features: tuple[str, ...], moved: np.ndarray) -> float | None:
    """Return the share of a perturbation's squared l2 norm [height, width, channels] that changes these features.

    None where the features have another place in each example, and for a perturbation of zero.
    """
    tensor = torch.from_numpy(moved)[None, None]
    whole = float(tensor.square().sum())
    moving = part.rotation is None and any((part.pixels(name) != part.pixels(name)[:1]).any() for name in features)
    if moving or not whole:
        return None
    return 1 - float(holding(part, features, slice(0, 1))(tensor).square().sum()) / whole
