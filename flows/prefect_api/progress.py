"""Progress of a run: a bar in the terminal, and an artifact with the time left in Prefect's UI."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from httpx import HTTPError
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import MissingContextError, PrefectException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from modeldiff_core.plan import Step, Tally
from modeldiff_core.plan.progress import Advance

EVERY = 2.0
"""Least seconds between two updates of the artifact."""


class RunProgress:
    """Shows each wave of a run as a bar and as an artifact.

    Args:
        study: Name of the study, for the terminal.

    """

    def __init__(self, study: str) -> None:
        self.study = study

    def begin(self, tally: Tally) -> None:
        """Say how many shards were there before."""
        if tally.noun != "results":
            self.note(f"{self.study}: {tally.counted}", warn=False)

    def note(self, words: str, warn: bool = True) -> None:
        """Show a sentence in the terminal and in the run's log."""
        print(words, flush=True)
        with suppress(MissingContextError):
            (get_run_logger().warning if warn else get_run_logger().info)(words)

    @contextmanager
    def wave(self, tally: Tally) -> Iterator[Advance]:
        """Show a wave until the block ends."""
        shown = WaveProgress(tally)
        bar = Progress(
            TextColumn(f"{tally.title:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(tally.unit),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
        )
        with bar:
            task = bar.add_task(tally.title, total=tally.total, completed=tally.before, left="")

            def advance(step: Step) -> None:
                tally.advance(step)
                left = "" if tally.seconds_left is None else f"about {tally.seconds_left:.0f} s left"
                bar.update(task, advance=step.cost.units, left=left)
                shown.update()

            try:
                yield advance
            finally:
                shown.update(last=True)


class WaveProgress:
    """The artifact of a wave; a server that cannot be reached gets the next update."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._artifact: UUID | None = None
        self._updated = time.monotonic()
        self.update(last=True)

    def update(self, last: bool = False) -> None:
        """Update the artifact, if the last update is some seconds ago or `last` says so."""
        if not last and time.monotonic() - self._updated < EVERY:
            return
        self._updated = time.monotonic()
        with suppress(HTTPError, PrefectException):
            if self._artifact is not None:
                update_progress_artifact(self._artifact, self.tally.percent, description=str(self.tally))
                return
            key = re.sub(r"[^a-z0-9]+", "-", self.tally.title.lower()).strip("-")
            artifact = create_progress_artifact(self.tally.percent, key=key, description=str(self.tally))
            self._artifact = artifact if isinstance(artifact, UUID) else None
