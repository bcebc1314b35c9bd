"""Holding two JSON values against each other: rounding, wording, and everything else."""

import pytest

from modeldiff_core.report.recheck import departures


@pytest.mark.parametrize(
    ("expected", "found", "places"),
    [
        ({"a": [1.0, {"b": 2}]}, {"a": [1.0 + 1e-9, {"b": 2}]}, {}),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.1]}, {"a[1]": False}),
        ({"a": 1}, {"b": 1}, {"it": False}),
        ({"a": [1.0]}, {"a": [1.0, 2.0]}, {"a": False}),
        ({"answer": "different"}, {"answer": "equivalent"}, {"answer": False}),
        ({"findings": ["No news.", "A b."]}, {"findings": ["No more.", "A b."]}, {"findings[0]": True}),
        ({"findings": ["No news."]}, {"findings": ["No news.", "A b."]}, {"findings": True}),
        ({"findings": ["No news."]}, {"findings": []}, {"findings": False}),
        ({"findings": ["No news."], "p": 0.1}, {"findings": ["A b."], "p": 0.2}, {"findings[0]": True, "p": False}),
        ({"found": True}, {"found": False}, {"found": False}),
        ({"name": None}, {"name": "No news."}, {"name": False}),
    ],
)
def test_places_are_named_and_wordings_are_told_from_values(
    expected: object, found: object, places: dict[str, bool]
) -> None:
    assert dict(departures(expected, found)) == places
