"""One comparison, drawn once for all tests of a module."""

import pytest

from modeldiff_core.report import render
from modeldiff_core.report.facts import ReportFacts
from tests.modeldiff_core.report.comparisons import comparison


@pytest.fixture(scope="session")
def facts() -> ReportFacts:
    return comparison()


@pytest.fixture(scope="session")
def files(facts: ReportFacts) -> dict[str, bytes]:
    return render(facts)
