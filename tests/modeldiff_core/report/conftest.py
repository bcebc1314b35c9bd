"""One comparison, drawn once for all tests of a session."""

from pathlib import Path

import pytest

from harness.shared import made_once
from modeldiff_core.report import render
from modeldiff_core.report.facts import ReportFacts
from tests.modeldiff_core.report.comparisons import comparison
from tests.modeldiff_core.report.pages import Page


@pytest.fixture(scope="session")
def facts() -> ReportFacts:
    return comparison()


@pytest.fixture(scope="session")
def files(facts: ReportFacts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The report's files by name; drawn by one worker of the session."""

    def draw(folder: Path) -> None:
        for name, content in render(facts).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    folder = made_once(tmp_path_factory, "report", draw)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="session")
def pages(files: dict[str, bytes]) -> dict[str, Page]:
    return {name.removesuffix(".html"): Page(content) for name, content in files.items() if name.endswith(".html")}


@pytest.fixture(scope="session")
def page(pages: dict[str, Page]) -> Page:
    return pages["index"]
