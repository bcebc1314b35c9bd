"""The user's own folder of configuration beside the product's."""

import os
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Where the product's folders are."""
CONF = "conf"
GROUPS = "study", "dataset", "algorithm", "subsets", "transformation", "comparison", "runner", "store"
"""Groups by which a folder of configuration is known."""
SEARCHED = "hydra.searchpath"


def with_own_conf(overrides: Sequence[str]) -> list[str]:
    """Return overrides with the working directory's own folder ``conf`` in the search path, where there is one.

    A search path that is given stays as it is.
    """
    folder = Path(os.getcwd()) / CONF  # noqa: PTH109 - as the shell shows it
    given = any(o.lstrip("+").startswith(f"{SEARCHED}=") for o in overrides)
    if given or folder.resolve() == ROOT / CONF or not any((folder / group).is_dir() for group in GROUPS):
        return list(overrides)
    return [*overrides, f"{SEARCHED}=[file://{folder}]"]
