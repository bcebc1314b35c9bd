"""Every setting of the study's parts with its class's default, as Hydra's group `defaults`.

A YAML file begins with the defaults of its part (``/defaults/subsets@_here_``) and states only what differs, so that a
default stands in one place, the class, and every key can still be overridden on the command line.

Recipes of algorithms are no part of it: a study keeps a recipe as it was given, and their files state the whole of one.
"""

from dataclasses import MISSING, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from pydantic import BaseModel, TypeAdapter

from modeldiff_core.data.sources import SHIPPED as SOURCES
from modeldiff_core.datamodels.ridge import Ridge
from modeldiff_core.datamodels.trak import Trak
from modeldiff_core.experiments.components.settings import AblationConfig, FitConfig
from modeldiff_core.experiments.diffroar.settings import FillConfig, RetrainConfig
from modeldiff_core.experiments.featured.settings import NetworkGrid
from modeldiff_core.experiments.moe_grid.settings import HalvingConfig, RecipeConfig, TuningConfig
from modeldiff_core.experiments.scaling.settings import FitsConfig
from modeldiff_core.experiments.simplicity.settings import EvaluationConfig
from modeldiff_core.store import StoreSettings
from modeldiff_core.study.config import (
    CHOICES,
    ComparisonConfig,
    EnsembleConfig,
    RegressionConfig,
    SubsetConfig,
    VerdictConfig,
)
from modeldiff_core.study.counterfactual import CounterfactualConfig
from modeldiff_core.study.preview import PreviewConfig
from modeldiff_core.study.removal import RemovalConfig
from modeldiff_core.transformations import EffectSettings, SearchSettings

TO_BE_GIVEN = "???"
"""Hydra's mark of a value without a default."""


def defaults_of(settings: type[Any]) -> dict[str, Any]:
    """Return the defaults of a dataclass of settings as plain values, TO_BE_GIVEN where there is none."""
    found = {}
    for field in fields(settings):
        made = field.default if field.default_factory is MISSING else field.default_factory()
        found[field.name] = TO_BE_GIVEN if made is MISSING else made
    plain: dict[str, Any] = TypeAdapter(dict[str, Any]).dump_python(found, mode="json")
    return plain


def all_defaults() -> dict[str, dict[str, Any]]:
    """Return the content of the group `defaults`, by name."""
    estimators = {"ridge": defaults_of(Ridge), "trak": defaults_of(Trak)}
    return {
        "subsets": SubsetConfig().model_dump(mode="json"),
        "ensemble": EnsembleConfig().model_dump(mode="json"),
        "regression": {**RegressionConfig(settings=estimators).model_dump(mode="json"), "prior": None},
        "comparison": {
            name: field.default.model_dump(mode="json") if isinstance(field.default, BaseModel) else field.default
            for name, field in ComparisonConfig.model_fields.items()
        },
        "effects": defaults_of(EffectSettings),
        "search": defaults_of(SearchSettings),
        "preview": PreviewConfig().model_dump(mode="json"),
        "verdict": VerdictConfig().model_dump(mode="json"),
        "counterfactual": CounterfactualConfig().model_dump(mode="json"),
        "removal": RemovalConfig().model_dump(mode="json"),
        "ablation": AblationConfig().model_dump(mode="json"),
        "fit": FitConfig().model_dump(mode="json"),
        "networks": NetworkGrid().model_dump(mode="json"),
        "fill": FillConfig().model_dump(mode="json"),
        "retrain": RetrainConfig().model_dump(mode="json"),
        "laws": FitsConfig().model_dump(mode="json"),
        "moe_recipe": RecipeConfig().model_dump(mode="json"),
        "tuning": TuningConfig().model_dump(mode="json"),
        "halving": HalvingConfig().model_dump(mode="json"),
        "evaluation": EvaluationConfig().model_dump(mode="json"),
        "store": defaults_of(StoreSettings),
        **{f"dataset_{kind}": {"kind": kind, **defaults_of(source), **CHOICES} for kind, source in SOURCES.items()},
    }


def register() -> None:
    """Make the group known to Hydra; calling it again changes nothing."""
    for name, node in all_defaults().items():
        ConfigStore.instance().store(name, node, group="defaults")
