"""The code of parts of a user's own: a digest of its source, and the versions of the libraries that it imports.

Settings are the identity of a part that ships, with versions that are raised by hand. A part that a package registers
has no such discipline, so its source is told apart: what is in a store is kept only as long as the code that made it.
"""

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from types import ModuleType
from typing import Any

SHIPPED = "modeldiff_core"
LIBRARIES = {"sklearn": "scikit-learn"}
"""Distributions whose name is not that of their package."""


def code_of(*parts: object) -> dict[str, Any]:
    """Return what is known of the code of classes, functions and instances: empty where all of it ships.

    ``source`` is a digest of the modules that define them, and of those that these refer to as far as they are of the
    same packages or of no installed distribution; comments on lines of their own, blank lines and blanks at the ends of
    lines are no part of it. ``libraries`` are the versions of other packages that these modules refer to.
    """
    names = own_modules(*parts)
    if not names:
        return {}
    modules = sorted(_closure(names))
    source = hashlib.sha256()
    for name in modules:
        source.update(f"{name}\n{_source(name)}\n".encode())
    own = {name.partition(".")[0] for name in modules}
    others = {top for name in modules for top in map(_top, _referred(name)) if top not in own and _is_library(top)}
    return {"source": source.hexdigest(), "modules": modules, "libraries": versions(others)}


def own_modules(*parts: object) -> set[str]:
    """Return the names of the modules that define parts and do not ship."""
    found = {name for part in parts for name in _modules_of(part)}
    found |= {type(part).__module__ for part in parts if not (isinstance(part, type) or inspect.isroutine(part))}
    return {name for name in found if not _ships(name)}


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
    """Yield the names of the modules of a part, and of classes, functions and instances in its fields."""
    if isinstance(part, partial):
        yield from _modules_of(part.func)
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from _modules_of(value)
    elif isinstance(part, tuple | list):
        for value in part:
            yield from _modules_of(value)
    elif isinstance(part, type) or inspect.isroutine(part):
        yield part.__module__ or "builtins"
    elif is_dataclass(part):
        yield type(part).__module__
        for field in fields(part):
            yield from _modules_of(getattr(part, field.name))


def _ships(name: str) -> bool:
    """Return whether a module is of this package or of Python."""
    return _top(name) in (SHIPPED, "builtins") or _top(name) in sys.stdlib_module_names


def _closure(names: set[str]) -> set[str]:
    """Return modules, and those that they refer to, directly or not, of the same packages or of no distribution."""
    found: set[str] = set()
    waiting, own = sorted(names), {_top(name) for name in names}
    while waiting:
        name = waiting.pop()
        if name not in found and name in sys.modules:
            found.add(name)
            waiting += [other for other in _referred(name) if _top(other) in own or _is_loose(_top(other))]
    return found


def _is_loose(top: str) -> bool:
    """Return whether a package is one of a user's folder: it has a file, and no distribution names it."""
    installed = top in _distributed() or top in sys.stdlib_module_names or _ships(top)
    return not installed and getattr(sys.modules.get(top), "__file__", None) is not None


@cache
def _distributed() -> frozenset[str]:
    return frozenset(packages_distributions())


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
