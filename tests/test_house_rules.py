"""House rules of the code that no linter knows: short lists of parameters, and docstrings that begin with a verb."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("benchmarks", "flows", "harness", "modeldiff_core", "tasks")
MOST_PARAMETERS = 7
LONG_PARAMETER_LISTS = {"fit_lasso"}
"""Public names whose long lists of parameters users rely on."""
NOT_VERBS = ("The ", "What ", "Whether ", "How ", "A ", "An ", "If ", "Where ", "Which ", "Who ", "When ")
"""Beginnings of docstrings that describe a thing or ask a question instead of saying what a function does."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Found:
    """A function and where it is defined."""

    place: str
    function: Function

    @property
    def parameters(self) -> int:
        """Parameters but for self and cls."""
        arguments = self.function.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        return sum(argument.arg not in ("self", "cls") for argument in named)

    @property
    def is_property(self) -> bool:
        """Whether it is read like an attribute, which a noun describes."""
        names = {ast.unparse(decorator).rpartition(".")[2] for decorator in self.function.decorator_list}
        return bool(names & {"property", "cached_property"})

    @property
    def beginning(self) -> str:
        """The first line of its docstring."""
        return (ast.get_docstring(self.function) or "").partition("\n")[0]


def functions_in(source: str, place: str) -> Iterator[Found]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield Found(f"{place}:{node.lineno} {node.name}", node)


def functions_of(package: str) -> list[Found]:
    files = sorted((ROOT / package).rglob("*.py"))
    return [found for file in files for found in functions_in(file.read_text(), str(file.relative_to(ROOT)))]


def long_lists(functions: list[Found]) -> list[str]:
    return [
        found.place
        for found in functions
        if found.parameters > MOST_PARAMETERS and found.function.name not in LONG_PARAMETER_LISTS
    ]


def nouns(functions: list[Found]) -> list[str]:
    return [
        f"{found.place}: {found.beginning}"
        for found in functions
        if not found.is_property and found.beginning.startswith(NOT_VERBS)
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_has_a_long_list_of_parameters(package: str) -> None:
    functions = functions_of(package)
    assert functions
    assert long_lists(functions) == []


def test_every_exception_to_the_length_of_lists_is_still_needed() -> None:
    functions = functions_of("modeldiff_core/datamodels")
    long = {found.function.name for found in functions if found.parameters > MOST_PARAMETERS}
    assert long == LONG_PARAMETER_LISTS


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_of_functions_begin_with_a_verb(package: str) -> None:
    functions = functions_of(package)
    assert any(found.beginning for found in functions)
    assert nouns(functions) == []


def test_the_rules_see_what_breaks_them() -> None:
    source = '''
class Store:
    @property
    def url(self):
        """The address."""

    def read(self, a, b, c, d, e, *, f, g):
        """Return the bytes."""

    def size(self, a, b, c, d, e, *, f, g, h):
        """The size in bytes."""
'''
    functions = list(functions_in(source, "sample.py"))
    assert [found.function.name for found in functions] == ["url", "read", "size"]
    assert long_lists(functions) == ["sample.py:10 size"]
    assert nouns(functions) == ["sample.py:10 size: The size in bytes."]


def test_the_formatter_is_hardly_ever_overruled() -> None:
    files = [file for package in (*PACKAGES, "tests") for file in (ROOT / package).rglob("*.py")]
    assert len(files) > 300
    overruled = [str(file) for file in files if "# fmt: " + "skip" in file.read_text()]
    assert len(overruled) <= 20, overruled
