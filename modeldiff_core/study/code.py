"""The code of parts of a user's own: a digest of its source, and the versions of the libraries that it imports.

Settings are the identity of a part that ships, with versions that are raised by hand. A part that a package registers
has no such discipline, so its source is told apart: what is in a store is kept only as long as the code that made it.
"""

import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

SHIPPED = "modeldiff_core"
LIBRARIES = {"sklearn": "scikit-learn"}
"""Distributions whose name is not that of their package."""


def code_of(*parts: object) -> dict[str, Any]:
    """Return what is known of the code of classes, functions and instances: empty where all of it ships.

    ``source`` is a digest of the modules that define them and of those of the same packages that these refer to;
    comments on lines of their own, blank lines and blanks at the ends of lines are no part of it. ``libraries`` are the
    versions of other packages that these modules refer to.
    """
    names = {name for part in parts for name in _modules_of(part) if not _ships(name)}
    if not names:
        return {}
    modules = sorted(_closure(names))
    source = hashlib.sha256()
    for name in modules:
        source.update(f"{name}\n{_source(name)}\n".encode())
    own = {name.partition(".")[0] for name in modules}
    others = {top for name in modules for top in map(_top, _referred(name)) if top not in own and _is_library(top)}
    return {"source": source.hexdigest(), "modules": modules, "libraries": versions(others)}


def versions(packages: Sequence[str] | set[str]) -> dict[str, str]:
    """Return the versions of packages, by the names of their distributions; those without one are left out."""
    found = {}
    for package in sorted(packages):
        name = LIBRARIES.get(package, package)
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _modules_of(part: object) -> Iterator[str]:
    """Yield the names of the modules of a part, and of the values in its fields."""
    named = part if isinstance(part, type) or inspect.isroutine(part) else type(part)
    yield named.__module__
    if is_dataclass(part) and not isinstance(part, type):
        for field in fields(part):
            value = getattr(part, field.name)
            for one in value if isinstance(value, tuple) else (value,):
                if is_dataclass(one):
                    yield from _modules_of(one)


def _ships(name: str) -> bool:
    return _top(name) in (SHIPPED, "builtins")


def _closure(names: set[str]) -> set[str]:
    """Return modules, and those of the same packages that they refer to, directly or not."""
    found: set[str] = set()
    waiting, own = sorted(names), {_top(name) for name in names}
    while waiting:
        name = waiting.pop()
        if name not in found and name in sys.modules:
            found.add(name)
            waiting += [other for other in _referred(name) if _top(other) in own]
    return found


def _referred(name: str) -> set[str]:
    """Return the modules that the values in a module's namespace are, or come from."""
    found = set()
    for value in vars(sys.modules[name]).values():
        other = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(other, str) and other in sys.modules:
            found.add(other)
    return found


def _source(name: str) -> str:
    """Return the lines of a module that count; its name alone where it has no source."""
    try:
        text = inspect.getsource(sys.modules[name])
    except (OSError, TypeError):
        return ""
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_library(top: str) -> bool:
    return top not in sys.stdlib_module_names and not _ships(top) and not top.startswith("_")
