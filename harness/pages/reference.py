"""Pages of the reference: one for each public name of the library, and one for each package that lists its names."""

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from harness.pages.repository import ROOT

LIBRARY = "modeldiff_core"
INDEX = "reference/index.md"
GROUPS = {"function": "Functions", "class": "Classes", "value": "Values and types"}
"""Headings of a package's page, by what a name is."""
FIELDS, TYPES = "Fields:\n", "Short names of types:\n"


@dataclass(frozen=True)
class Name:
    """A public name.

    Attributes:
        package: The import path of the package that offers it.
        name: What it is called.
        path: The import path of its definition.
        page: The page that describes it.

    """

    package: str
    name: str
    path: str
    page: str

    @cached_property
    def definition(self) -> tuple[str, str]:
        """What it is (a function, a class or a value) and its docstring, read from the file that defines it."""
        node, following = _statement(self.path)
        if isinstance(node, ast.FunctionDef):
            return "function", ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef):
            return "class", ast.get_docstring(node) or ""
        return "value", _text(following)

    @property
    def fields(self) -> dict[str, str]:
        """The public fields of a class with their types; empty where its docstring lists them, which shows them."""
        node, _ = _statement(self.path)
        if not isinstance(node, ast.ClassDef) or "Attributes:" in self.definition[1]:
            return {}
        own = [part for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
        found = {ast.unparse(part.target): ast.unparse(part.annotation) for part in own}
        return {name: text for name, text in found.items() if not name.startswith("_") and "ClassVar" not in text}

    @property
    def types(self) -> dict[str, str]:
        """What short names of types in its annotations stand for, such as arrays with the axes that they have."""
        module, _, _ = self.path.rpartition(".")
        return dict(found for one in annotations(self) for found in _short_names(module, one))

    @property
    def words(self) -> str:
        """The first sentence of its docstring, on one line."""
        return first_sentence(self.definition[1])


@dataclass(frozen=True)
class Package:
    """A package of the library.

    Attributes:
        name: Its import path.
        words: The first sentence of its docstring.
        names: Its public names.

    """

    name: str
    words: str
    names: tuple[Name, ...]

    @property
    def title(self) -> str:
        """Return what the navigation calls it."""
        return "From Python" if self.name == LIBRARY else self.name.removeprefix(f"{LIBRARY}.")

    @property
    def page(self) -> str:
        """Return the page that lists its names."""
        return f"{_folder(self.name)}/index.md"


@cache
def packages() -> tuple[Package, ...]:
    """Return the library and each of its packages that has public names, read from the files without importing them."""
    files = [ROOT / LIBRARY / "__init__.py", *sorted((ROOT / LIBRARY).glob("*/__init__.py"))]
    found = [_read(path) for path in files]
    return tuple(package for package in found if package.names)


def _read(path: Path) -> Package:
    name = ".".join(path.parent.relative_to(ROOT).parts)
    tree = ast.parse(path.read_text())
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    listed = next((node.value for node in tree.body if "__all__" in _defined(node)), None)
    public = [one for one in ast.literal_eval(listed) if not one.startswith("__")] if listed else []
    words = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
    folder, files = _folder(name), file_names(public)
    names = [Name(name, one, imported.get(one, f"{name}.{one}"), f"{folder}/{files[one]}.md") for one in public]
    return Package(name, words, tuple(names))


def file_names(names: list[str]) -> dict[str, str]:
    """Return what the pages of names are called, by name.

    Names that differ in their capitals alone would be one file on a disk that does not tell them apart, so that one
    of a class or of a value says what it is: `Survey-class` beside `survey`.
    """
    alike = Counter(name.lower() for name in names)

    def kind(name: str) -> str:
        return "" if name.islower() else "-value" if name.isupper() else "-class"

    return {name: name + (kind(name) if alike[name.lower()] > 1 else "") for name in names}


def _folder(package: str) -> str:
    return f"reference/{'python' if package == LIBRARY else package.removeprefix(LIBRARY + '.')}"


def _place(name: str) -> Path:
    """Return the file of a module."""
    place = ROOT.joinpath(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@cache
def _module(name: str) -> ast.Module:
    return ast.parse(_place(name).read_text())


def _defined(node: ast.stmt) -> list[str]:
    """Return the names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [name for target in node.targets for name in _bound(target)]
    return list(_bound(node.target)) if isinstance(node, ast.AnnAssign) else []


def _bound(target: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, ast.Tuple):
        for element in target.elts:
            yield from _bound(element)


def _statement(path: str) -> tuple[ast.stmt, ast.stmt | None]:
    """Return the statement that defines a name, of overloads the last, and the one that follows it."""
    module, _, own = path.rpartition(".")
    body = _module(module).body
    found = [at for at, node in enumerate(body) if own in _defined(node)]
    if not found:
        raise LookupError(f"{module} defines no {own}")
    return body[found[-1]], body[found[-1] + 1] if found[-1] + 1 < len(body) else None


def annotations(name: Name) -> list[ast.expr]:
    """Return the annotations of a function, or of a class's fields and public methods; a value's own expression."""
    node, _ = _statement(name.path)
    return list(_annotations(node.value if isinstance(node, ast.Assign | ast.AnnAssign) else node))


def _annotations(node: ast.AST | None) -> Iterator[ast.expr]:
    if isinstance(node, ast.FunctionDef):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        yield from (one.annotation for one in every if one is not None and one.annotation is not None)
        if node.returns is not None:
            yield node.returns
    elif isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, ast.AnnAssign):
                yield part.annotation
            elif isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                yield from _annotations(part)
    elif isinstance(node, ast.expr):
        yield node


def _names_in(annotation: ast.expr) -> list[str]:
    """Return the names in an annotation, also in one that stands in quotes."""
    nodes = list(ast.walk(annotation))
    for one in list(nodes):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            with suppress(SyntaxError):  # axes are no code
                nodes += ast.walk(ast.parse(one.value, mode="eval"))
    return [one.id for one in nodes if isinstance(one, ast.Name)]


def _short_names(module: str, annotation: ast.expr) -> Iterator[tuple[str, str]]:
    """Yield the short names of types in an annotation with what they stand for, and those in these in turn."""
    for name in _names_in(annotation):
        found = _meant(module, name)
        if found is not None:
            place, value = found
            yield name, ast.unparse(value)
            yield from _short_names(place, value)


def _meant(module: str, name: str) -> tuple[str, ast.expr] | None:
    """Return the type that a module of the library gives a short name, and that module; None for all other names."""
    for node in _module(module).body:
        if isinstance(node, ast.Assign) and name in _defined(node):
            return (module, node.value) if isinstance(node.value, ast.Subscript | ast.BinOp) else None
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(LIBRARY):
            for alias in node.names:
                if (alias.asname or alias.name) == name and not _place(f"{node.module}.{alias.name}").exists():
                    return _meant(str(node.module), alias.name)
    return None


def _text(node: ast.stmt | None) -> str:
    """Return the text that stands as a statement of its own, such as below a value; empty for any other statement."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""


def first_sentence(text: str) -> str:
    """Return a docstring's first sentence on one line, without signs that would end a cell of a table."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence = re.split(r"(?<=[a-z)\]‖²`])\. (?=[A-Z0-9])", paragraph)[0]
    return sentence.rstrip(".").replace("|", "\\|")


def name_page(name: Name) -> str:
    """Return the Markdown of a name's page: signature and docstring, the types in it, how it is imported."""
    module = name.path.rpartition(".")[0]
    short = f"import {LIBRARY} as md\n\nmd.{name.name}" if name.package == LIBRARY else ""
    lines = [
        f"---\ntitle: {name.name}\n---\n",
        f"::: {name.path}\n    options:\n      heading_level: 1\n",
        *_listed(FIELDS, name.fields),
        *_listed(TYPES, name.types),
        f"```python\n{short or f'from {name.package} import {name.name}'}\n```\n",
        f"Defined in `{module}`; [all of {name.package}](index.md).\n",
    ]
    return "\n".join(lines)


def _listed(heading: str, entries: dict[str, str]) -> list[str]:
    return [heading, *(f"- `{one}`: `{text}`" for one, text in entries.items()), ""] if entries else []


def package_page(package: Package) -> str:
    """Return the Markdown of a package's page: its public names in a table, each with its first sentence and a link."""
    short = "import modeldiff_core as md" if package.name == LIBRARY else f"import {package.name}"
    lines = [f"# {package.title}\n", package.words + "\n", f"```python\n{short}\n```\n"]
    for kind, heading in GROUPS.items():
        rows = [name for name in package.names if name.definition[0] == kind]
        if rows:
            lines += [f"## {heading}\n", "| name | in a sentence |", "|---|---|"]
            lines += [f"| [`{one.name}`]({one.page.rpartition('/')[2]}) | {one.words} |" for one in rows]
            lines.append("")
    return "\n".join(lines)


def index_page(found: tuple[Package, ...]) -> str:
    """Return the Markdown of the first page of the reference: the packages in a table."""
    rows = [
        f"| [{package.name}]({package.page.removeprefix('reference/')}) | {len(package.names)} | {package.words} |"
        for package in found
    ]
    intro = (
        "Every public name of the library has a page, made from its docstring, with the formula, the shapes of its "
        "arrays, what it raises and where it is described. Shapes are jaxtyping annotations: "
        '`Float[ndarray, "models targets"]` is an array of floats with an axis of models and one of targets; the tests '
        "enforce them.\n"
    )
    return "\n".join(["# Reference\n", intro, "| package | public names | holds |", "|---|---|---|", *rows, ""])
