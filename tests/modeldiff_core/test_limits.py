"""Limits of settings: the same words with pydantic, without it, and in the schema of a form."""

import pytest

from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.limits import Limit
from modeldiff_core.settings import build_settings, exact_value
from modeldiff_core.study import StudyConfig
from modeldiff_core.training.settings import Recipe
from modeldiff_core.transformations import EffectSettings, SearchSettings


@pytest.mark.parametrize(
    ("limit", "words", "within", "outside"),
    [
        (Limit(least=1), "1 or more", (1, 7), (0, -1)),
        (Limit(above=0), "more than 0", (0.1, 7), (0, -1)),
        (Limit(most=0.5), "at most 0.5", (0.5, -3), (0.6,)),
        (Limit(below=4), "less than 4", (3, -3), (4,)),
        (Limit(least=0, below=1), "a number in [0, 1)", (0, 0.5), (1, -0.1)),
        (Limit(above=0, most=1, what="a probability"), "a probability in (0, 1]", (1, 0.5), (0, 1.1)),
    ],
)
def test_a_limit_in_words_and_in_numbers(
    limit: Limit, words: str, within: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    assert limit.words == words
    assert all(limit.holds(value) for value in within)
    assert not any(limit.holds(value) for value in (*outside, float("nan")))


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected", "key"),
    [
        (Recipe, "epochs", 0, "1 or more", "recipe.epochs"),
        (Recipe, "momentum", 1.0, "a number in [0, 1)", "recipe.momentum"),
        (Recipe, "scale", (1.0, 0.0), "more than 0", "recipe.scale"),
        (EffectSettings, "delta", 0.0, "a change of probability in (0, 1]", "effects.delta"),
        (EffectSettings, "epsilon", 0.3, "0 or more and less than delta (0.1)", "effects.epsilon"),
        (SearchSettings, "directions", -1, "0 or more", "search.directions"),
        (SearchSettings, "confirmed", 30, "1 to candidates (24)", "search.confirmed"),
    ],
)
def test_an_error_is_the_same_with_and_without_pydantic(
    kind: type, name: str, value: object, expected: str, key: str
) -> None:
    with pytest.raises(ConfigError) as direct:
        kind(**{name: value})
    with pytest.raises(ConfigError) as validated:
        build_settings(kind, {name: value}, key.split(".")[0])
    for error in (direct.value, validated.value):
        assert (error.key, error.expected, error.got) == (key, expected, value)


def test_a_form_shows_the_limits() -> None:
    found = StudyConfig.model_json_schema()["$defs"]
    assert found["SearchSettings"]["properties"]["share"].items() >= {"exclusiveMinimum": 0, "maximum": 0.5}.items()
    assert found["EffectSettings"]["properties"]["max_images"]["minimum"] == 2


def test_exact_values_are_of_their_type() -> None:
    assert exact_value(tuple[tuple[int, ...], ...], [[1, 2], [3]], "k") == ((1, 2), (3,))
    assert exact_value(float, 2, "k") == 2.0
    numbers = [(int, "2", "int"), (int, True, "int"), (float, float("inf"), "float")]
    for annotation, value, said in [*numbers, (tuple[int, ...], [1.5], "tuple"), (Check, 3, "Check")]:
        with pytest.raises(ConfigError, match=said) as caught:
            exact_value(annotation, value, "k.x")
        assert (caught.value.key, caught.value.got) == ("k.x", value)
    check = Check("k")
    assert exact_value(Check, check, "k") is check
