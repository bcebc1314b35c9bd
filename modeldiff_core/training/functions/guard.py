"""Calling code of a user's own: seeded, silent, and with its mistakes named by the user's own line."""

import random
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import TextIOBase
from typing import Any

import numpy as np

from modeldiff_core.errors import ConfigError, ModelDiffError
from modeldiff_core.training.functions.source import INSTALLED, line_of

LONGEST = 300
"""Characters of a message of somebody else's that a line takes."""


class FunctionFailed(ModelDiffError):
    """A training function of a user's own, or a model of it, that does not do what it has to; one line says what."""


class RehearsalFailed(ConfigError):
    """An algorithm of a user's own that cannot be trained as it is; nothing was trained yet.

    Attributes:
        sentence: What is wrong, in one line.
    """

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(key, "an algorithm that trains", sentence)
        self.sentence = sentence
        self.args = (f"{key}: {sentence}",)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.key, self.sentence)


@dataclass
class Sink(TextIOBase):
    """Takes what is printed, counts its lines and keeps nothing."""

    lines: int = 0

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        return len(text)


@contextmanager
def silent() -> Iterator[Sink]:
    """Keep what is printed in the block from the terminal; gives what counts it."""
    sink = Sink()
    with redirect_stdout(sink), redirect_stderr(sink):
        yield sink


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch; at the end they are as they were before."""
    import torch

    python, arrays, tensors = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        torch.random.set_rng_state(tensors)


@contextmanager
def threads_kept() -> Iterator[None]:
    """Set torch's number of threads back to what it was: it decides the bits of the next model."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def attempt(call: Callable[[], Any], *, home: str, words: str) -> Any:
    """Return what a call of a user's code gives.

    Args:
        call: The call.
        home: The file of the user's function, whose lines are named first.
        words: What fails where it does, such as ``train_a``.

    Raises:
        FunctionFailed: For anything that it raises, and for an exit; one line with the user's own.
    """
    try:
        return call()
    except FunctionFailed:
        raise
    except SystemExit as end:
        raise FunctionFailed(f"{words} calls sys.exit({end.code!r}) ({_line(home, end)})") from end
    except Exception as error:
        raise FunctionFailed(f"{words} raised {said(error)} ({_line(home, error)})") from error


def said(error: BaseException) -> str:
    """Return an exception in one line."""
    text = " ".join(str(error).split())
    shortened = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return f"{type(error).__name__}: {shortened}" if shortened else type(error).__name__


def _line(home: str, error: BaseException) -> str:
    """Return the last line of the user's own that led to an exception, and its text."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == home]
    others = [frame for frame in frames if not _is_library(frame.filename)]
    frame = (own or others or list(frames))[-1]
    code = f": {frame.line}" if frame.line else ""
    return f"{line_of(frame.filename, frame.lineno or 0)}{code}"


def _is_library(filename: str) -> bool:
    return any(part in filename for part in (*INSTALLED, "modeldiff_core", f"{sys.prefix}/lib", "<frozen"))
