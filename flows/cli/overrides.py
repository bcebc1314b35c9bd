"""Overrides as people write them: a path, or anything that Hydra cannot read, is taken literally."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from modeldiff_core.errors import ConfigError

PATHS = frozenset(["folder", "images", "init", "margins", "masks", "out", "path", "root", "scores", "table", "to"])
"""Last parts of the keys whose values are places."""
SEARCHED = "hydra.searchpath"
NO_TEXT = "null", "???", ""
"""Values that stand for none."""
QUOTES = "'\""


def literal(overrides: Sequence[str]) -> list[str]:
    """Return overrides that Hydra reads as they were meant: text that it would take apart, in quotes.

    Its grammar has a meaning for commas, parentheses, ``=``, ``#``, ``~`` and letters beyond ASCII. A value whose key
    is a place is quoted unless it is quoted already, and so is any value that Hydra cannot read and that is no list or
    mapping.

    Raises ConfigError for text that is not UTF-8, and for several values, which are a sweep.
    """
    return [_literal(override) for override in overrides]


def _literal(override: str) -> str:
    key, equals, value = override.partition("=")
    name = key.lstrip("+~")
    try:
        override.encode()
    except UnicodeEncodeError as error:
        shown = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise ConfigError(name, "text in UTF-8", shown, "Rename that file or folder, or link to it") from error
    if not equals or key.startswith("~") or name.startswith("sweep.") or value in NO_TEXT:
        return override
    if name == "study" and value.endswith((".yaml", ".yml")):
        hint = "A file of your own is FOLDER/study/NAME.yaml: 'hydra.searchpath=[file://FOLDER]' study=NAME"
        raise ConfigError(name, "the name of a study, or a file study.json", value, hint)
    if name == SEARCHED:
        return f"{key}=[{','.join(_quoted(place) for place in _searched(value))}]"
    if name.rpartition(".")[2] in PATHS:
        return _in_quotes(key, value) if value[0] not in QUOTES else override
    parsed = _parsed(override)
    if parsed is None and value[0] in f"[{{{QUOTES}":
        hint = (
            "Lists are [1,2], mappings {a: 1}, and text within them is quoted where it has signs or letters of its own"
        )
        raise ConfigError(name, "a value that Hydra can read", value, hint)
    if parsed is None:
        return _in_quotes(key, value)
    if parsed.is_sweep_override():
        hint = f"Several values are a grid: modeldiff sweep ... '+sweep.{name}=[{value}]'; text with a comma is quoted"
        raise ConfigError(name, "one value", value, hint)
    return override


def _in_quotes(key: str, value: str) -> str:
    """Return the override with its value in quotes; raises ConfigError where Hydra cannot read its key."""
    quoted = f"{key}={_quoted(value)}"
    if _parsed(quoted) is None:
        raise ConfigError(key, "a key of the configuration", value, "Keys are words of plain Latin letters with dots")
    return quoted


def _parsed(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None


def _quoted(value: str) -> str:
    """Return a value in quotes that Hydra removes again; a ``${`` that nothing closes is no reference in it."""
    plain = re.sub(r"\$\{(?![^}]*\})", r"\\${", value)
    body, ends = plain.rstrip("\\"), len(plain) - len(plain.rstrip("\\"))
    escaped = _escaped_quotes(body) + "\\" * (2 * ends)
    return f"'{escaped}'"


def _escaped_quotes(text: str) -> str:
    """Return a text with each quote escaped, and the backslashes before it doubled, as Hydra's grammar has it."""
    parts = text.split("'")
    for index, part in enumerate(parts[:-1]):
        ends = len(part) - len(part.rstrip("\\"))
        parts[index] = part + "\\" * ends
    return "\\'".join(parts)


def _searched(value: str) -> list[str]:
    """Return the places of a search path, each with its scheme; a folder may be given without one."""
    inside = value[1:-1] if value[0] == "[" and value[-1] == "]" else value
    parts = re.findall(r"""'[^']*'|"[^"]*"|[^,]+""", inside)
    return [_place(part.strip().strip(QUOTES)) for part in parts if part.strip()]


def _place(part: str) -> str:
    scheme, known, path = part.rpartition("://")
    if known and scheme != "file":
        return part
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(SEARCHED, "folders of configuration", part, "There is no such folder")
    return f"file://{folder}"


def searched_folders(overrides: Sequence[str]) -> list[Path]:
    """Return the user's own folders in the search path of overrides."""
    found = [o.partition("=")[2] for o in overrides if o.partition("=")[0].lstrip("+") == SEARCHED and o[-1] != "="]
    places = [place for value in found for place in _searched(value)]
    return [Path(place.removeprefix("file://")) for place in places if place.startswith("file://")]
