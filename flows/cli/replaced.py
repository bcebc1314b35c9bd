"""Algorithms that take the place of a study's own: what the study set for another kind is left out, and said."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

SIDES = "algorithm_a", "algorithm_b"
ALONE = "replaced_"
"""Key under which a chosen algorithm is composed by itself, without the settings of the study."""

Composed = Callable[[Sequence[str]], dict[str, Any]]


def without_whole(overrides: Sequence[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Return overrides without those that give a whole algorithm as a mapping with its kind, and these by side.

    Hydra would merge them with the study's algorithm, whose settings belong to another kind.
    """
    found = {}
    for side in SIDES:
        whole = _mapping(overrides, side)
        if whole is not None and "kind" in whole:
            found[side] = {"name": str(whole["kind"]), **whole}
    return [o for o in overrides if o.partition("=")[0].lstrip("+") not in found], found


def replaced(overrides: Sequence[str], content: dict[str, Any], composed: Composed) -> dict[str, Any]:
    """Return a composed study in which chosen algorithms of another kind have none of the study's settings.

    Args:
        overrides: Of the command line.
        content: What was composed of them.
        composed: Composes overrides.
    """
    for side in SIDES:
        if side not in content:
            continue
        chosen = [o for o in overrides if o.partition("=")[0].lstrip("+") == f"algorithm@{side}"]
        if not chosen:
            continue
        before = composed([o for o in overrides if not _about(o, side)])
        if before.get(side, {}).get("kind") == content[side].get("kind"):
            continue
        name = chosen[-1].partition("=")[2]
        given = [_moved(o, side) for o in overrides if _about(o, side) and o not in chosen]
        others = [o for o in overrides if not _about(o, side)]
        alone = composed([*others, f"+algorithm@{ALONE}{side}={name}", *given]).get(f"{ALONE}{side}")
        if alone is None:
            continue
        lost = sorted(set(content[side].get("recipe") or {}) - set(alone.get("recipe") or {}))
        if lost:
            named = ", ".join(f"{side}.recipe.{key}" for key in lost)
            print(
                f"modeldiff: {named}: left out, since the study sets it for {before[side].get('kind')} and {name} is "
                f"of the kind {alone.get('kind')}",
                file=sys.stderr,
            )
        content = {**content, side: alone}
    return content


def _about(override: str, side: str) -> bool:
    key = override.partition("=")[0].lstrip("+~")
    return key == f"algorithm@{side}" or key == side or key.startswith(f"{side}.")


def _moved(override: str, side: str) -> str:
    key, equals, value = override.partition("=")
    sign = key[: len(key) - len(key.lstrip("+~"))]
    return f"{sign}{ALONE}{key.lstrip('+~')}{equals}{value}"


def _mapping(overrides: Sequence[str], side: str) -> dict[str, Any] | None:
    """Return the mapping that an override gives for a whole algorithm; None if none does."""
    for override in reversed(overrides):
        key, _, value = override.partition("=")
        if key.lstrip("+") == side and value.startswith("{"):
            try:
                found = OverridesParser.create().parse_override(override).value()
            except HydraException:
                return None
            return _plain(found) if isinstance(found, dict) else None
    return None


def _plain(value: Any) -> Any:
    """Return plain values of what Hydra parsed, with quoted text as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return getattr(value, "text", value)
