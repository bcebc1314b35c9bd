"""Progress of a run: a bar in the terminal or lines in a file, and an artifact with the time left in Prefect's UI."""

import re
import sys
import threading
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
LINE_EVERY = 60.0
"""Seconds between two lines on a wave where no bar is shown: in a file, in CI."""
WIDE = 80
"""Columns of a terminal in which the title, the bar and all numbers have room."""


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
        """Show a wave until the block ends: a bar on a terminal, lines where the output goes into a file."""
        shown, console = WaveProgress(tally), Console(stderr=True)
        with bar(tally, console) if console.is_terminal else lines(tally) as show:

            def advance(step: Step) -> None:
                tally.advance(step)
                show(step)
                shown.update()

            try:
                yield advance
            finally:
                shown.update(last=True)


@contextmanager
def bar(tally: Tally, console: Console) -> Iterator[Advance]:
    """Draw a wave on a terminal until the block ends; a narrow one shows the numbers without the bar."""
    numbers = MofNCompleteColumn(), TextColumn(tally.unit)
    left = TextColumn("{task.fields[left]}")
    wide = TextColumn(f"{tally.title:<28}"), BarColumn(), *numbers, TimeElapsedColumn(), left
    narrow = TextColumn(tally.title), MofNCompleteColumn(), left
    with Progress(*(wide if console.width >= WIDE else narrow), console=console) as drawn:
        task = drawn.add_task(tally.title, total=tally.total, completed=tally.before, left="")

        def advance(step: Step) -> None:
            seconds = tally.seconds_left
            words = "about {:.0f} s left" if console.width >= WIDE else "{:.0f} s"
            drawn.update(task, advance=step.cost.units, left="" if seconds is None else words.format(seconds))

        yield advance


@contextmanager
def lines(tally: Tally) -> Iterator[Advance]:
    """Write a line on a wave when it begins, every LINE_EVERY seconds, whatever has been done, and when it ends."""
    began, over = time.monotonic(), threading.Event()

    def tell(words: str = "") -> None:
        print(f"{tally}{words}", file=sys.stderr, flush=True)

    def tell_on() -> None:
        while not over.wait(LINE_EVERY):
            tell(f", {time.monotonic() - began:.0f} s so far")

    tell()
    teller = threading.Thread(target=tell_on, daemon=True)
    teller.start()
    try:
        yield lambda step: None
    finally:
        over.set()
        teller.join()
        tell(f", in {time.monotonic() - began:.0f} s")


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
