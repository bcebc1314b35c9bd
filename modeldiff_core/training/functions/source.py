"""What a function is made of: its source and that of what it uses in the same file, and the values that it captures.

Two runs may share results only if the same function made both. What decides a function's numbers besides its arguments:
its lines, those of functions and classes that it uses in its own file or notebook, those of the user's other modules,
default values, variables that it captures, and the versions of libraries. Each is told apart here, in words that a
person can check.
"""

import ast
import dataclasses
import dis
import enum
import functools
import hashlib
import importlib
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from modeldiff_core.identity import UnstableValueError, plain

SHIPPED = "modeldiff_core"
INSTALLED = "site-packages", "dist-packages"
"""Folders whose modules are libraries, known by their versions."""
NAMED_OTHERWISE = {"sklearn": "scikit-learn", "PIL": "pillow", "cv2": "opencv-python", "yaml": "PyYAML"}
"""Distributions whose name is not that of their package."""
READS = "LOAD_GLOBAL", "LOAD_NAME"
"""Instructions that read a variable of the file."""


@dataclass(frozen=True)
class Described:
    """What is known of a function.

    Attributes:
        name: Its own name.
        path: ``module:qualified name``.
        place: File and line where it begins, for messages.
        importable: Whether another process finds it by its path.
        sources: A digest of the lines of each function and class of its file, and of each user module, by name.
        values: Defaults and captured values as JSON, by ``function.variable``.
        unstable: Why a captured value cannot be told apart from others, by ``function.variable``.
        libraries: Versions of the libraries that it uses, by distribution.
    """

    name: str
    path: str
    place: str
    importable: bool
    sources: Mapping[str, str]
    values: Mapping[str, Any]
    unstable: Mapping[str, str]
    libraries: Mapping[str, str]

    @property
    def source(self) -> str:
        """One digest of all its lines."""
        return _sha("\n".join(f"{name} {digest}" for name, digest in sorted(self.sources.items())))


def describe(function: Callable[..., Any]) -> Described:
    """Return what a function is made of.

    A ``functools.partial`` is its function with captured arguments, a bound method its function with a captured
    object. Reading the function runs nothing of it.
    """
    walk = _Walk()
    inner, captured = _unwrapped(function)
    name = getattr(inner, "__name__", type(inner).__name__)
    walk.root = inner
    for variable, value in captured.items():
        walk.value(f"{name}.{variable}", value)
    walk.callable(inner)
    module, qualname = _address(inner)
    return Described(
        name=name,
        path=f"{module}:{qualname}",
        place=place_of(inner),
        importable=not captured and _importable(inner, module, qualname),
        sources=dict(sorted(walk.sources.items())),
        values=dict(sorted(walk.values.items())),
        unstable=dict(sorted(walk.unstable.items())),
        libraries=_versions(walk.libraries),
    )


def place_of(function: Any) -> str:
    """Return where a function begins, as ``file.py, line 12``, or the line of a notebook's cell."""
    code = getattr(inspect.unwrap(function) if isinstance(function, FunctionType) else function, "__code__", None)
    if not isinstance(code, CodeType):
        return type(function).__name__
    return line_of(code.co_filename, code.co_firstlineno)


def line_of(filename: str, line: int) -> str:
    """Return a line of a file as people find it again; the cells of a notebook have no names."""
    if "ipykernel" in filename or filename.startswith("<ipython"):
        return f"line {line} of its cell"
    return f"{Path(filename).name}, line {line}"


