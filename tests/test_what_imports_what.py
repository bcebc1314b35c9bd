"""Tests and benchmarks share the harness and do not import each other; no module of the package imports itself."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINKED = "conf", "flows", "tasks"
"""Folders of the repository that are packages of ``modeldiff`` in an environment."""


def imported(path: Path, root: Path = ROOT) -> Iterator[str]:
    """Yield the modules that a file imports anywhere, relative ones resolved."""
    package = path.relative_to(root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) + 1 - node.level]] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])])
            yield from (".".join([*base, *([node.module] if node.module else []), alias.name]) for alias in node.names)


def forbidden(files: Iterator[Path], *packages: str) -> list[str]:
    """Return a line for each import of one of the packages."""
    found = []
    for path in files:
        tops = {name.partition(".")[0] for name in imported(path)}
        found += [f"{path.relative_to(ROOT)} imports {name}" for name in sorted(tops & set(packages))]
    return found


def test_benchmarks_and_the_harness_import_no_tests() -> None:
    benchmarks, harness = (list((ROOT / name).rglob("*.py")) for name in ("benchmarks", "harness"))
    assert len(benchmarks) > 10
    assert len(harness) > 5
    assert forbidden(iter(benchmarks), "tests") == []
    assert forbidden(iter(harness), "tests", "benchmarks") == []


def test_only_tests_of_benchmarks_import_them() -> None:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if (ROOT / "tests/benchmarks") not in path.parents]
    assert any("harness" in {name.partition(".")[0] for name in imported(path)} for path in tests)
    assert forbidden(iter(tests), "benchmarks") == []


def test_the_package_imports_neither() -> None:
    shipped = [path for name in ("conf", "flows", "modeldiff_core", "tasks") for path in (ROOT / name).rglob("*.py")]
    assert len(shipped) > 100
    assert forbidden(iter(shipped), "harness", "tests", "benchmarks") == []


def test_nothing_imports_folders_by_the_names_that_an_environment_lacks() -> None:
    shown = ("benchmarks", "conf", "docs", "flows", "harness", "modeldiff_core", "tasks", "tests")
    files = [path for name in shown for path in (ROOT / name).rglob("*.py")]
    assert forbidden(iter(files), *LINKED) == []
    for name in LINKED:
        assert (ROOT / "modeldiff_platform" / name).resolve() == ROOT / name


def test_imports_inside_functions_and_relative_ones_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks" / "one.py"
    path.parent.mkdir()
    path.write_text("def f():\n    from tests.a import b\n    from . import two\n    import os.path\n")
    assert {"tests.a", "tests.a.b", "benchmarks", "benchmarks.two", "os.path"} == set(imported(path, tmp_path))


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is imported: not those in functions or for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        checked = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not checked and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from at_import(child)


def imports(root: Path, *packages: str) -> dict[str, set[str]]:
    """Return the modules of the packages that each of them imports when it is imported."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for package in packages
        for path in (root / package).rglob("*.py")
    }
    found: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for node in at_import(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = {alias: f"{node.module}.{alias.name}" for alias in node.names}
                found[name] |= {whole[alias] if whole[alias] in files else node.module for alias in node.names}
    return {name: named & files.keys() for name, named in found.items()}


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return modules of which each imports the next, the last one the first; none if there are no such modules."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_through_others() -> None:
    graph = imports(ROOT, *(f"modeldiff_platform/{name}" for name in LINKED), "modeldiff_core")
    assert "modeldiff_platform.flows.cli.verbs" in graph
    assert len(graph) > 300
    assert "modeldiff_core.plan.step" in graph["modeldiff_core.plan"]
    assert cycle(graph) == []


def test_a_cycle_is_found(tmp_path: Path) -> None:
    for name, text in (("a", "from p import b"), ("b", "if True:\n    from p.c import x"), ("c", "import p.a")):
        (tmp_path / "p").mkdir(exist_ok=True)
        (tmp_path / "p" / f"{name}.py").write_text(text)
    assert set(cycle(imports(tmp_path, "p"))) == {"p.a", "p.b", "p.c"}
    (tmp_path / "p" / "c.py").write_text("def later():\n    import p.a")
    assert cycle(imports(tmp_path, "p")) == []
