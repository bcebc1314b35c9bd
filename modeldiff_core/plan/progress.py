"""Progress of a run: what is counted, and the time left by the predicted cost of the steps."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from modeldiff_core.plan.step import Step, Wave

Advance = Callable[[Step], None]


class Tally:
    """Counts the units of a wave; the time left follows from the predicted seconds of the steps.

    Args:
        wave: The wave.
        before: Steps that were complete before.
        missing: Steps that are being carried out.

    Attributes:
        counted: How many results were there before, in words.

    """

    def __init__(self, wave: Wave, before: Sequence[Step], missing: Sequence[Step]) -> None:
        self.title = wave.title
        done, left = (sum(step.cost.units > 0 for step in steps) for steps in (before, missing))
        self.counted = f"{done} of {done + left} {wave.noun} done before, {left} to {wave.verb}"
        self.noun = wave.noun
        self.unit = max(missing, key=lambda step: step.cost.units).label.unit if missing else "tasks"
        self.before = sum(step.cost.units for step in before)
        self.total = self.before + sum(step.cost.units for step in missing)
        self.done = self.before
        self._seconds = sum(step.cost.seconds for step in missing)
        self._seconds_done = 0.0
        self._began = time.monotonic()

    def advance(self, step: Step) -> None:
        """Count a step that is done."""
        self.done += step.cost.units
        self._seconds_done += step.cost.seconds

    @property
    def percent(self) -> float:
        """Share of the units that are done, in percent."""
        return 100.0 * self.done / self.total if self.total else 100.0

    @property
    def seconds_left(self) -> float | None:
        """Time left at the pace so far; None before the first step is done and after the last."""
        left = self._seconds - self._seconds_done
        if self._seconds_done <= 0 or left <= 0:
            return None
        return (time.monotonic() - self._began) / self._seconds_done * left

    def __str__(self) -> str:
        passed, fresh = time.monotonic() - self._began, self.done - self.before
        words = f"{self.title}: {self.done} of {self.total} {self.unit}"
        if self.before:
            words += f", {self.before} done before"
        if self.seconds_left is not None:
            words += f", about {self.seconds_left:.0f} s left"
        if fresh and passed > 0:
            words += f", {60 * fresh / passed:.0f} {self.unit} a minute"
        return words


@runtime_checkable
class Progress(Protocol):
    """Shows how a run gets on."""

    def begin(self, tally: Tally) -> None:
        """Show what was done of a wave before; called for every wave, also for those that lack nothing."""
        ...

    def wave(self, tally: Tally) -> AbstractContextManager[Advance]:
        """Show a wave until the block ends; the function that it gives is called with each step that is done."""
        ...

    def note(self, words: str) -> None:
        """Show a sentence."""
        ...


class NoProgress:
    """Shows nothing."""

    def begin(self, tally: Tally) -> None:
        pass

    @contextmanager
    def wave(self, tally: Tally) -> Iterator[Advance]:
        yield tally.advance

    def note(self, words: str) -> None:
        pass


class Bar:
    """A line in the terminal for each wave, drawn on standard error."""

    def begin(self, tally: Tally) -> None:
        pass

    @contextmanager
    def wave(self, tally: Tally) -> Iterator[Advance]:
        from tqdm import tqdm

        with tqdm(
            total=tally.total, initial=tally.before, desc=tally.title, unit=f" {tally.unit}", file=sys.stderr
        ) as bar:

            def advance(step: Step) -> None:
                tally.advance(step)
                bar.update(step.cost.units)
                if tally.seconds_left is not None:
                    bar.set_postfix_str(f"about {tally.seconds_left:.0f} s left")

            yield advance

    def note(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)  # noqa: T201
