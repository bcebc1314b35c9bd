"""A pytest plugin that says which tests and which files take the processor's time, with all that they start.

    python -m pytest -p harness.cpu_seconds [-n 2 --dist loadfile] [FILES]

Seconds of a clock depend on what else the machine does; seconds of the processor hardly do. Counted are the test's own
process, the processes that it has waited for, and those that still run: its descendants, and what has left its family
(a server that stays up) but not its environment. What a process takes between the last look at it and a kill by someone
else than its parent is not counted. A set-up that several tests share counts for the first of them.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

MARK = "CPU_SECONDS_OF"
"""The environment variable that marks what a process of pytest starts."""
PROPERTY = "cpu_seconds"
COLLECTION = "(importing the tests)"
HEAVIEST = 40
LEAST = 1.0
"""Seconds below which neither a test nor a file is listed."""


class Meter:
    """Adds up what this process and those that it has started have taken since it was asked last."""

    def __init__(self) -> None:
        self.mark = str(os.getpid())
        os.environ[MARK] = self.mark
        self.last = self.total()

    def total(self) -> float:
        """Return the seconds of all that is counted, since each of them began."""
        here = psutil.Process()
        family = {here, *here.children(recursive=True)}
        return sum(_seconds(process) for process in family | set(self._strangers()))

    def lap(self) -> float:
        """Return the seconds since the last call; what was counted and has been killed since takes nothing away."""
        before, self.last = self.last, self.total()
        return max(self.last - before, 0.0)

    def _strangers(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    yield process
            except psutil.Error:
                continue


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has ended, and its parent counts it
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


class Table:
    """Seconds by test and by file: measured where tests run, gathered where the run is reported."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.tests: Counter[str] = Counter()
        self.collection = 0.0

    def pytest_collection_finish(self) -> None:
        """Keep apart what it took to import the tests."""
        self.collection = self.meter.lap()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: object) -> Iterator[Any]:
        """Note what each phase of a test has taken; workers of pytest-xdist send it on with the report."""
        report = yield
        report.user_properties = [*report.user_properties, (PROPERTY, (report.when, self.meter.lap()))]
        if self.collection:
            report.user_properties.append((PROPERTY, (COLLECTION, self.collection)))
            self.collection = 0.0
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the phases of a test."""
        for name, value in report.user_properties:
            if name == PROPERTY and value[0] in (report.when, COLLECTION):
                self.tests[report.nodeid if value[0] == report.when else COLLECTION] += value[1]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the heaviest tests, and every file with its sum."""
        files: Counter[str] = Counter()
        for name, seconds in self.tests.items():
            files[name.partition("::")[0]] += seconds
        for title, table in (("tests", self.tests), ("files", files)):
            terminalreporter.section(f"heaviest {title}, seconds of the processor")
            for name, seconds in table.most_common(HEAVIEST if table is self.tests else None):
                if seconds >= LEAST:
                    terminalreporter.write_line(f"{seconds:8.1f} {name}")
        terminalreporter.write_line(f"{sum(files.values()):8.1f} in all")


def pytest_configure(config: pytest.Config) -> None:
    """Count from here on."""
    config.pluginmanager.register(Table(), "cpu-seconds-table")
