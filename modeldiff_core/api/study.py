"""A study of a user's own training functions, as one object: what is compared, on which data, with how many models."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from modeldiff_core.api.algorithm import Algorithm, Train, as_algorithm
from modeldiff_core.api.data import Data
from modeldiff_core.errors import ConfigError
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.study import StudyConfig, given, parse_study, trainings_of

MODELS = 2000
"""Subset models of each algorithm, where nothing is said."""
SHARD = 20
"""Models that are stored together: what an interruption can lose of each process."""
HELD_OUT = 0.1
"""Share of the models that are kept to score the datamodels, within what is below."""
LEAST_HELD_OUT, MOST_HELD_OUT = 20, 100
COMPONENTS = 8


@dataclass(frozen=True)
class Study:
    """Two training functions and the data on which they are compared.

    Attributes:
        a: The first algorithm, or its function.
        b: The second.
        data: The data.
        models: Subset models of each.
        name: Of the study: small letters, digits, - and _; from the names of the algorithms if not given.
        settings: Any other settings of a study, as in ``{"subsets": {"fraction": 0.7}, "targets": 500}``.

    """

    a: "Algorithm | Train"
    b: "Algorithm | Train"
    data: Data
    models: int = MODELS
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def algorithms(self) -> tuple[Algorithm, Algorithm]:
        """Both algorithms."""
        return as_algorithm(self.a), as_algorithm(self.b)

    @property
    def names(self) -> tuple[str, str]:
        """What people call the two; of two of one name the second is counted."""
        a, b = (one.name or one.described.name.strip("<>") for one in self.algorithms)
        return (a, b) if a != b else (a, f"{b} (2)")

    @property
    def elsewhere(self) -> bool:
        """Whether other processes can import both functions."""
        return all(one.elsewhere for one in self.algorithms)

    def config(self, store: ObjectStore) -> StudyConfig:
        """Return the validated study, with its data written into a store.

        Raises:
            ConfigError: For anything that is wrong with data, functions or settings.
        """
        if not isinstance(self.data, Data):
            raise ConfigError("data", "Data(x_train, y_train, x_test, y_test)", type(self.data).__name__)
        read = self.data.read
        names = self.names
        a, b = (one.config(name, read.form) for one, name in zip(self.algorithms, names, strict=True))
        content = merged(self._usual(len(read.dataset.test), len(read.dataset.train)), self.settings)
        if read.dataset.target is not None:
            content = {"output": "prediction_error", **content}
        settings: StoreSettings = store.settings
        place = {name: getattr(settings, name) for name in ("endpoint", "region", "profile")}
        dataset = {
            "kind": given.KIND,
            "fingerprint": read.dataset.fingerprint,
            "root": settings.url,
            **{name: value for name, value in place.items() if value},
            **content.pop("dataset", {}),
        }
        whole = {"name": self.name or slug(*names), **content, "dataset": dataset}
        study = parse_study({**whole, "algorithm_a": a.model_dump(), "algorithm_b": b.model_dump()})
        given.write(store, read.dataset)
        self._differ(study)
        return study

    def _usual(self, targets: int, train: int) -> dict[str, Any]:
        """Return the settings of a study of which nothing else is said."""
        held = max(LEAST_HELD_OUT, min(MOST_HELD_OUT, round(HELD_OUT * self.models)))
        return {
            "subsets": {"models": self.models, "evaluation_models": held, "shard_size": SHARD},
            "ensemble": {"models": 8, "shard_size": 4},
            "comparison": {"method": "contrast", "components": max(1, min(COMPONENTS, targets - 1, train - 1))},
        }

    def _differ(self, study: StudyConfig) -> None:
        """Raise ConfigError for two functions that would share their results but not their lines."""
        a, b = trainings_of(study, self.data.read.dataset)
        if a.digest == b.digest and a.code.get("source") != b.code.get("source"):
            raise ConfigError(
                "b",
                f"a function of another name than a's, {a.algorithm.name}",
                self.algorithms[1].described.place,
                "Both have one name, the same arguments and captured values, but other lines: rename one of them, or "
                "give one version='2'",
            )


def merged(usual: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which mappings are merged key by key, and anything else is replaced."""
    out = dict(usual)
    for key, value in given.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merged(out[key], value) if both else value
    return out


def slug(*names: str) -> str:
    """Return the name of a study that is made of the names of its algorithms."""
    words = re.sub(r"[^a-z0-9]+", "_", "_vs_".join(names).lower()).strip("_")
    return (words or "study")[:60]
