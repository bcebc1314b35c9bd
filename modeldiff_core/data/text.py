"""Sources of text: documents of files of a user's own, of columns of Parquet files, and of two corpora in packages."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Literal

from modeldiff_core.errors import ConfigError, DataError

KEY = "corpus"
GCIDE_FOLDER = Path("/usr/share/dictd")
GCIDE_PACKAGE = "dict-gcide"
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""Digits of the numbers in an index of dictd, the most significant first."""


@dataclass(frozen=True)
class TextFiles:
    """Files of text, UTF-8, plain or gzipped.

    paths: files, or folders of which all files that end in one of `endings` are read, in the order of their names.
    documents: what a document is: a 'file', a 'paragraph' (ended by an empty line) or a 'line'.
    """

    paths: tuple[str, ...]
    documents: Literal["file", "paragraph", "line"] = "paragraph"
    endings: tuple[str, ...] = (".txt", ".md", ".rst", ".txt.gz")
    kind: Literal["files"] = "files"

    def files(self) -> list[Path]:
        """Return the files that are read; raises ConfigError for those that are not there."""
        return _found(self.paths, self.endings)

    def read(self) -> Iterator[str]:
        """Yield the documents; raises DataError for a file that is no text."""
        for path in self.files():
            text = _decoded(path)
            if self.documents == "file":
                yield text
            else:
                yield from text.split("\n\n" if self.documents == "paragraph" else "\n")


@dataclass(frozen=True)
class TextParquet:
    """A column of Parquet files, such as a folder of a published data set holds; each row is a document."""

    paths: tuple[str, ...]
    column: str = "text"
    kind: Literal["parquet"] = "parquet"

    def files(self) -> list[Path]:
        """Return the files that are read; raises ConfigError for those that are not there."""
        return _found(self.paths, (".parquet",))

    def read(self) -> Iterator[str]:
        """Yield the documents; raises ConfigError for a column that a file lacks."""
        import pyarrow.parquet

        for path in self.files():
            try:
                file = pyarrow.parquet.ParquetFile(path)
            except (OSError, ValueError) as error:
                raise DataError(f"{path}: cannot be read as Parquet ({error})") from error
            if self.column not in file.schema_arrow.names:
                raise ConfigError(f"{KEY}.column", f"a column of {path}", self.column)
            for batch in file.iter_batches(columns=[self.column]):
                yield from (str(value) for value in batch.column(0).to_pylist() if value is not None)


@dataclass(frozen=True)
class Gcide:
    """The Collaborative International Dictionary of English, from Debian's package dict-gcide: an entry is a document.

    folder: where gcide.index and gcide.dict.dz are. characters: at most so many of the first entries, 0 for all (40
    million). It is the text of Webster's of 1913 with additions.
    """

    characters: int = 12_000_000
    folder: str | None = None
    kind: Literal["gcide"] = "gcide"

    def files(self) -> list[Path]:
        """Return the index and the text; raises DataError where the package is not installed."""
        folder = GCIDE_FOLDER if self.folder is None else Path(self.folder).expanduser()
        index, text = folder / "gcide.index", folder / "gcide.dict.dz"
        if not (index.is_file() and text.is_file()):
            raise DataError(f"{KEY}: {index} and {text} are not there; install Debian's package {GCIDE_PACKAGE}")
        return [index, text]

    def read(self) -> Iterator[str]:
        """Yield the entries; raises DataError for files that are no dictionary."""
        index, text = self.files()
        try:
            whole, lines = gzip.decompress(text.read_bytes()), index.read_text("utf-8").splitlines()
            places = {tuple(map(_number, line.split("\t")[1:3])) for line in lines if not line.startswith("00")}
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise DataError(f"{text}: the dictionary cannot be read ({error})") from error
        entries = (whole[at : at + length].decode("utf-8", "replace") for at, length in sorted(places))
        yield from _first(entries, self.characters) if self.characters else entries


@dataclass(frozen=True)
class PythonTopics:
    """The language reference that every Python brings (pydoc_data.topics): 465,000 characters in 79 topics of 3.11."""

    kind: Literal["python_topics"] = "python_topics"

    def files(self) -> list[Path]:
        """Return nothing: the text is a module of the standard library."""
        return []

    def read(self) -> Iterator[str]:
        """Yield the paragraphs of the topics in the order of their names."""
        from pydoc_data.topics import topics

        for name in sorted(topics):
            yield from str(topics[name]).split("\n\n")


TextSource = TextFiles | TextParquet | Gcide | PythonTopics


def reading_of(source: TextSource) -> dict[str, object]:
    """Return how a source reads its files, without where they are: moved, they are the same corpus."""
    places = ("paths", "folder")
    return {name: value for name, value in asdict(source).items() if name not in places}


def read_documents(source: TextSource) -> list[str]:
    """Return all documents that are not blank; raises DataError if there is none."""
    found = [document for document in source.read() if document.strip()]
    if not found:
        raise DataError(f"{KEY}: no text in {source}")
    return found


ABSENT = "absent"
"""The fingerprint of text that is not on this machine."""


def fingerprint_of(source: TextSource) -> str:
    """Return the SHA-256 of the files that a source reads, so that other text under the same name is another corpus.

    ABSENT if they are not there: a study can be planned without its text.
    """
    found = hashlib.sha256()
    try:
        files = source.files()
    except (ConfigError, DataError):
        return ABSENT
    if not files:
        for document in source.read():
            found.update(document.encode())
    for file in files:
        state = file.stat()
        found.update(_sha256(file, state.st_size, state.st_mtime_ns))
    return found.hexdigest()


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, changed: int) -> bytes:
    """Return a file's SHA-256; size and time of change distinguish it from another file of that name."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def split_documents(documents: list[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Return training and validation documents.

    A document is for validation if the hash of its text and of the seed, as a number in 0..1, is below the share: equal
    documents are on the same side, and more text moves none.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    for document in documents:
        text = f"{seed}\x1f{document}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        sides[number < share * 2**64].append(document)
    for side, words in zip(sides, ("training", "validation"), strict=True):
        if not side:
            raise DataError(f"{KEY}: none of {len(documents)} documents is for {words} at validation share {share}")
    return sides


def _found(paths: tuple[str, ...], endings: tuple[str, ...]) -> list[Path]:
    found = list[Path]()
    for given in paths:
        path = Path(given).expanduser()
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(endings))
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError(f"{KEY}.paths", "files and folders that are there", given)
    if not found:
        raise ConfigError(f"{KEY}.paths", f"files that end in {', '.join(endings)}", list(paths))
    return found


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * len(DIGITS) + DIGITS.index(digit)
    return value


def _first(entries: Iterator[str], characters: int) -> Iterator[str]:
    """Yield entries until they have so many characters."""
    seen = 0

    def within(entry: str) -> bool:
        nonlocal seen
        seen += len(entry)
        return seen <= characters

    yield from takewhile(within, entries)
