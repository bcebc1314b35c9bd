"""What is said of a search that went nowhere, or confirmed nothing."""

from typing import Any

import pytest

from modeldiff_core.experiments.compare.sentences import about_search
from tests.modeldiff_core.stages.studies import tiny

NULL: list[dict[str, Any]] = [{"side": "a-b", "index": 0, "significant": False}]


def test_a_search_without_a_direction_says_so_and_one_that_was_left_out_nothing() -> None:
    said = "No transformation was searched for, since no direction is significant."
    assert about_search(tiny(), NULL, [], "A", "B") == [said]
    assert about_search(tiny(search={"directions": 0}), NULL, [], "A", "B") == []


@pytest.mark.parametrize(("count", "put"), [(1, "1 transformation"), (3, "3 transformations")])
def test_a_search_that_confirms_nothing_says_so(count: int, put: str) -> None:
    tested: dict[str, Any] = {"distinguishing": False, "along": [{"side": "a-b", "index": 0}]}
    (said,) = about_search(tiny(), [{**NULL[0], "significant": True}], [tested] * count, "A", "B")
    assert said == (
        f"The search along 1 direction put {put} to the test on images and models that had not chosen them, and "
        "confirmed none."
    )
