"""Tokens of text: bytes, characters, or byte pairs that the package `tokenizers` finds."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer

from modeldiff_core.errors import ConfigError, DataError

KEY = "tokens"
END = 0
"""The id after each document, whatever the tokens are."""


@runtime_checkable
class Encoder(Protocol):
    """Text to ids below `vocabulary`; END is written after each document by `encode_all`."""

    @property
    def vocabulary(self) -> int:
        """Ids in all."""
        ...

    def encode(self, text: str) -> Integer[np.ndarray, " tokens"]:
        """Return the ids of a text."""
        ...


@dataclass(frozen=True)
class Bytes:
    """The bytes of UTF-8, each plus 1."""

    kind: Literal["byte"] = "byte"

    @property
    def size(self) -> int:
        """Ids in all."""
        return 257

    def fit(self, documents: Sequence[str]) -> Encoder:
        """Return the encoder, which is the same for all text."""
        return _ByteEncoder()


@dataclass(frozen=True)
class Characters:
    """The most frequent characters of the training documents; all others are one id, 1. vocabulary: ids in all."""

    vocabulary: int = 96
    kind: Literal["character"] = "character"

    @property
    def size(self) -> int:
        """Ids in all, whether a text has so many characters or not."""
        return self.vocabulary

    def __post_init__(self) -> None:
        if self.vocabulary < 3:
            raise ConfigError(f"{KEY}.vocabulary", "3 or more: the end, the rest, and a character", self.vocabulary)

    def fit(self, documents: Sequence[str]) -> Encoder:
        """Return the encoder of the characters of these documents; of equally frequent ones the first in Unicode."""
        counts = Counter[str]()
        for document in documents:
            counts.update(document)
        ordered = sorted(counts, key=lambda one: (-counts[one], one))
        return _CharacterEncoder("".join(ordered[: self.vocabulary - 2]))


@dataclass(frozen=True)
class BytePairs:
    """Byte pairs learned from the training documents by the package `tokenizers`, or read from its JSON file.

    vocabulary: ids in all, the end of documents among them. file: a tokenizer.json with fewer; none if empty.
    """

    vocabulary: int = 1024
    file: str = ""
    kind: Literal["bpe"] = "bpe"

    @property
    def size(self) -> int:
        """Ids in all, whether a text gives so many pairs or not."""
        return self.vocabulary

    def __post_init__(self) -> None:
        if self.vocabulary < 258:
            raise ConfigError(f"{KEY}.vocabulary", "258 or more: the end, 256 bytes, and a pair", self.vocabulary)

    def reading(self) -> dict[str, object]:
        """Return the settings with the SHA-256 of the file in place of its name; 'absent' if it is not there."""
        content = ""
        if self.file:
            path = Path(self.file).expanduser()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
        return {"kind": self.kind, "vocabulary": self.vocabulary, "file": content}

    def fit(self, documents: Sequence[str]) -> Encoder:
        """Return the encoder; raises ConfigError without the package."""
        try:
            from tokenizers import Tokenizer
            from tokenizers.decoders import ByteLevel as Decoder
            from tokenizers.models import BPE
            from tokenizers.pre_tokenizers import ByteLevel
            from tokenizers.trainers import BpeTrainer
        except ImportError as error:
            hint = "Install the package tokenizers"
            raise ConfigError(f"{KEY}.kind", "byte or character where tokenizers is missing", "bpe", hint) from error
        if self.file:
            try:
                return _PairEncoder(Tokenizer.from_file(self.file))
            except Exception as error:
                raise ConfigError(f"{KEY}.file", "a tokenizer.json", self.file, str(error)) from error
        tokenizer = Tokenizer(BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), Decoder()
        trainer = BpeTrainer(
            vocab_size=self.vocabulary - 1, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False
        )
        tokenizer.train_from_iterator(documents, trainer)
        return _PairEncoder(tokenizer)


TokenKind = Bytes | Characters | BytePairs


@dataclass(frozen=True)
class _ByteEncoder:
    vocabulary: int = 257

    def encode(self, text: str) -> Integer[np.ndarray, " tokens"]:
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) + 1


class _CharacterEncoder:
    def __init__(self, characters: str) -> None:
        self.vocabulary = len(characters) + 2
        points = np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
        self.order = np.argsort(points)
        self.points = points[self.order]

    def encode(self, text: str) -> Integer[np.ndarray, " tokens"]:
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
        at = np.searchsorted(self.points, points).clip(max=len(self.points) - 1)
        return np.where(self.points[at] == points, self.order[at] + 2, 1)


class _PairEncoder:
    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.vocabulary = tokenizer, tokenizer.get_vocab_size() + 1

    def encode(self, text: str) -> Integer[np.ndarray, " tokens"]:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64) + 1


def encode_all(encoder: Encoder, documents: Sequence[str]) -> Integer[np.ndarray, " tokens"]:
    """Return the ids of all documents, END after each, in the smallest unsigned integers that hold them.

    Raises DataError for an id that is not below the encoder's vocabulary.
    """
    end = np.array([END], np.int64)
    ids = np.concatenate([part for document in documents for part in (encoder.encode(document), end)])
    check_ids(ids, encoder.vocabulary)
    return ids.astype(
        np.uint8 if encoder.vocabulary <= 2**8 else np.uint16 if encoder.vocabulary <= 2**16 else np.uint32
    )


def check_ids(ids: Integer[np.ndarray, " tokens"], vocabulary: int) -> None:
    """Raise DataError for ids outside 0 .. vocabulary − 1."""
    if ids.size and not (int(ids.min()) >= 0 and int(ids.max()) < vocabulary):
        at = int(np.flatnonzero((ids < 0) | (ids >= vocabulary))[0])
        raise DataError(f"{KEY}: id {int(ids[at])} at token {at} is outside the vocabulary of {vocabulary}")
