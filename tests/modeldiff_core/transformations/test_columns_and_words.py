"""Changes of columns and of words: exactly what is asked for, in proportion to the intensity, of the rows reached."""

from typing import Any

import numpy as np
import pytest

from modeldiff_core.data import Examples
from modeldiff_core.data.kinds import MASK, RESERVED, Column, Table, Tokens
from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations import TRANSFORMATIONS

ROWS = np.random.default_rng(0).normal(size=(40, 2))
TABLE = Table((Column("dose"), Column("leak"), Column("color", ("blue", "red"))))
WORDS = ("a", "b", "c", "zebra")


def table() -> Examples:
    colors = np.arange(40.0) % 2
    values = np.column_stack([ROWS, colors])[:, None, :, None]
    return Examples(values, np.arange(40) % 3, kind=TABLE)


def texts() -> Examples:
    kind = Tokens((*RESERVED, *WORDS))
    ids = np.random.default_rng(1).integers(0, 3, size=(60, 9)) + len(RESERVED)
    ids[:, 7:] = 0
    return Examples(ids[:, None, :, None], np.arange(60) % 2, kind=kind)


def changed(examples: Examples, kind: str, intensity: float = 1.0, **settings: Any) -> np.ndarray:
    """Return the values that a transformation gives, examples by places."""
    made = TRANSFORMATIONS.get(kind)(**settings).on(examples)  # type: ignore[attr-defined]
    before = examples.images.copy()
    out = np.asarray(made(examples.images, intensity))
    assert np.array_equal(before, examples.images), "the examples are left as they are"
    return out[:, 0, :, 0]


def test_a_column_is_set_and_no_other_moves() -> None:
    plain = table().images[:, 0, :, 0]
    out = changed(table(), "set_column", column="leak", value=2.0)
    assert np.array_equal(out[:, 1], np.full(40, 2.0))
    assert np.array_equal(out[:, [0, 2]], plain[:, [0, 2]])
    half = changed(table(), "set_column", 0.5, column="leak", value=2.0)
    assert half[:, 1] == pytest.approx((plain[:, 1] + 2) / 2)
    assert np.array_equal(changed(table(), "set_column", 0.0, column="leak", value=2.0), plain)


def test_a_category_is_set_of_a_part_of_the_rows() -> None:
    plain = table().images[:, 0, 2, 0]
    assert (changed(table(), "set_column", column="color", value="red")[:, 2] == 1).all()
    part = changed(table(), "set_column", 0.5, column="color", value="red")[:, 2]
    assert plain.sum() < part.sum() < 40


def test_a_column_is_shifted() -> None:
    plain = table().images[:, 0, :, 0]
    assert changed(table(), "shift_column", 0.5, column="dose", by=3.0)[:, 0] == pytest.approx(plain[:, 0] + 1.5)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("set_column", {"column": "leek", "value": 1.0}, "one of dose, leak, color"),
        ("set_column", {"column": "color", "value": "green"}, "a category of 'color': blue, red"),
        ("set_column", {"column": "dose", "value": "red"}, "a number, as 'dose' holds"),
        ("shift_column", {"column": "color", "by": 1.0}, "a column of numbers"),
    ],
)
def test_what_a_column_cannot_have_is_refused(kind: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        changed(table(), kind, **settings)
    with pytest.raises(ConfigError):
        changed(texts(), kind, **settings)


def test_a_word_is_inserted_once_and_the_others_keep_their_order() -> None:
    given, kind = texts(), texts().kind
    assert isinstance(kind, Tokens)
    out, zebra = changed(given, "insert_token", token="zebra"), kind.ids["zebra"]
    plain = given.images[:, 0, :, 0]
    for before, after in zip(plain, out, strict=True):
        assert (after == zebra).sum() == 1
        assert [one for one in after if one not in (0, zebra)] == [one for one in before if one]
    part = (changed(given, "insert_token", 0.5, token="zebra") == zebra).any(1)
    assert 0 < part.sum() < 60


def test_a_word_is_replaced_or_masked_wherever_it_stands() -> None:
    given, kind = texts(), texts().kind
    assert isinstance(kind, Tokens)
    plain, a, zebra = given.images[:, 0, :, 0], kind.ids["a"], kind.ids["zebra"]
    out = changed(given, "replace_token", token="a", by="zebra")
    assert (plain == a).any()
    assert np.array_equal(out, np.where(plain == a, zebra, plain))
    assert np.array_equal(changed(given, "mask_tokens", token="a"), np.where(plain == a, kind.ids[MASK], plain))


def test_a_share_of_each_text_is_masked() -> None:
    given, kind = texts(), texts().kind
    assert isinstance(kind, Tokens)
    out = changed(given, "mask_tokens", share=0.5)
    assert ((out == kind.ids[MASK]).sum(1) == round(0.5 * 7)).all()
    assert (out[:, 7:] == 0).all(), "what is no word stays"


def test_a_word_that_is_not_in_the_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigError, match="a token of the vocabulary"):
        changed(texts(), "insert_token", token="giraffe")
