"""Tests and benchmarks share the harness and do not import each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


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


def test_imports_inside_functions_and_relative_ones_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks" / "one.py"
    path.parent.mkdir()
    path.write_text("def f():\n    from tests.a import b\n    from . import two\n    import os.path\n")
    assert {"tests.a", "tests.a.b", "benchmarks", "benchmarks.two", "os.path"} == set(imported(path, tmp_path))
