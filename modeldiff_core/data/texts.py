"""Texts as sequences of ids over a vocabulary that the training texts have."""

import re
from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from modeldiff_core.data.kinds import RESERVED, UNKNOWN, Tokens
from modeldiff_core.data.notes import PARTS, Counter, Notes, Part
from modeldiff_core.errors import DataError

WORD = re.compile(r"\w+|[^\w\s]")
"""What a text is cut into: words, numbers, single marks."""

Ids = Int[np.ndarray, "texts length"]


@dataclass(frozen=True)
class Encoded:
    """Ids of the texts of each part, their vocabulary, and what was done."""

    ids: dict[Part, Ids]
    tokens: Tokens
    notes: Notes


def words_of(text: str) -> list[str]:
    """Return a text in small letters, cut into words and marks."""
    return WORD.findall(text.lower())


def encoded(
    texts: Mapping[Part, Sequence[object]], words: int, length: int, source: str = "data", first: Sequence[str] = ()
) -> Encoded:
    """Return texts as ids: the commonest words of the training texts have one each, all others that of UNKNOWN.

    Texts are cut after `length` tokens and filled up to it; how many were cut, and how many hold unknown words, is
    counted. first: words that come before all others in the vocabulary, whatever they are in the texts.

    Raises:
        DataError: For something that is no text, and for texts without a word, with the first of them.
    """
    cut: dict[Part, list[list[str]]] = {}
    for part in PARTS:
        cut[part] = []
        for at, text in enumerate(texts[part]):
            if not isinstance(text, str):
                raise DataError(f"{source}: {part} text {at} is a {type(text).__name__}, not text")
            cut[part].append(words_of(text))
        empty = [at for at, found in enumerate(cut[part]) if not found]
        if empty:
            raise DataError(
                f"{source}: {len(empty):,} of {len(cut[part]):,} {part} texts are empty, the first {empty[0]}: "
                "take them out"
            )
    counts = Counts(word for found in cut["train"] for word in found)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = list(dict.fromkeys((*RESERVED, *first, *ranked)))[:words]
    tokens, counter = Tokens(tuple(vocabulary)), Counter()
    out: dict[Part, Ids] = {}
    for part in PARTS:
        ids = np.zeros((len(cut[part]), length), np.int64)
        for at, found in enumerate(cut[part]):
            own = [tokens.ids.get(word, tokens.ids[UNKNOWN]) for word in found[:length]]
            ids[at, : len(own)] = own
        out[part] = ids
        counter.add(f"cut after {length} tokens", part, count=sum(len(found) > length for found in cut[part]))
        unknown = int((ids == tokens.ids[UNKNOWN]).any(axis=1).sum())
        counter.add(f"with words beyond the vocabulary of {len(vocabulary):,}, taken as {UNKNOWN}", part, count=unknown)
    changed = tuple(one for one in counter.tallies() if one.count)
    return Encoded(out, tokens, Notes(changed))


def as_inputs(ids: Ids) -> Int[np.ndarray, "texts 1 length 1"]:
    """Return sequences in the axes that all examples have."""
    return np.ascontiguousarray(ids.astype(np.int64)[:, None, :, None])


def sequences(given: object, name: str) -> Ids:
    """Return ids that were given as an array or as lists; raises DataError for sequences of unequal length."""
    if isinstance(given, list | tuple):
        lengths = sorted({len(one) for one in given})
        if len(lengths) > 1:
            counts = Counts(len(one) for one in given)
            usual = counts.most_common(1)[0][0]
            raise DataError(
                f"{name}: sequences of unequal length, {lengths[0]} to {lengths[-1]} "
                f"({len(given) - counts[usual]:,} of {len(given):,} are not of {usual}): "
                f"fill them up with 0, {RESERVED[0]}, to one length"
            )
    array = np.asarray(given)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise DataError(
            f"{name}: sequences of ids are whole numbers [texts, length], got {array.dtype} of {array.shape}"
        )
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{name}: ids beyond the vocabulary")
    return array.astype(np.int64)
