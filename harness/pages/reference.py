"""Pages of the reference: one for each package of the library, with every public name of it."""

import ast
from dataclasses import dataclass
from pathlib import Path

from harness.pages.repository import ROOT

LIBRARY = "modeldiff_core"
PYTHON = "reference/python.md"
INDEX = "reference/index.md"


@dataclass(frozen=True)
class Package:
    """A package of the library.

    Attributes:
        name: Its import path.
        words: The first sentence of its docstring.
        names: Where each of its public names is defined, by the name.

    """

    name: str
    words: str
    names: dict[str, str]

    @property
    def page(self) -> str:
        """Return the page that describes it."""
        return PYTHON if self.name == LIBRARY else f"reference/{self.name.removeprefix(LIBRARY + '.')}.md"


def packages() -> list[Package]:
    """Return the library and each of its packages that has public names, read from the files without importing them."""
    files = [ROOT / LIBRARY / "__init__.py", *sorted((ROOT / LIBRARY).glob("*/__init__.py"))]
    found = [_read(path) for path in files]
    return [package for package in found if package.names]


def _read(path: Path) -> Package:
    name = ".".join(path.parent.relative_to(ROOT).parts)
    tree = ast.parse(path.read_text())
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    public: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(one, ast.Name) and one.id == "__all__" for one in node.targets
        ):
            public = list(ast.literal_eval(node.value))
    words = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
    names = {one: imported.get(one, f"{name}.{one}") for one in public if not one.startswith("__")}
    return Package(name, words, names)


def package_page(package: Package) -> str:
    """Return the Markdown of a package's page: a section for each public name, from its docstring."""
    title = "From Python" if package.name == LIBRARY else package.name.removeprefix(f"{LIBRARY}.")
    short = "import modeldiff_core as md" if package.name == LIBRARY else f"import {package.name}"
    sections = [
        f"::: {path}\n    options:\n      heading_level: 2\n\n*Defined in `{path.rpartition('.')[0]}`.*\n"
        for path in package.names.values()
    ]
    return "\n".join([f"# {title}\n", package.words + "\n", f"```python\n{short}\n```\n", *sections])


def index_page(found: list[Package]) -> str:
    """Return the Markdown of the first page of the reference: the packages in a table."""
    rows = [
        f"| [{package.name}]({package.page.removeprefix('reference/')}) | {len(package.names)} | {package.words} |"
        for package in found
    ]
    intro = (
        "Every public name of the library, from its docstring, with the formula, the shapes of its arrays, what it "
        "raises and where it is described. Shapes are jaxtyping annotations: "
        '`Float[ndarray, "models targets"]` is an array of floats with an axis of models and one of targets; the tests '
        "enforce them.\n"
    )
    return "\n".join(["# Reference\n", intro, "| package | public names | holds |", "|---|---|---|", *rows, ""])
