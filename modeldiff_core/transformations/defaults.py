"""Defaults of the transformations that ship, as keys of stored effects take them for granted.

A study states the parameters that differ from the defaults, and its keys are made of what it states. So that a changed
default is another effect, not the old one under a new meaning, the defaults that held when keys were first made stand
here, and whatever an effect leaves to another default than these becomes part of its identity. Entries are never
changed; a new parameter is added with the default under which earlier effects were measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import plain
from modeldiff_core.transformations.candidates import TransformationTest
from modeldiff_core.transformations.library import TRANSFORMATIONS

FIRST: Mapping[str, Mapping[str, object]] = {
    "background": {"value": 127, "picture": None, "sha256": "", "mask": "mask"},
    "band": {"gain": 2.0},
    "black_white_texture": {"size": 5},
    "blur": {"sigma": 1.0},
    "chain": {},
    "contrast": {"loss": 1.0},
    "crop": {"share": 0.75, "row": 0.5, "column": 0.5},
    "face": {"size": 100, "padding": 0.1, "beta": 0.1, "brightness": 1.2, "mask": None, "seed": 0},
    "grey": {},
    "high_pass": {"cutoff": 0.125},
    "insert_token": {},
    "low_pass": {"cutoff": 0.125},
    "mask_tokens": {"token": "", "share": 0.5},
    "noise": {"deviation": 0.1, "seed": 0},
    "occlude": {},
    "overlay": {},
    "patch": {"value": 255},
    "pattern": {"period": 8, "opacity": 0.5, "light": 255, "dark": 0},
    "place": {"behind": "textures", "names": [], "light": 0.6, "mask": "mask", "seed": 0},
    "polka_dots": {"delta": 0.5, "seed": 0},
    "rectangle": {"size": 5},
    "replace_token": {},
    "rotate": {"degrees": 15.0, "fill": 0},
    "set_column": {},
    "shift_column": {},
    "spider_web": {"delta": 0.5, "seed": 0},
    "stamp": {},
    "texture": {"low": 0.125, "high": 0.25, "amplitude": 0.15, "seed": 0},
    "tint": {"opacity": 0.5},
    "translate": {"rows": 0, "columns": 0, "fill": 0},
    "watermark": {},
    "yellow_square": {},
}


def changed_defaults(kind: str, parameters: Mapping[str, object]) -> dict[str, Any]:
    """Return the defaults that these parameters rely on and that are not the first ones, by parameter.

    Steps of a chain are under ``steps.<number>.<parameter>``. Of a kind that does not ship, whose code is told apart
    as a whole (`modeldiff_core.study.code`), only a field ``version`` counts: its author raises it for other effects.
    """
    found: dict[str, Any] = {}
    first = FIRST.get(kind, {})
    for name, value in sorted(_defaults(kind).items()):
        if name not in parameters and (name not in first or first[name] != value):
            found[name] = value
    steps = parameters.get("steps")
    for number, step in enumerate(steps if isinstance(steps, Sequence) and not isinstance(steps, str) else ()):
        if isinstance(step, Mapping) and isinstance(step.get("parameters", {}), Mapping):
            inner = changed_defaults(str(step.get("kind")), step.get("parameters", {}))
            found |= {f"steps.{number}.{name}": value for name, value in inner.items()}
    return found


def identity_of(test: TransformationTest) -> dict[str, Any]:
    """Return what decides the changes under a candidate: all but its name, and the defaults that have changed."""
    whole = plain(test)
    assert isinstance(whole, dict)
    whole.pop("name")
    changed = changed_defaults(test.kind, test.parameters)
    return {**whole, "defaults": changed} if changed else whole


def _defaults(kind: str) -> dict[str, object]:
    """Return the defaults of a kind as plain values, by parameter; of one that does not ship that of ``version``."""
    try:
        cls: Any = TRANSFORMATIONS.get(kind)
    except ConfigError:  # what there is no such kind of is refused where the study is checked
        return {}
    found = {}
    for field in fields(cls) if is_dataclass(cls) else ():
        if kind not in FIRST and field.name != "version":
            continue
        made = field.default if field.default_factory is MISSING else field.default_factory()
        if field.init and made is not MISSING:
            found[field.name] = plain(made)
    return found
