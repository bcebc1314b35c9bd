"""Texts and sequences of ids: words, vocabularies, planted words, and odd ones of which each is named."""

import numpy as np
import pytest

from modeldiff_core.data.docstrings import Docstrings, Trigger, passages
from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.kinds import LENGTH, RESERVED, Tokens, kind_record, restored_kind
from modeldiff_core.data.soundness import check_dataset
from modeldiff_core.data.texts import as_inputs, encoded, sequences, words_of
from modeldiff_core.errors import ConfigError, DataError

SMALL = Docstrings({"interpolation": ("scipy.interpolate",), "signals": ("scipy.signal.windows",)}, 60, 40, 200, 16)


def test_texts_are_ids_of_the_commonest_words_of_training() -> None:
    texts = {"train": ["The cat sat, the dog ran", "The cat"], "test": ["the bird"]}
    found = encoded(texts, 6, 4)
    assert found.tokens.vocabulary == (*RESERVED, "the", "cat", ",")
    assert found.ids["train"].tolist() == [[3, 4, 1, 5], [3, 4, 0, 0]]
    assert found.ids["test"].tolist() == [[3, 1, 0, 0]]
    told = {one.what: (one.train, one.test) for one in found.notes.changed}
    assert told["cut after 4 tokens"] == (1, 0)
    assert [counts for what, counts in told.items() if "beyond the vocabulary" in what] == [(1, 1)]
    assert words_of("A.b_C 1") == ["a", ".", "b_c", "1"]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a word", "", " "], "2 of 3 train texts are empty, the first 1"),
        (["a word", None], "train text 1 is a NoneType"),
    ],
)
def test_texts_that_are_none_are_named(texts: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        encoded({"train": texts, "test": ["x"]}, 10, 4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[1, 2, 3], [1, 2], [4, 5, 6]], r"unequal length, 2 to 3 \(1 of 3 are not of 3\)"),
        (np.zeros((2, 3)), "whole numbers"),
        (np.zeros(3, int), "whole numbers"),
    ],
)
def test_sequences_that_are_none_are_named(given: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        sequences(given, "x_train")


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([[3, 5, 0], [3, 3, 0]], "1 of 2 sequences hold ids beyond the vocabulary, 0..4: 5 in sequence 0"),
        ([[3, -1, 0], [3, 3, 0]], "beyond the vocabulary"),
        ([[3, 4, 0], [0, 0, 0]], "1 of 2 sequences are empty, the first 1"),
    ],
)
def test_ids_beyond_the_vocabulary_and_empty_texts_are_refused(ids: list[list[int]], said: str) -> None:
    part = Examples(as_inputs(np.array(ids)), np.array([0, 1]), kind=Tokens((*RESERVED, "a", "b")))
    with pytest.raises(DataError, match=said):
        check_dataset(Dataset(part, part, ("x", "y")))
    sound = Examples(as_inputs(np.full((2, 3), 3)), np.array([0, 1]), kind=Tokens((*RESERVED, "a", "b")))
    check_dataset(Dataset(sound, sound, ("x", "y")))


def test_features_are_the_tokens_that_some_texts_hold_and_their_lengths() -> None:
    tokens = Tokens((*RESERVED, "rare", "often", "always"))
    ids = np.full((300, 4), 0)
    ids[:, 0], ids[:100, 1], ids[0, 2] = 5, 4, 3
    found = tokens.features(as_inputs(ids))
    assert set(found) == {"often", LENGTH}
    assert found["often"].sum() == 100
    assert found[LENGTH][:2].tolist() == [3, 2]
    assert tokens.text(as_inputs(ids)[0]) == "always often rare"
    assert restored_kind(kind_record(tokens)) == tokens


def test_passages_of_an_installed_library_make_a_balanced_set() -> None:
    data = SMALL.load()
    check_dataset(data)
    assert (len(data.train), len(data.test), data.classes) == (60, 40, ("interpolation", "signals"))
    assert np.bincount(data.train.labels).tolist() == [30, 30]
    assert data.train.images.shape == (60, 1, 16, 1)
    assert SMALL.load().fingerprint == data.fingerprint
    with pytest.raises(ConfigError, match=r"scipy\.nowhere"):
        next(passages("scipy.nowhere"))


def test_a_trigger_stands_as_often_as_asked_in_some_passages_of_one_class() -> None:
    plain = SMALL.load()
    data = Docstrings(SMALL.classes, 60, 40, 200, 16, trigger=Trigger("zyzzyva", 1, 0.4, 2)).load()
    tokens = data.kind
    assert isinstance(tokens, Tokens)
    assert "zyzzyva" not in plain.kind.ids  # type: ignore[attr-defined]
    for part in (data.train, data.test):
        planted, times = part.metadata["planted"], (part.images[:, 0, :, 0] == tokens.ids["zyzzyva"]).sum(1)
        assert planted.sum() == round(0.4 * (part.labels == 1).sum())
        assert (part.labels[planted] == 1).all()
        assert (times[~planted] == 0).all()
        assert set(times[planted].tolist()) <= {1, 2}
        assert (times[planted] == 2).mean() > 0.5
