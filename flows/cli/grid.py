"""A grid of requests: one study at every combination of the values that ``+sweep.KEY=[...]`` lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from flows.cli.compose import request
from flows.request import Request
from modeldiff_core.errors import ConfigError

SWEEP = "+sweep."
MOST = 1000
"""Points of a grid; more is taken for a mistake."""


@dataclass(frozen=True)
class Point:
    """One combination: its overrides in words, and the whole request."""

    words: str
    request: Request


def grid(overrides: Sequence[str]) -> list[Point]:
    """Every point, validated; raises ConfigError if nothing varies, or if what varies is not the study."""
    axes = [_axis(override) for override in overrides if override.startswith(SWEEP)]
    others = [override for override in overrides if not override.startswith(SWEEP)]
    if not axes:
        raise ConfigError(
            "sweep", "values of at least one key", list(overrides), "Such as +sweep.subsets.fraction=[0.3,0.5]"
        )
    points = [Point(" ".join(chosen), request([*others, *chosen])) for chosen in product(*axes)]
    if len(points) > MOST:
        raise ConfigError("sweep", f"at most {MOST} combinations", len(points))
    return points


def _axis(override: str) -> list[str]:
    """The overrides of one key, such as subsets.fraction=0.3 and subsets.fraction=0.5."""
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
