"""Reports that hold the facts that they would be drawn from, for tests of what is around them: figures take seconds."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from modeldiff_core.report.facts import ReportFacts


def facts_alone(facts: ReportFacts) -> dict[str, bytes]:
    """Everything that a report is drawn from, in the place of the report."""
    with np.printoptions(threshold=sys.maxsize):
        return {"index.html": repr(facts).encode(), "study.json": json.dumps(facts.config, default=str).encode()}


@contextmanager
def undrawn() -> Iterator[None]:
    """Nothing is drawn of comparisons, adopted ones among them, until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("compare", "adopted"):
            patch.setattr(f"modeldiff_core.experiments.{kind}.experiment.render", facts_alone)
        yield
