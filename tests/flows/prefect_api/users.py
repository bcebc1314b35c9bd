"""The environment of commands that use a private Prefect server."""

import os
from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "MODELDIFF_HOME": str(home), "PREFECT_PROFILE": "of-another-home"}
