"""How numbers, settings and names are put into words."""

import math
import re
from collections.abc import Mapping

from modeldiff_core.report.facts import Side

ABSENT = "—"
SIDES: tuple[Side, Side] = ("a-b", "b-a")


def number(value: float, places: int = 2, *, signed: bool = False, scale: int = 1) -> str:
    """Return the value times `scale` with this many decimals and a true minus sign; a dash where there is no finite
    value.
    """
    if not math.isfinite(value):
        return ABSENT
    text = f"{value * scale:{'+' if signed else ''}.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(value: float, places: int = 1) -> str:
    """Return a share in 0..1 in percent."""
    text = number(value, places, scale=100)
    return text if text == ABSENT else f"{text}\u00a0%"


def points(value: float, low: float, high: float) -> str:
    """Return a change of probability with its interval, in percentage points: '+41.2 [38.9, 43.4]'."""
    return f"{number(value, 1, signed=True, scale=100)} [{number(low, 1, scale=100)}, {number(high, 1, scale=100)}]"


def margins(value: float, low: float, high: float) -> str:
    """Return a change of a margin with its interval: '+4.12 [3.89, 4.34]'."""
    return f"{number(value, signed=True)} [{number(low)}, {number(high)}]"


def variance(value: float) -> str:
    """Four decimals, or five where four would leave one digit."""
    return number(value, 4 if abs(value) >= 0.001 else 5)


def probability(value: float) -> str:
    """Return a p-value: '0.020' or '< 0.001'."""
    if not math.isfinite(value):
        return ABSENT
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float) -> str:
    """Return a time in minutes: '< 0.01 min', '0.34 min' or '12.4 min'; a dash where it is not known."""
    text = "< 0.01" if seconds < 0.6 else number(seconds / 60, 2 if seconds < 600 else 1)
    return text if text == ABSENT else f"{text}\u00a0min"


def side_name(side: Side) -> str:
    """'A−B' or 'B−A'."""
    return "A−B" if side == "a-b" else "B−A"


def direction_name(side: Side, index: int) -> str:
    """'A−B 1' for the first direction of its side."""
    return f"{side_name(side)} {index + 1}"


def direction_stem(side: Side, index: int) -> str:
    """'direction-a-b-1', the name of a direction's files and anchors."""
    return f"direction-{side}-{index + 1}"


def slug(text: str) -> str:
    """Return the text as a part of a file name: lower-case ASCII letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested settings as one level of dotted names with readable values, in their order."""
    out: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            out |= flat(value, f"{name}.")
        else:
            out[name] = setting(value)
    return out


def setting(value: object) -> str:
    """Return one setting's value as a reader would write it."""
    if value is None or (isinstance(value, (str, list, tuple, Mapping)) and not value):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {setting(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ("; " if any(isinstance(item, Mapping) for item in value) else ", ").join(map(setting, value))
    return str(value)
