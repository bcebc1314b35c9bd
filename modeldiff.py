"""``python -m modeldiff``: the command line by the name that it has on the terminal, whatever else is named alike."""

import importlib.util
import sys
from pathlib import Path

PACKAGES = "flows", "tasks", "conf"
"""Packages of the product whose names a user's own folders may have, too."""


def load_own_packages() -> None:
    """Import the product's packages from beside this file, also where Python would find others of their names first."""
    for name in PACKAGES:
        place = Path(__file__).resolve().parent / name / "__init__.py"
        found = sys.modules.get(name)
        if not place.is_file() or getattr(found, "__file__", None) == str(place):
            continue
        spec = importlib.util.spec_from_file_location(name, place, submodule_search_locations=[str(place.parent)])
        if spec is None or spec.loader is None:
            continue
        for other in [other for other in sys.modules if other == name or other.startswith(f"{name}.")]:
            del sys.modules[other]
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


def main() -> int:
    """Run the command line."""
    load_own_packages()
    from flows.cli import main as carried_out

    return carried_out()


if __name__ == "__main__":
    sys.exit(main())
