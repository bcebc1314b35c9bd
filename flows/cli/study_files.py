"""Configuration files of the user's own, looked at before Hydra reads them: each says what it lacks by its name."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf._utils import get_yaml_loader

from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.cli.overrides import searched_folders

HEADER = "# @package _global_"
"""First line of a study's file, without which Hydra takes its content for a part of the configuration."""
ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\xef\xbb\xbf": "UTF-8 with a byte-order mark"}


def check_files(overrides: Sequence[str]) -> None:
    """Raise ConfigError for a file of the search path, chosen by an override, that holds no configuration.

    Files that these name in their lists of defaults are looked at too.
    """
    folders = searched_folders(overrides)
    chosen = [override.lstrip("+").partition("=") for override in overrides if "=" in override]
    waiting = [(group.split("@")[0], name.strip("'\"")) for group, _, name in chosen]
    seen = set()
    while waiting and folders:
        group, name = waiting.pop()
        for folder in folders:
            path = folder / group.strip("/") / f"{name.removesuffix('.yaml')}.yaml"
            if name and path not in seen and path.is_file():
                seen.add(path)
                waiting += _defaults(checked(path, group), group)


def checked(path: Path, group: str) -> dict[str, Any]:
    """Return what a configuration file holds; raises ConfigError that names the file and what is wrong with it."""
    text = _text(path, group)
    if not text.strip():
        raise ConfigError(group, "a file with settings", f"{path}, which is empty")
    try:
        content = yaml.load(text, Loader=get_yaml_loader())  # noqa: S506 - OmegaConf's own, which makes plain values
    except yaml.YAMLError as error:
        raise ConfigError(group, "a file in YAML", str(path), _said(error, text)) from error
    if content is None:
        raise ConfigError(group, "a file with settings", f"{path}, which holds comments alone")
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "plain text" if isinstance(content, str) else repr(content)
        raise ConfigError(group, "a file of lines KEY: VALUE", f"{path}, which holds {kind}")
    if group == "study" and not any(line.strip().startswith("# @package") for line in text.splitlines()):
        hint = "Without it its settings would be below `study`: make it the first line of the file"
        raise ConfigError(group, f"a file with the line {HEADER!r}", f"{path}, which has none", hint)
    return content


def read_json(path: Path) -> Any:
    """Return the content of a JSON file in any of Unicode's encodings; raises OSError, or ValueError for what is none.

    A key that appears twice is refused, since one of the two would count without a word.
    """
    return json.loads(path.read_bytes(), object_pairs_hook=_without_doubles)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} appears twice in one object")
        found[key] = value
    return found


def _text(path: Path, group: str) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(group, "a file that can be read", str(path), error.strerror or str(error)) from error
    for mark, encoding in ENCODINGS.items():
        if raw.startswith(mark):
            hint = f"It is {encoding}: save it as UTF-8 without a byte-order mark"
            raise ConfigError(group, "a file in plain UTF-8", str(path), hint)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        hint = f"Byte 0x{raw[error.start]:02x} in line {line} is no UTF-8 (Latin-1?): save the file as UTF-8"
        raise ConfigError(group, "a file in plain UTF-8", str(path), hint) from error


def _said(error: yaml.YAMLError, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).split("\n")[0]
    if mark is None:
        return f"{problem[:1].upper()}{problem[1:]}"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    tab = " (a tab: YAML is indented by spaces)" if "\t" in line else ""
    return f"Line {mark.line + 1}: {problem}{tab}"


def _defaults(content: dict[str, Any], group: str) -> list[tuple[str, str]]:
    """Return the groups and names in a file's list of defaults."""
    listed = content.get("defaults")
    entries = listed if isinstance(listed, list) else []
    found = []
    for entry in entries:
        if isinstance(entry, str) and entry != "_self_":
            found.append((group, entry.split("@")[0]))
        elif isinstance(entry, dict):
            for key, name in entry.items():
                if isinstance(name, str):
                    of = str(key).removeprefix("override ").removeprefix("optional ").split("@")[0]
                    found.append((of.strip("/") if of.startswith("/") else f"{group}/{of}", name))
    return found
