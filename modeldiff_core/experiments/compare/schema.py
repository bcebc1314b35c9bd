"""The JSON Schema of a comparison's summary."""

import json
from importlib.resources import files
from typing import Any

NAME = "summary.schema.json"


def summary_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of summary.json, of trained and of adopted comparisons."""
    found: dict[str, Any] = json.loads((files(__package__) / NAME).read_text("utf-8"))
    return found