@dataclass
class _Walk:
    """Collects what a function is made of, from one function to the next."""

    root: Any = None
    sources: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    unstable: dict[str, str] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)

    @property
    def home(self) -> str:
        """The module of the function that was asked about."""
        return str(getattr(self.root, "__module__", None) or type(self.root).__module__)

    def callable(self, one: Any) -> None:
        """Take in a function, a class, or an object that can be called."""
        if id(one) in self.seen:
            return
        self.seen.add(id(one))
        if isinstance(one, FunctionType):
            self._function(inspect.unwrap(one))
        elif isinstance(one, type):
            self._class(one)
        else:
            self.value(type(one).__name__, one)
            self.callable(type(one))

    def value(self, name: str, value: Any) -> None:
        """Take in a captured value under a name."""
        try:
            encoded = self._encoded(value)
        except UnstableValueError as error:
            self.unstable[name] = str(error)
        else:
            if encoded is not _CODE:
                self.values[name] = encoded

    def _function(self, function: FunctionType) -> None:
        name = function.__qualname__.replace(".<locals>", "")
        self._lines(name, function, lambda: inspect.getsource(function))
        self._defaults(function)
        closure = inspect.getclosurevars(function).nonlocals if function.__closure__ else {}
        for variable, value in closure.items():
            self._captured(f"{function.__name__}.{variable}", value)
        self._globals(function.__name__, function.__code__, function.__globals__)
        for variable in _decorators(function):
            if variable in function.__globals__:
                self._captured(f"{function.__name__}.{variable}", function.__globals__[variable])

    def _class(self, cls: type) -> None:
        self._lines(cls.__qualname__, cls, lambda: _class_source(cls))
        for base in cls.__mro__[1:]:
            self._captured(f"{cls.__name__}.{base.__name__}", base)
        for member in vars(cls).values():
            member = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(member, FunctionType) and member.__module__ == cls.__module__:
                self._defaults(member, cls.__name__)
                self._globals(cls.__name__, member.__code__, member.__globals__)

    def _lines(self, name: str, one: Any, read: Callable[[], str]) -> None:
        try:
            self.sources[name] = _sha(_counted(read()))
        except (OSError, TypeError):
            self.unstable[name] = "its lines cannot be read, as those of code typed at a prompt"

    def _defaults(self, function: FunctionType, of: str = "") -> None:
        for parameter in inspect.signature(function).parameters.values():
            if parameter.default is not inspect.Parameter.empty:
                prefix = f"{of}." if of else ""
                self._captured(f"{prefix}{function.__name__}.{parameter.name}", parameter.default)

    def _globals(self, owner: str, code: CodeType, names: Mapping[str, Any]) -> None:
        for variable in sorted(_read_globals(code)):
            if variable in names:
                self._captured(f"{owner}.{variable}", names[variable])

    def _captured(self, name: str, value: Any) -> None:
        """Take in what a variable holds: a module, a function, a class or a value."""
        if isinstance(value, ModuleType):
            self._module(value.__name__)
        elif isinstance(value, type | FunctionType):
            if value.__module__ == self.home:
                self.callable(value)
            else:
                self._module(value.__module__)
        else:
            self.value(name, value)

    def _module(self, name: str) -> None:
        """Take in another module: a library by its version, one's own by its lines."""
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in ("builtins", SHIPPED, "__main__"):
            return
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if module is None or file is None or any(part in INSTALLED for part in Path(file).parts):
            self.libraries.add(top)
            return
        if f"module {name}" in self.sources or name == self.home:
            return
        text = _counted(Path(file).read_text("utf-8", "replace")) if file.endswith(".py") else ""
        self.sources[f"module {name}"] = _sha(text)
        for value in list(vars(module).values()):
            other = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(other, str) and other in sys.modules:
                self._module(other)

    def _encoded(self, value: Any) -> Any:
        """Return a value as JSON that is the same in every process; raises UnstableValueError for any other."""
        simple = _simple(value)
        if simple is not _OTHER:
            return simple
        if isinstance(value, functools.partial):
            inner = [self._encoded(item) for item in (value.func, value.args, value.keywords)]
            return {"partial": [item for item in inner if item is not _CODE]}
        if isinstance(value, MethodType):
            self._captured(value.__func__.__name__, value.__func__)
            return self._encoded(value.__self__)
        if isinstance(value, type | FunctionType | ModuleType):
            self._captured(getattr(value, "__name__", "value"), value)
            return _CODE
        if inspect.isbuiltin(value) or (callable(value) and hasattr(value, "__name__")):
            self._module(str(getattr(value, "__module__", None) or "builtins"))
            return {"function": f"{getattr(value, '__module__', '')}.{value.__name__}"}
        if isinstance(value, Mapping):
            return plain({str(key): self._item(item) for key, item in value.items()})
        if isinstance(value, list | tuple):
            return [self._item(item) for item in value]
        if isinstance(value, set | frozenset):
            return sorted((self._item(item) for item in value), key=repr)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            self._captured(type(value).__name__, type(value))
            parts = {f.name: self._item(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"class": type(value).__qualname__, **parts}
        return plain(value)

    def _item(self, value: Any) -> Any:
        encoded = self._encoded(value)
        return {"code": getattr(value, "__qualname__", "")} if encoded is _CODE else encoded


_CODE, _OTHER = object(), object()
"""What is told apart by its lines, and what is not one of the simple values."""


def _simple(value: Any) -> Any:
    """Return JSON for numbers, text, arrays, tensors, paths and members of enumerations; _OTHER for anything else."""
    if isinstance(value, enum.Enum):
        return {"enum": f"{type(value).__name__}.{value.name}"}
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        array = np.ascontiguousarray(value)
        return {"array": _sha(array.tobytes()), "dtype": str(array.dtype), "shape": list(array.shape)}
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, bytes):
        return {"bytes": _sha(value)}
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _simple(value.detach().cpu().numpy())
    if torch is not None and isinstance(value, torch.dtype | torch.device):
        return {"torch": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return plain(value)
    return _OTHER


def _unwrapped(function: Any) -> tuple[Any, dict[str, Any]]:
    """Return the function of partials and bound methods, and the arguments that they hold."""
    captured: dict[str, Any] = {}
    while isinstance(function, functools.partial | MethodType):
        if isinstance(function, MethodType):
            captured["self"], function = function.__self__, function.__func__
            continue
        captured |= {f"argument {i}": value for i, value in enumerate(function.args)} | function.keywords
        function = function.func
    return function, captured


def _address(function: Any) -> tuple[str, str]:
    """Return the module and the qualified name of a function; of another object those of its class."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(named.__module__), str(named.__qualname__)


def _importable(function: Any, module: str, qualname: str) -> bool:
    """Return whether the function is what another process finds at its address."""
    if module == "__main__" or "<" in qualname:
        return False
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return False
    return found is function


def _read_globals(code: CodeType) -> set[str]:
    """Return the names of variables of the file that code reads, functions within it too."""
    names = {one.argval for one in dis.get_instructions(code) if one.opname in READS}
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return names.union(*map(_read_globals, inner))


def _decorators(function: FunctionType) -> Iterator[str]:
    """Yield the names that the decorators of a function begin with."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # a lambda within a longer line
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                yield from (part.id for part in ast.walk(decorator) if isinstance(part, ast.Name))


def _class_source(cls: type) -> str:
    """Return the lines of a class; of one that was typed in a notebook those of the cell of its methods."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        files = [member.__code__.co_filename for member in vars(cls).values() if isinstance(member, FunctionType)]
        for name in files:
            lines = linecache.getlines(name)
            for node in ast.walk(ast.parse("".join(lines))):
                if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                    return "".join(lines[node.lineno - 1 : node.end_lineno])
        raise


def _counted(text: str) -> str:
    """Return the lines that count: no comments on lines of their own, no blank ones, no blanks at their ends."""
    lines = (line.rstrip() for line in textwrap.dedent(text).splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))


def _versions(packages: set[str]) -> dict[str, str]:
    """Return the versions of the distributions that packages belong to."""
    found = {}
    for package in sorted(packages):
        name = NAMED_OTHERWISE.get(package, package)
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # all distributions are looked through, which takes a second
            for other in _distributions().get(package, [])[:1]:
                found[other] = version(other)
    return found


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _sha(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
