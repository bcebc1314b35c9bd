"""Whether a summary is what its schema says."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from modeldiff_core.experiments.compare.schema import summary_schema

SCHEMA = summary_schema()
Draft202012Validator.check_schema(SCHEMA)


def misfits(summary: Mapping[str, Any]) -> list[str]:
    """Return where a summary departs from the schema, and how; nothing if it fits."""
    errors = Draft202012Validator(SCHEMA).iter_errors(dict(summary))
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]
