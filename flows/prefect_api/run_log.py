"""The log file of a command: what Prefect and unexpected errors say at length, which the terminal names instead."""

import logging
import os
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "MODELDIFF_RUN_LOG"
"""Environment variable with the path of the log file, for the logging of this process and of those that it starts."""
HANDLER = f"{__name__}.RunLogHandler"
CONSOLE = "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS", "PREFECT_LOGGING_HANDLERS_DEBUG_CLASS"
"""What Prefect takes for its handlers of the terminal: that of all its loggers, and that of its internal ones."""
LEVEL = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
KEPT = 50
"""Log files that stay in their folder; older ones are removed."""


class RunLogHandler(logging.Handler):
    """Appends records to the log file, which is made with the first of them; never fails, and never prints.

    Prefect makes it from its logging configuration, in place of its handler of the terminal.
    """

    def __init__(self, level: int = 0, **_of_a_terminal: Any) -> None:
        super().__init__(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record; one that cannot be written is lost, since the API has it too."""
        with suppress(Exception):
            note(self.format(record))


def name_log(home: Path) -> None:
    """Name the log file of this process and of what it starts, in the folder ``logs`` of the home folder."""
    with suppress(RuntimeError):  # there is no home directory
        home = home.expanduser().absolute()
    os.environ[VARIABLE] = str(home / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log")


def errors_to_log() -> None:
    """Let Prefect's logging write its errors to the log file, where Prefect has not been imported yet.

    A terminal that the user configured for Prefect's logs gets them as before.
    """
    if not any(name in os.environ for name in (LEVEL, *CONSOLE)):
        os.environ.update({LEVEL: "ERROR", **dict.fromkeys(CONSOLE, HANDLER)})


def note(words: str) -> None:
    """Append words to the log file, which is made if need be; in the folder of temporary files where its own is full.

    Raises OSError if neither can be written.
    """
    path = Path(os.environ[VARIABLE])
    try:
        _append(path, words)
    except OSError:
        elsewhere = Path(tempfile.gettempdir()) / f"modeldiff-{path.name}"
        _append(elsewhere, words)
        os.environ[VARIABLE] = str(elsewhere)


def _append(path: Path, words: str) -> None:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.name == "logs":
            for old in sorted(path.parent.glob("*.log"))[: -KEPT + 1]:
                old.unlink(missing_ok=True)
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{words}\n")


def log_file() -> Path | None:
    """Return the log file if anything was written to it, or None."""
    path = os.environ.get(VARIABLE)
    return Path(path) if path and Path(path).is_file() and Path(path).stat().st_size else None


def the_rest() -> str:
    """Return the sentence that names the log file; empty where nothing is in it."""
    found = log_file()
    return f"The rest is in {found}." if found else ""


def unexpected(error: Exception) -> str:
    """Return what to say of an unexpected error, whose traceback goes to the log file."""
    words = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    try:
        note("".join(traceback.format_exception(error)))
    except OSError as why:
        return f"{words} (the traceback could not be written: {why})"
    return f"{words}\n{the_rest()}"
