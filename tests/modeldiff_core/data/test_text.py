"""Text: documents from files and packages, tokens, and streams whose batches depend on seed and step alone."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from modeldiff_core.data.text import (
    ABSENT,
    GCIDE_FOLDER,
    Gcide,
    PythonTopics,
    TextFiles,
    TextParquet,
    fingerprint_of,
    read_documents,
    reading_of,
    split_documents,
)
from modeldiff_core.data.text_stream import TokenStream, even_windows, mapped
from modeldiff_core.data.text_tokens import END, BytePairs, Bytes, Characters, check_ids, encode_all
from modeldiff_core.errors import ConfigError, DataError

DOCUMENTS = ["the cat sat", "on the mat", "größer als die Maus", "the end"]


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("third\n\nfourth")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"first\n\nsecond\n\n \n"))
    (tmp_path / "ignored.bin").write_bytes(b"\xff")
    assert read_documents(TextFiles((str(tmp_path),))) == ["first", "second", "third", "fourth"]
    assert len(read_documents(TextFiles((str(tmp_path),), "file"))) == 2
    assert read_documents(TextFiles((str(tmp_path / "b.txt"),), "line")) == ["third", "fourth"]


def test_a_column_of_parquet_files_is_read(tmp_path: Path) -> None:
    table = pyarrow.table({"text": [*DOCUMENTS, None], "other": range(5)})
    pyarrow.parquet.write_table(table, tmp_path / "part.parquet")
    assert read_documents(TextParquet((str(tmp_path),))) == DOCUMENTS
    with pytest.raises(ConfigError, match=r"corpus.column: expected a column of .*part.parquet, got 'body'"):
        read_documents(TextParquet((str(tmp_path),), "body"))


def test_the_language_reference_is_text() -> None:
    documents = read_documents(PythonTopics())
    assert len(documents) > 1000
    assert sum(map(len, documents)) > 300_000
    assert any("exception" in document for document in documents)


@pytest.mark.skipif(not GCIDE_FOLDER.is_dir(), reason="Debian's package dict-gcide is not installed")
def test_the_dictionary_is_read_by_its_entries() -> None:
    documents = read_documents(Gcide(characters=200_000))
    assert 150_000 < sum(map(len, documents)) <= 200_000
    assert any(document.startswith("Aback") for document in documents)


def test_the_format_of_a_dictionary(tmp_path: Path) -> None:
    entries = [b"Ant\n  An insect.\n", b"Bee\n  Another insect.\n"]
    (tmp_path / "gcide.dict.dz").write_bytes(gzip.compress(b"".join(entries)))
    (tmp_path / "gcide.index").write_text("00-database-short\tA\tB\nant\tA\tR\nbee\tR\tW\nthe bee\tR\tW\n")
    assert read_documents(Gcide(folder=str(tmp_path))) == [entry.decode() for entry in entries]
    with pytest.raises(DataError, match="install Debian's package dict-gcide"):
        read_documents(Gcide(folder=str(tmp_path / "none")))


def test_a_fingerprint_is_of_content_wherever_it_lies(tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(text)
    a, b, c = (TextFiles((str(tmp_path / name),)) for name in "abc")
    assert fingerprint_of(a) == fingerprint_of(b) != fingerprint_of(c)
    assert reading_of(a) == reading_of(b)
    assert fingerprint_of(TextFiles((str(tmp_path / "none"),))) == ABSENT
    assert fingerprint_of(PythonTopics()) == fingerprint_of(PythonTopics()) != ABSENT


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no text in"), (b" \n\n \n", "no text in"), (b"caf\xe9 noir", r"x.txt: not UTF-8 text \(byte 3\)")],
)
def test_what_is_no_text_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_documents(TextFiles((str(tmp_path / "x.txt"),)))
    with pytest.raises(ConfigError, match="corpus.paths: expected files and folders that are there"):
        read_documents(TextFiles((str(tmp_path / "none"),)))


def test_a_split_is_by_the_text_of_documents() -> None:
    documents = [f"document {number}" for number in range(1000)]
    train, validation = split_documents(documents, 0.2, 0)
    assert sorted(train + validation) == sorted(documents)
    assert 150 < len(validation) < 250
    more = split_documents([*documents, *documents[:50], "another"], 0.2, 0)
    assert set(more[1]) - {"another"} == set(validation)
    assert set(split_documents(documents, 0.2, 1)[1]) != set(validation)
    with pytest.raises(DataError, match="none of 1 documents is for"):
        split_documents(["alone"], 0.5, 0)


def test_characters_that_are_not_the_most_frequent_are_one_id() -> None:
    encoder = Characters(6).fit(["aaabbbccd"])
    assert encoder.vocabulary == 6
    assert encoder.encode("abcdxyz").tolist() == [2, 3, 4, 5, 1, 1, 1]
    few = Characters(96).fit(DOCUMENTS)
    assert few.vocabulary < 96
    assert few.encode("the").max() < few.vocabulary
    assert few.encode("日").tolist() == [1]


def test_bytes_are_all_text() -> None:
    ids = encode_all(Bytes().fit(()), ["ö", ""])
    assert ids.tolist() == [0xC3 + 1, 0xB6 + 1, END, END]
    assert ids.dtype == np.uint16
    assert Bytes().size == 257


def test_byte_pairs_are_learned_and_read_again(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    text = ["the cat and the dog and the mat " * 20]
    encoder = BytePairs(300).fit(text)
    ids = encoder.encode("the cat and größe")
    assert encoder.vocabulary <= 300
    assert len(ids) < len("the cat and größe")
    assert ids.min() > 0
    assert ids.max() < encoder.vocabulary
    encoder.tokenizer.save(str(tmp_path / "t.json"))  # type: ignore[attr-defined]
    again = BytePairs(300, str(tmp_path / "t.json")).fit(())
    assert again.encode("the cat and größe").tolist() == ids.tolist()
    with pytest.raises(ConfigError, match="tokens.file: expected a tokenizer.json"):
        BytePairs(300, str(tmp_path / "none.json")).fit(())


def test_ids_beyond_the_vocabulary_are_refused() -> None:
    check_ids(np.array([0, 5]), 6)
    with pytest.raises(DataError, match="id 6 at token 1 is outside the vocabulary of 6"):
        check_ids(np.array([0, 6]), 6)
    with pytest.raises(ConfigError, match="tokens.vocabulary: expected 258 or more"):
        BytePairs(100)


def test_a_pass_has_every_window_once_in_an_order_of_its_own() -> None:
    stream = TokenStream(np.arange(1000), 9, seed=3)
    passes = [stream.batch(step, stream.windows) for step in range(3)]
    for rows in passes:
        assert (np.diff(rows, axis=1) == 1).all()
        assert len(np.unique(rows[:, 0])) == stream.windows
        assert len(np.unique(rows[:, 0] % 9)) == 1
    assert not np.array_equal(passes[0], passes[1])
    parts = np.concatenate([TokenStream(np.arange(1000), 9, 3).batch(step, 7) for step in range(60)])
    whole = np.concatenate([stream.batch(step, 42) for step in range(10)])
    assert np.array_equal(parts, whole)
    assert not np.array_equal(stream.batch(0, 7), TokenStream(np.arange(1000), 9, 4).batch(0, 7))


def test_text_shorter_than_the_context_is_refused() -> None:
    with pytest.raises(DataError, match="20 tokens are too few for a context of 10: 21 are needed"):
        TokenStream(np.arange(20), 10, 0)
    with pytest.raises(DataError, match="10 validation tokens are too few for a context of 10"):
        even_windows(np.arange(10), 10, 4)


def test_validation_windows_do_not_overlap() -> None:
    rows = even_windows(np.arange(1000), 10, 8)
    assert rows.shape == (8, 11)
    assert len(np.unique(rows[:, :-1])) == 80
    assert even_windows(np.arange(35), 10, 8).shape == (3, 11)


def test_a_mapped_array_is_written_once_and_not_read_into_memory(tmp_path: Path) -> None:
    calls = []

    def read() -> np.ndarray:
        calls.append(1)
        return np.arange(50)

    first, second = mapped(tmp_path, "ids", read), mapped(tmp_path, "ids", read)
    assert isinstance(first, np.memmap)
    assert np.array_equal(first, second)
    assert len(calls) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ids.npy"]
    assert TokenStream(first, 5, 0).batch(0, 2).shape == (2, 6)
