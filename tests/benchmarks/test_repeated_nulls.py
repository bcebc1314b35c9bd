"""A slice of the nulls whose rows repeat masks or models: no alarm where the whole count has hardly any."""

from pathlib import Path

import pytest

from benchmarks.repeated_nulls import alarms


@pytest.mark.parametrize("kind", ["twice", "own"])
def test_repeated_rows_raise_no_alarm(tmp_path: Path, kind: str) -> None:
    assert alarms(kind, 0, tmp_path) == 0


def test_copies_that_count_twice_would_raise_one(tmp_path: Path) -> None:
    assert alarms("twice", 0, tmp_path, as_before=True) > 0
