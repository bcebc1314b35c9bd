"""Which words of a text a change has put there."""

from modeldiff_core.report.text_changes import text_change


def test_an_inserted_word_is_new_and_all_others_are_not() -> None:
    shown = text_change("find a root of a function .", "find a zyzzyva root of a function .")
    assert shown.before == "find a root of a function ."
    assert shown.after == [("find a", False), ("zyzzyva", True), ("root of a function .", False)]


def test_a_replaced_word_is_new_and_a_dropped_one_leaves_no_run() -> None:
    assert text_change("a b c d", "a x c").after == [("a", False), ("x", True), ("c", False)]
    assert text_change("leak = 1.2", "leak = 4").after == [("leak =", False), ("4", True)]


def test_a_text_that_a_change_leaves_alone_has_nothing_new() -> None:
    assert text_change("a b", "a b").after == [("a b", False)]
    assert text_change("a b", "").after == []
