"""Standard output and errors that never end a run: full, closed, read no more, or of few letters."""

import codecs
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

SPELLED = "modeldiff.spelled"
"""Name of the codecs' error handler that writes what an encoding lacks in letters that all of them have."""
PLAIN = {"…": "...", "×": "x", "−": "-", "–": "-", "—": "-", "·": "*", "“": '"', "”": '"', "’": "'", "±": "+-"}
"""What is written for a sign of ours where an encoding lacks it."""


def spelled(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for letters that an encoding lacks: plain signs, or escapes, also for a file name's bytes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(map(_spelled_letter, letters)), error.end


def _spelled_letter(letter: str) -> str:
    if letter in PLAIN:
        return PLAIN[letter]
    if "\udc80" <= letter <= "\udcff":  # a byte of a file's name that is no text
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("ascii", "backslashreplace").decode()


codecs.register_error(SPELLED, spelled)


class Outlet:
    """A text stream that takes everything: what its encoding lacks is spelled, and once it fails it is left alone.

    lost: why it failed, the first time; None as long as it takes what is written.
    closed: whether there was no stream when the process began (``>&-``), so that the first text is lost already.
    quiet: whether a reader that has gone is no news, since nothing but the output was wanted: ``status ... | head``.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.closed = stream is None
        self.stream = _nothing() if stream is None else stream
        self.lost: OSError | None = None
        self.quiet = False

    def write(self, text: str) -> int:
        """Write a text, or nothing once the stream has failed; returns its length."""
        if self.lost is None:
            try:
                if self.closed:
                    raise OSError(errno.EBADF, "it is closed")
                try:
                    self.stream.write(text)
                except UnicodeEncodeError:
                    encoding = self.stream.encoding or "ascii"
                    self.stream.write(text.encode(encoding, SPELLED).decode(encoding))
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Send what is buffered on its way."""
        if self.lost is None:
            try:
                self.stream.flush()
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.lost = error
        with suppress(OSError, ValueError):  # what is buffered would fail again when the process ends
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.stream.fileno())
            os.close(nothing)
        if (
            self is not sys.stderr
            and self.stream is not _of(sys.stderr)
            and not (self.quiet and isinstance(error, BrokenPipeError))
        ):
            why = error.strerror or error
            kept = "what is computed is kept, and the rest is not shown"
            print(f"modeldiff: standard output takes no more ({why}): {kept}", file=sys.stderr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _of(stream: Any) -> Any:
    return stream.stream if isinstance(stream, Outlet) else stream


@contextmanager
def outlets() -> Iterator[Outlet]:
    """Replace the standard streams by ones that never fail until the block ends; yields that of the output."""
    _reopen()
    before = sys.stdout, sys.stderr
    out, errors = map(Outlet, before)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, errors)
    try:
        yield out
    finally:
        out.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


def _nothing() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - open until the process ends


def _reopen() -> None:
    """Open what a shell closed (``>&-``) on nothing, before a file of ours gets its number and is printed into."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
