"""Recorded failures: work that ended without a result for a reason that trying again would not mend."""

from typing import Any

from modeldiff_core.errors import ModelDiffError
from modeldiff_core.plan.reference import Reference
from modeldiff_core.store import ObjectStore, read_record, write_record


class RecordedFailure(ModelDiffError):
    """Raised by a stage whose work is over without a result: it diverged, or a rule cut it short.

    The reason and the facts (plain JSON) are kept in the store; the step then counts as done, and readers of its result
    find out with ``read_failure``.
    """

    def __init__(self, reason: str, facts: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.facts = facts or {}

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.reason, self.facts)


def failure_key(reference: Reference) -> str:
    """Return the key of the record of a step's failure."""
    return f"{reference.record.rpartition('.')[0]}.failed.json"


def write_failure(store: ObjectStore, reference: Reference, failure: RecordedFailure) -> None:
    """Write the record of why a step ended without a result."""
    content = {"digest": reference.digest, "reason": failure.reason, "facts": failure.facts}
    write_record(store, failure_key(reference), content)


def read_failure(store: ObjectStore, reference: Reference) -> dict[str, Any] | None:
    """Return the reason and the facts of a step's recorded failure; None if it has none."""
    try:
        record = read_record(store, failure_key(reference))
    except FileNotFoundError:
        return None
    return {name: record[name] for name in ("reason", "facts")}
