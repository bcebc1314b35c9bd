"""How much the command line says: ``-q`` only what was found and what went wrong, ``-v`` also how errors came about."""

import argparse
import os

VARIABLE = "MODELDIFF_VOLUME"
"""Environment variable with the level, for this process and those that it starts."""
QUIET, USUAL, LOUD = "quiet", "usual", "loud"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add -q and -v to a verb."""
    flags = parser.add_mutually_exclusive_group()
    flags.add_argument("-q", "--quiet", action="store_true", help="say only what was found, and what went wrong")
    flags.add_argument("-v", "--verbose", action="store_true", help="show how an unexpected error came about")


def set_level(given: argparse.Namespace) -> None:
    """Take the level from parsed arguments."""
    loud, low = getattr(given, "verbose", False), getattr(given, "quiet", False)
    os.environ[VARIABLE] = LOUD if loud else QUIET if low else USUAL


def quiet() -> bool:
    """Return whether only results and errors are wanted."""
    return os.environ.get(VARIABLE) == QUIET


def loud() -> bool:
    """Return whether details of errors are wanted."""
    return os.environ.get(VARIABLE) == LOUD
