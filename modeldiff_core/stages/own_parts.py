"""Which parts of a user's own decide a step: found in its function, its argument, and by the names that this gives."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from modeldiff_core.ablation import Selection
from modeldiff_core.ablation.selection import SELECTORS
from modeldiff_core.datamodels import Estimator
from modeldiff_core.designs import DESIGNS, Design
from modeldiff_core.errors import ConfigError
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.plan import Step
from modeldiff_core.registry import Registry
from modeldiff_core.responses import INTERVENTIONS, RESPONSES, Ablated, Intervention, Responses
from modeldiff_core.responses.networks import Network
from modeldiff_core.stages.regression import Regression
from modeldiff_core.study import Training
from modeldiff_core.study.code import own_modules
from modeldiff_core.transformations import TRANSFORMATIONS, TransformationTest

KEYS = {
    Estimator: "regression.estimator",
    Design: DESIGNS.key,
    Intervention: INTERVENTIONS.key,
    Network: "network.kind",
    Responses: RESPONSES.key,
}
"""Configuration keys that name parts of these classes."""
EXPERIMENT = "experiment"
"""The key of what is part of none of them: functions of steps, and their arguments."""


@runtime_checkable
class NamesParts(Protocol):
    """An argument of a step that names classes whose code decides it."""

    def named_classes(self) -> tuple[type, ...]:
        """Return the classes."""
        ...


def own_parts(step: Step) -> dict[str, list[object]]:
    """Return the parts of a user's own that decide a step, by the configuration key that names them.

    Trainings are left out, whose record has their code.
    """
    found: dict[str, list[object]] = {}
    for key, part in ((EXPERIMENT, step.stage), *_parts(step.spec)):
        if own_modules(part):
            found.setdefault(key, []).append(part)
    return found


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield the classes of a value and of all that it holds, and what it names, with their keys."""
    if isinstance(value, Training):
        return
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _parts(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _parts(one)
    elif isinstance(value, BaseModel):
        yield EXPERIMENT, type(value)
    elif is_dataclass(value) and not isinstance(value, type):
        yield next((key for cls, key in KEYS.items() if isinstance(value, cls)), EXPERIMENT), type(value)
        yield from _named(value)
        for field in fields(value):
            yield from _parts(getattr(value, field.name))


def _named(value: object) -> Iterator[tuple[str, object]]:
    """Yield what a value names that is registered."""
    if isinstance(value, Regression):
        yield KEYS[Estimator], value.estimator
    elif isinstance(value, TransformationTest):
        yield from _registered(TRANSFORMATIONS, value.kind, f"transformations.{value.name}")
    elif isinstance(value, NamesParts):
        yield from ((EXPERIMENT, part) for part in value.named_classes())
    elif isinstance(value, Selection):
        yield from _registered(SELECTORS, value.kind, SELECTORS.key)
    elif isinstance(value, Ablated):
        yield from _registered(OUTPUTS, value.output, OUTPUTS.key)


def _registered(registry: Registry[Any], name: str, key: str) -> Iterator[tuple[str, object]]:
    try:
        yield key, registry.get(name)
    except ConfigError:  # what there is no such name of is refused where the study is checked
        return
