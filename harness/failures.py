"""A pytest plugin that writes each failed test to a file at once, so that a run that is killed has told its failures.

FAILURES=PATH python -m pytest -p harness.failures
"""

import os
from pathlib import Path

import pytest

PLACE = "FAILURES"
"""The environment variable that names the file."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Append the name of a test whose set-up, call or end failed; workers of pytest-xdist leave it to their leader."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(os.environ[PLACE]).open("a") as file:
            file.write(f"{report.nodeid} ({report.when})\n")
