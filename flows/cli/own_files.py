"""The user's own files beside the product's: a folder of configuration, and packages of the same names."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Where the product's packages stand."""
CONF = "conf"
GROUPS = "study", "dataset", "algorithm", "subsets", "transformation", "comparison", "runner", "store"
"""Groups by which a folder of configuration is known."""
SEARCHED = "hydra.searchpath"


def load_product_conf() -> None:
    """Make the product's configuration the package ``conf``, whatever else of that name Python would find first."""
    found = sys.modules.get(CONF)
    own = ROOT / CONF / "__init__.py"
    if found is not None and getattr(found, "__file__", None) == str(own):
        return
    spec = importlib.util.spec_from_file_location(CONF, own, submodule_search_locations=[str(own.parent)])
    assert spec is not None
    assert spec.loader is not None
    for name in [name for name in sys.modules if name == CONF or name.startswith(f"{CONF}.")]:
        del sys.modules[name]
    module = importlib.util.module_from_spec(spec)
    sys.modules[CONF] = module
    spec.loader.exec_module(module)


def with_own_conf(overrides: Sequence[str]) -> list[str]:
    """Return overrides with the working directory's own folder ``conf`` in the search path, where there is one.

    A search path that is given stands as it is.
    """
    folder = Path(os.getcwd()) / CONF  # noqa: PTH109 - as the shell shows it
    given = any(o.lstrip("+").startswith(f"{SEARCHED}=") for o in overrides)
    if given or folder.resolve() == ROOT / CONF or not any((folder / group).is_dir() for group in GROUPS):
        return list(overrides)
    return [*overrides, f"{SEARCHED}=[file://{folder}]"]
