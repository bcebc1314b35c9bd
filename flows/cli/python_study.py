"""Studies that are defined in a Python module: ``modeldiff compare module:study``."""

import importlib
import os
import re
import sys

from modeldiff_core.api.study import Study
from modeldiff_core.errors import ConfigError

PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""An import path, ``module:name``; anything with ``=`` is an override."""
EXPECTED = "a Study by its import path, module:name"


def is_python(word: str) -> bool:
    """Return whether a word of the command line names a study in a module."""
    return PATH.fullmatch(word) is not None


def find_own_modules() -> None:
    """Let Python find modules of the working directory, after all others: recipes may name them by import path."""
    here = os.getcwd()  # noqa: PTH109 - as in sys.path
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def python_study(name: str) -> Study:
    """Return the study of that import path; modules of the working directory are found first.

    Raises ConfigError where there is none, with the reason.
    """
    module, _, attribute = name.partition(":")
    here = os.getcwd()  # noqa: PTH109 - as in sys.path
    if here in sys.path:
        sys.path.remove(here)
    sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except SystemExit as end:
        raise ConfigError("study", EXPECTED, name, f"Importing {module} ends the process ({end})") from end
    except Exception as error:
        raise ConfigError("study", EXPECTED, name, f"{type(error).__name__}: {error}") from error
    study = found() if callable(found) and not isinstance(found, Study) else found
    if not isinstance(study, Study):
        raise ConfigError("study", EXPECTED, name, f"It is a {type(study).__name__}, no modeldiff_core.Study")
    here_only = [one.described for one in study.algorithms if not one.elsewhere]
    if here_only:
        raise ConfigError(
            "study",
            "training functions that worker processes can import",
            here_only[0].path,
            f"{here_only[0].place}: give it a name of its own at the top of a module",
        )
    return study
