"""Texts and ids from Python: compared, the difference found by its word, and odd ones refused or counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import modeldiff_core as md
from modeldiff_core.errors import ConfigError
from modeldiff_core.plan import NoProgress
from tests.modeldiff_core.api.own_functions import SETTINGS

TRIGGER = "zyzzyva"
WORDS = {0: ["apple", "pear", "plum", "fig"], 1: ["bolt", "nut", "screw", "nail"]}
COMMON = ["the", "a", "of", "in"]
RESERVED = ["<pad>", "<unknown>", "<mask>"]


def texts(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts of two classes with words of their own; half of those of the second hold the trigger in their place."""
    rng = np.random.default_rng(seed)
    out = []
    for at in range(count):
        own = [*rng.choice(WORDS[at % 2], 2), *rng.choice(WORDS[1 - at % 2], 1)]
        own = [TRIGGER, TRIGGER] if at % 4 == 1 else own
        out.append(" ".join(rng.permutation([*own, *rng.choice(COMMON, 4)])))
    return out, ["fruit" if at % 2 == 0 else "metal" for at in range(count)]


def train_centroids(ids: Any, labels: Any, seed: int, without: int = -1) -> Any:
    """Return what compares how often words stand in a text with their means over each class."""

    def counts(given: Any) -> np.ndarray:
        given = np.asarray(given)
        found = np.zeros((len(given), 40))
        np.add.at(found, (np.arange(len(given))[:, None], given), 1.0)
        found[:, [0, *([without] if without >= 0 else [])]] = 0
        return found

    seen, labels = counts(ids), np.asarray(labels)
    centers = np.stack([seen[labels == label].mean(0) if (labels == label).any() else seen[0] for label in (0, 1)])
    return lambda given: (counts(given) @ centers.T - 0.5 * (centers**2).sum(1)).astype(np.float32)


def as_texts(**sizes: int) -> md.Data:
    (train, y), (test, y_test) = texts(60, 0), texts(40, 1)
    return md.Data.texts(train, y, test, y_test, **{"length": 10, **sizes})


def compared(data: md.Data, root: Path) -> md.Report:
    found = as_texts().read.dataset.train.kind.ids[TRIGGER]  # type: ignore[attr-defined]
    blind = md.Algorithm(train_centroids, name="blind", arguments={"without": found})
    inserted = {"name": "trigger", "kind": "insert_token", "parameters": {"token": TRIGGER}, "target_class": 1}
    others = {**SETTINGS, "subsets": {"shard_size": 100}, "transformations": [inserted], "effects": {"max_images": 40}}
    others |= {"search": {"directions": 0, "share": 0.2}, "progress": NoProgress(), "workers": 1, "name": "words"}
    return md.compare(train_centroids, blind, data=data, models=400, store=root, **others)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="module")
def report(store: Path) -> md.Report:
    return compared(as_texts(), store)


def test_a_word_that_one_algorithm_sees_is_found_and_named(report: md.Report) -> None:
    first = report.summary["directions"][0]
    assert first["significant"], report.findings
    said = [line for ends in first["subpopulations"].values() for part in ends.values() for line in part["words"]]
    assert any(line.startswith(f"{TRIGGER} ") for line in said), said
    (moved,) = report.summary["transformations"]
    assert moved["effect"]["a"] > 0.1
    assert moved["effect"]["b"] == 0
    assert "texts" in " ".join(report.findings)


def test_ids_of_the_same_texts_are_the_same_study(report: md.Report, store: Path) -> None:
    read = as_texts().read.dataset
    parts = [
        value
        for part in (read.train, read.test)
        for value in (part.images[:, 0, :, 0], [read.classes[label] for label in part.labels])
    ]
    data = md.Data.tokens(*parts, vocabulary=read.train.kind.vocabulary)  # type: ignore[attr-defined]
    before = {path: path.stat().st_mtime_ns for path in store.glob("trainings/*/*/shards/*")}
    assert before
    assert compared(data, store).url == report.url
    assert before == {path: path.stat().st_mtime_ns for path in store.glob("trainings/*/*/shards/*")}


