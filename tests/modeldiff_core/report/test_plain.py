"""What the page says of the cost of training, beside the plain differences."""

import math
from dataclasses import replace

from modeldiff_core.report.plain import plain_view
from tests.modeldiff_core.report.comparisons import comparison


def said(a: float, b: float) -> str:
    facts = comparison()
    view = plain_view(replace(facts, a=replace(facts.a, flops=a), b=replace(facts.b, flops=b)))
    assert view is not None
    return view.cost


def test_cost_is_told_of_both_with_their_ratio_and_without_a_test() -> None:
    assert said(3e9, 1.5e9) == (
        "Training on all data takes 3 billion floating-point operations for a model of A and 1.5 billion "
        "floating-point operations for a model of B (2.00 times as much for A), counted from network and recipe: no "
        "test, since nothing varies."
    )
    assert "2.5 trillion" in said(2.5e12, 2e6)
    assert "2 million" in said(2.5e12, 2e6)
    assert "1e+03 quintillion" in said(1e21, 1e21)


def test_what_was_not_counted_is_told_or_left_out() -> None:
    assert said(math.nan, math.nan) == ""
    one = said(math.nan, 1e9)
    assert "a number of operations that was not counted for a model of A and 1 billion" in one
    assert "times as much" not in one
