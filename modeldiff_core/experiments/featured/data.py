"""The data of one replicate: examples that are made of features, or images that are not, as inputs of floats."""

import json
from functools import lru_cache

import numpy as np

from modeldiff_core.data import SOURCES
from modeldiff_core.data.featured import FeaturedData, FeaturedSource
from modeldiff_core.data.slabs import Slabs
from modeldiff_core.errors import ConfigError, DataError
from modeldiff_core.identity import canonical_json
from modeldiff_core.settings import build_settings
from modeldiff_core.study.build import load_dataset, unusable
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.training.attacks import Box
from modeldiff_core.training.float_stacks import FloatData

GENERATED = ("slabs", "one_hot")
"""Kinds whose values follow from their settings alone; the others read files."""
ONE_CLASS = "two classes or more"


def of_seed(dataset: DatasetConfig, replicate: int) -> DatasetConfig:
    """Return the data of a replicate: with the seed `replicate` higher."""
    return dataset.model_copy(update={"seed": int(dataset.options().get("seed", 0)) + replicate})


def featured_of(dataset: DatasetConfig, replicate: int = 0) -> FeaturedData:
    """Return a replicate's examples as features; raises ConfigError for a dataset that does not know its features."""
    own = of_seed(dataset, replicate)
    return _featured(canonical_json({"kind": own.kind, **own.options()}))


@lru_cache(maxsize=6)
def _featured(encoded: str) -> FeaturedData:
    options = json.loads(encoded)
    kind = options.pop("kind")
    source = build_settings(SOURCES.get(kind), options, "dataset")
    if not isinstance(source, FeaturedSource):
        known = [name for name in SOURCES.names() if hasattr(SOURCES.get(name), "featured")]
        raise ConfigError("dataset.kind", f"a dataset that knows its features ({', '.join(known)})", kind)
    try:
        return source.featured()
    except DataError as error:
        raise unusable(kind, error) from error


def box_of(dataset: DatasetConfig) -> Box:
    """Return the smallest and the largest value of an input; None where inputs are no images."""
    return None if issubclass(SOURCES.get(dataset.kind), Slabs) or dataset.kind == "one_hot" else (0.0, 1.0)


def knows_features(dataset: DatasetConfig) -> bool:
    """Return whether a dataset knows its features."""
    return hasattr(SOURCES.get(dataset.kind), "featured")


def float_data(dataset: DatasetConfig, replicate: int) -> tuple[FloatData, FloatData]:
    """Return the training and the test examples of a replicate; images of bytes in 0..1."""
    box = box_of(dataset)
    if knows_features(dataset):
        data = featured_of(dataset, replicate)
        parts = [(part.inputs(), part.labels) for part in (data.train, data.test)]
        classes = len(data.classes)
    else:
        images = load_dataset(of_seed(dataset, replicate) if "seed" in _settings(dataset.kind) else dataset)
        parts = [(part.images.astype(np.float32) / 255, part.labels) for part in (images.train, images.test)]
        classes = len(images.classes)
    if len(np.unique(parts[0][1])) < 2:
        raise ConfigError("dataset", ONE_CLASS, classes)
    train, test = (FloatData(inputs, labels, classes, box) for inputs, labels in parts)
    return train, test


def _settings(kind: str) -> tuple[str, ...]:
    return tuple(getattr(SOURCES.get(kind), "__dataclass_fields__", ()))


def fingerprint_of(dataset: DatasetConfig) -> str:
    """Return a digest of the values that a dataset has from files; empty where its settings say all."""
    return "" if dataset.kind in GENERATED else load_dataset(dataset).fingerprint