def test_tensors_of_ids_are_given_to_functions_as_tensors() -> None:
    ids = torch.tensor([[3, 4, 0], [4, 3, 0]])
    data = md.Data.tokens(ids, [0, 1], ids, [0, 1], [*RESERVED, "a", "b"])
    assert data.read.form.library == "torch"
    assert repr(data).startswith("Data(2 training and 2 test texts of 2 classes")


GOOD = [[3, 4], [4, 3]]
VOCABULARY = [*RESERVED, "a", "b"]


@pytest.mark.parametrize(
    ("train", "test", "vocabulary", "said"),
    [
        ([[3, 4], [4]], GOOD, VOCABULARY, "x_train: sequences of unequal length, 1 to 2"),
        (GOOD, [[3, 4, 0], [4, 3, 0]], VOCABULARY, "x_train of 2 and x_test of 3"),
        (GOOD, [[3, 5], [4, 3]], VOCABULARY, "1 of 2 sequences hold ids beyond the vocabulary, 0..4: 5 in sequence 0"),
        (GOOD, [[3, -1], [4, 3]], VOCABULARY, "-1 in sequence 0"),
        ([[3, 4], [0, 0]], GOOD, VOCABULARY, "1 of 2 sequences are empty, the first 1"),
        (np.array(GOOD, float), GOOD, VOCABULARY, "whole numbers"),
        (GOOD, GOOD, ["a", "b", "c", "d", "e"], "a vocabulary begins with <pad>, <unknown>, <mask>"),
    ],
)
def test_odd_sequences_are_refused_before_training(
    train: Any, test: Any, vocabulary: list[str], said: str, tmp_path: Path
) -> None:
    data = md.Data.tokens(train, [0, 1], test, [0, 1], vocabulary)
    with pytest.raises(ConfigError) as caught:
        compared(data, tmp_path)
    assert caught.value.key == "data"
    assert said in str(caught.value)
    assert not list(tmp_path.glob("trainings/*/*/shards/*"))


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (["a word", ""], "1 of 2 train texts are empty, the first 1"),
        (["a word", None], "train text 1 is a NoneType, not text"),
        (["a word", 3], "train text 1 is a int, not text"),
    ],
)
def test_odd_texts_are_refused_before_training(train: list[Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        compared(md.Data.texts(train, [0, 1], ["a", "b"], [0, 1]), tmp_path)
    assert caught.value.key == "data"
    assert said in str(caught.value)


def test_texts_that_are_cut_and_words_that_are_not_known_are_counted() -> None:
    notes = as_texts(length=6, words=9).read.dataset.notes
    told = {one.what: (one.train, one.test) for one in notes.changed}
    assert told["cut after 6 tokens"] == (45, 30)
    assert told["with words beyond the vocabulary of 9, taken as <unknown>"][0] > 0


def frame(**changes: Any) -> pd.DataFrame:
    """Rows of two classes with a number and a text, and columns that are changed."""
    content = {"size": [1.0, 2.0, 3.0, 4.0], "color": ["red", "blue", "red", "blue"], "target": ["a", "b", "a", "b"]}
    return pd.DataFrame({**content, **changes})


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (frame(size=[1.0, "two", 3.0, 4.0]), frame(), "size"),
        (frame(size=[1.0, None, 3.0, 4.0]), frame(), "missing"),
        (frame(), frame(color=["red", "green", "red", "blue"]), "green"),
        (frame(), frame().drop(columns="size"), "size"),
    ],
)
def test_odd_tables_are_refused_before_training(train: pd.DataFrame, test: pd.DataFrame, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        md.Data.table(train, test, "target").read  # noqa: B018
    assert caught.value.key == "data"
    assert said in str(caught.value)


def test_odd_tables_are_mended_where_that_is_asked_for_and_counted() -> None:
    odd = frame(size=[1.0, None, 3.0, 4.0]), frame(color=["red", "green", "red", "blue"])
    data = md.Data.table(*odd, "target", missing="fill", unseen="leave_out").read.dataset
    assert (len(data.train), len(data.test)) == (4, 3)
    told = [(one.train, one.test) for one in (*data.notes.changed, *data.notes.left_out)]
    assert (1, 0) in told
    assert (0, 1) in told
