"""A grid of requests: one study at every combination of the values that ``+sweep.KEY=[...]`` lists."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import DEFAULT, KIND
from modeldiff_core.experiments.sweep import SweepPoint, SweepStudy
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.request import Request

SWEEP = "+sweep."
MOST = 1000
"""Points of a grid; more is taken for a mistake."""


def swept(overrides: Sequence[str]) -> bool:
    """Return whether overrides list values to sweep over."""
    return any(override.startswith(SWEEP) for override in overrides)


def grid(overrides: Sequence[str], kind: str = "") -> Request:
    """Return the sweep over every combination of the listed values, each point validated.

    Raises ConfigError if nothing varies, or if what varies is not the study.
    """
    axes = [_axis(override) for override in overrides if override.startswith(SWEEP)]
    others = [override for override in overrides if not override.startswith(SWEEP)]
    if not axes:
        raise ConfigError(
            "sweep", "values of at least one key", list(overrides), "Such as +sweep.subsets.fraction=[0.3,0.5]"
        )
    chosen = list(product(*axes))
    if len(chosen) > MOST:
        raise ConfigError("sweep", f"at most {MOST} combinations", len(chosen))
    points = {" ".join(words): request([*others, *words], kind) for words in chosen}
    first = next(iter(points.values()))
    studies = tuple(SweepPoint(words=words, study=_plain(point)) for words, point in points.items())
    return Request("sweep", SweepStudy(name=first.study.name, points=studies), first.store, first.runner)


def _plain(point: Request) -> dict[str, Any]:
    """Return a point's study as plain values that name their experiment."""
    study: dict[str, Any] = point.study.model_dump(mode="json")
    return study if point.kind == DEFAULT else {**study, KIND: point.kind}


def _axis(override: str) -> list[str]:
    """Return the overrides of one key, such as subsets.fraction=0.3 and subsets.fraction=0.5."""
    key = override.removeprefix(SWEEP).partition("=")[0]
    try:
        parsed = OverridesParser.create().parse_override(override.removeprefix(SWEEP))
        values = parsed.value()
    except HydraException as error:
        raise ConfigError(f"sweep.{key}", "a list of values", override, str(error).split("\n")[0]) from error
    if key.split(".")[0].split("@")[0] in ("store", "runner"):
        raise ConfigError(f"sweep.{key}", "a key of the study", key, "Store and runner decide no numbers")
    if not isinstance(values, list) or not values:
        raise ConfigError(f"sweep.{key}", "a list of values", override, f"Such as {SWEEP}{key}=[1,2]")
    return [f"{key}={Override._get_value_element_as_str(value)}" for value in values]
