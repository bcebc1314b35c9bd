"""A comparison handed to Prefect, for many machines."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from modeldiff_core.api.algorithm import Algorithm, Train
from modeldiff_core.api.compare import Store, opened
from modeldiff_core.api.data import Data
from modeldiff_core.api.report import Report
from modeldiff_core.api.study import MODELS, Study
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare.experiment import Compare
from modeldiff_core.store import ObjectStore

FLOWS = "modeldiff_platform.flows.submit"
"""What runs studies as flows of Prefect; the library does without it until it is asked for."""


def submit(
    a: "Algorithm | Train",
    b: "Algorithm | Train",
    *,
    data: Data,
    models: int = MODELS,
    store: Store,
    runner: Mapping[str, Any] | None = None,
    **others: Any,
) -> Report:
    """Compare two training functions as a Prefect flow and return the report.

    Functions are named by their import path, so that they have to be defined in modules that workers can import.

    Args:
        a: A function ``train(images, labels, seed)``, or an ``Algorithm``.
        b: The other.
        data: Training and test images.
        models: Subset models of each.
        store: A folder or an fsspec URL that every worker reaches.
        runner: Settings of the runner, such as ``{"kind": "dask", "address": "tcp://..."}``.
        others: As of ``compare``: ``name``, or settings of the study.

    Raises:
        ConfigError: For a function that only this process knows, and as ``compare`` does.

    """
    name = others.pop("name", "")
    study, place = Study(a, b, data, models, name, others), ObjectStore(opened(store))
    here = [one.described for one in study.algorithms if not one.elsewhere]
    if here:
        raise ConfigError(
            "train",
            "a function in a module, which workers import by its path",
            here[0].name,
            f"{here[0].place}: only this process knows it; compare(...) trains it here",
        )
    config = study.config(place)
    import_module(FLOWS).submit(config, place.settings, dict(runner or {}))
    return Report(Compare.of(config, place), place)
