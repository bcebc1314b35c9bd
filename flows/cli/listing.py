"""``modeldiff list`` and ``show``: what can be asked for, and what a study is when everything is spelled out."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from modeldiff_core.errors import ConfigError, meant
from modeldiff_platform.flows.cli.overrides import searched_folders
from modeldiff_platform.flows.cli.own_files import CONF, ROOT, with_own_conf

WIDTH = 100
"""Characters of a description."""


def show(overrides: Sequence[str]) -> int:
    """Print the composed configuration of a study, with every default that a file gives."""
    from modeldiff_platform.flows.cli.compose import composed, request
    from modeldiff_platform.flows.cli.python_study import is_python

    if overrides and is_python(overrides[0]):
        asked = request(overrides)
        content: dict[str, Any] = asked.study.model_dump(mode="json")
    else:
        content = composed(overrides)
    print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), end="")
    return 0


def listed(what: str) -> int:
    """Print the names of a kind of thing with a line about each."""
    rows = LISTS[what]()
    width = max((len(name) for name, _ in rows), default=0)
    for name, words in rows:
        shortened = words if len(words) <= WIDTH else f"{words[: WIDTH - 1].rsplit(' ', 1)[0]} …"
        print(f"{name:<{width}}  {shortened}".rstrip())
    return 0


def listing(overrides: Sequence[str]) -> int:
    """Print a list, or which lists there are; raises ConfigError for another word."""
    what = " ".join(overrides)
    if what not in LISTS:
        raise ConfigError("list", f"one of {', '.join(LISTS)}", what, meant(what, LISTS))
    return listed(what)


def names_of(group: str) -> list[str]:
    """Return the names of a group of the configuration, those of the working directory's folder among them."""
    return sorted({path.stem for folder in _folders() for path in (folder / group).glob("*.yaml")})


def _folders() -> list[Path]:
    return [*searched_folders(with_own_conf([])), ROOT / CONF]


def _configurations(group: str) -> list[tuple[str, str]]:
    """Return the files of a group, with the first sentence of the comment that each begins with."""
    rows = {}
    for folder in reversed(_folders()):
        for path in sorted((folder / group).glob("*.yaml")):
            own = "" if folder == ROOT / CONF else f" ({os.path.relpath(path)})"
            rows[path.stem] = _comment(path) + own
    return sorted(rows.items())


def _comment(path: Path) -> str:
    words = []
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            words.append(line.lstrip("# ").strip())
    if words:
        return _sentence(" ".join(words))
    content = yaml.safe_load(path.read_text("utf-8")) or {}
    return f"{content.get('name', '')} ({content['kind']})" if "kind" in content else ""


def _registered(registry: Any) -> list[tuple[str, str]]:
    """Return the names of a registry with the first sentence of what each is."""
    rows = []
    for name in registry.names():
        try:
            rows.append((name, _sentence(" ".join((registry.get(name).__doc__ or "").split("\n\n")[0].split()))))
        except ConfigError as error:
            print(f"modeldiff: warning: {error}", file=sys.stderr)
    return rows


def _sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def _of_kinds(group: str, registry: Callable[[], Any]) -> list[tuple[str, str]]:
    """Return configurations of a group, then kinds that have none."""
    rows = _configurations(group)
    known = {name for name, _ in rows}
    kinds = [(name, f"{words} (kind)") for name, words in _registered(registry()) if name not in known]
    return [*rows, *kinds]


def _sources() -> Any:
    from modeldiff_core.data import SOURCES

    return SOURCES


def _algorithms() -> Any:
    from modeldiff_core.training import ALGORITHMS

    return ALGORITHMS


def _transformations() -> list[tuple[str, str]]:
    from modeldiff_core.transformations.library import TRANSFORMATIONS

    return _registered(TRANSFORMATIONS)


def _estimators() -> list[tuple[str, str]]:
    from modeldiff_core.datamodels import ESTIMATORS

    return _registered(ESTIMATORS)


def _architectures() -> list[tuple[str, str]]:
    from modeldiff_core.models import ARCHITECTURES

    return [(name, "") for name in ARCHITECTURES.names()]


def _experiments() -> list[tuple[str, str]]:
    from modeldiff_core.experiments.experiment import experiments

    return _registered(experiments())


LISTS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "studies": lambda: _configurations("study"),
    "datasets": lambda: _of_kinds("dataset", _sources),
    "algorithms": lambda: _of_kinds("algorithm", _algorithms),
    "transformations": _transformations,
    "estimators": _estimators,
    "architectures": _architectures,
    "experiments": _experiments,
}
"""What ``modeldiff list`` knows."""
