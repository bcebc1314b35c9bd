"""Progress of a run: a bar in the terminal, and an artifact with the time left in Prefect's UI."""

import time
from contextlib import suppress
from types import TracebackType
from typing import Self
from uuid import UUID

from httpx import HTTPError
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY = 2.0
"""Least seconds between two updates of the artifact."""


class StageProgress:
    """Counts units of one stage of a flow, out of a total of which some were done before."""

    def __init__(self, key: str, label: str, total: int, before: int = 0, unit: str = "tasks") -> None:
        self.key, self.label, self.total, self.before, self.unit = key, label, total, before, unit
        self.done = before
        self._started = self._told = time.monotonic()
        self._artifact: UUID | None = None
        self._bar = Progress(
            TextColumn(f"{label:<28}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True),
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._tell()
        self._bar.start()
        self._task = self._bar.add_task(self.label, total=self.total, completed=self.before)
        return self

    def advance(self, units: int) -> None:
        """Count what has been done."""
        self.done += units
        self._bar.advance(self._task, units)
        if time.monotonic() - self._told >= EVERY:
            self._tell()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._tell()

    def _tell(self) -> None:
        """Show the progress in the UI; a server that is away is told the next time."""
        self._told = time.monotonic()
        with suppress(HTTPError, PrefectException):
            if self._artifact is not None:
                update_progress_artifact(self._artifact, self._percent(), description=self._words())
                return
            artifact = create_progress_artifact(self._percent(), key=self.key, description=self._words())
            self._artifact = artifact if isinstance(artifact, UUID) else None

    def _percent(self) -> float:
        return 100.0 * self.done / self.total if self.total else 100.0

    def _words(self) -> str:
        passed = time.monotonic() - self._started
        fresh = self.done - self.before
        words = f"{self.label}: {self.done} of {self.total} {self.unit}"
        if self.before:
            words += f", {self.before} done before"
        if fresh and self.done < self.total:
            words += f", about {passed / fresh * (self.total - self.done):.0f} s left"
        if fresh and passed > 0:
            words += f", {60 * fresh / passed:.0f} {self.unit} a minute"
        return words
