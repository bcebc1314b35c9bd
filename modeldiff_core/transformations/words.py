"""Transformations of sequences of tokens: one inserted, one put in the place of another, one or all masked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Int

from modeldiff_core.data import Examples
from modeldiff_core.data.kinds import MASK, Inputs, Tokens
from modeldiff_core.errors import ConfigError, meant
from modeldiff_core.limits import Limit
from modeldiff_core.transformations.pixels import AnyShape, require
from modeldiff_core.transformations.shares import places, reached

Ids = Int[np.ndarray, "texts length"]


@dataclass(frozen=True)
class OfTokens(AnyShape):
    """A change of sequences of ids, whose vocabulary is known."""

    change: Callable[[Ids, float], Ids]
    takes: ClassVar[tuple[str, ...]] = (Tokens.name,)

    def __call__(self, images: Inputs, intensity: float) -> Inputs:
        return self.change(images[:, 0, :, 0], intensity)[:, None, :, None]


class _OfWords(AnyShape):
    """A change of words, whose ids are found once the vocabulary is known."""

    takes: ClassVar[tuple[str, ...]] = (Tokens.name,)

    def __call__(self, images: Inputs, intensity: float) -> Inputs:
        raise ConfigError("transformations", "texts, whose vocabulary is known", None)


def id_of(examples: Examples, word: str, field: str) -> int:
    """Return the id of a word; raises ConfigError for one that the vocabulary has not."""
    tokens = examples.kind
    require(isinstance(tokens, Tokens), field, "texts", examples.kind.name)
    assert isinstance(tokens, Tokens)
    if word not in tokens.ids:
        hint = meant(word, tokens.vocabulary)
        raise ConfigError(f"transformations.{field}", "a token of the vocabulary", word, hint)
    return tokens.ids[word]


@dataclass(frozen=True)
class InsertToken(_OfWords):
    """Inserts a token at a place within each text that depends on the text alone; what falls off the end is lost.

    token: the word. At an intensity below 1 a part of the texts is changed.
    """

    token: str

    def on(self, examples: Examples) -> OfTokens:
        """Return the change of these texts; raises ConfigError for a word that is not in the vocabulary."""
        token = id_of(examples, self.token, "token")
        return OfTokens(lambda ids, t: inserted(ids, token, t))


def inserted(ids: Ids, token: int, intensity: float = 1.0) -> Ids:
    """Return texts with a token inserted within the words of each that an intensity reaches."""
    given = ids[:, None, :, None]
    chosen, spot, lengths = reached(given, intensity), places(given[:, :, ::-1]), (ids != 0).sum(axis=1)
    out = ids.copy()
    for at in np.flatnonzero(chosen):
        place = min(int(spot[at] * (lengths[at] + 1)), ids.shape[1] - 1)
        out[at, place + 1 :] = ids[at, place:-1]
        out[at, place] = token
    return out


@dataclass(frozen=True)
class ReplaceToken(_OfWords):
    """Puts one token in the place of another, wherever it occurs; of a part of the texts at an intensity below 1."""

    token: str
    by: str

    def on(self, examples: Examples) -> OfTokens:
        """Return the change of these texts; raises ConfigError for words that are not in the vocabulary."""
        token, by = id_of(examples, self.token, "token"), id_of(examples, self.by, "by")
        return OfTokens(lambda ids, t: np.where((ids == token) & reached(ids[:, None, :, None], t)[:, None], by, ids))


@dataclass(frozen=True)
class MaskTokens(_OfWords):
    """Masks a token wherever it occurs, or, with an empty `token`, a share of all tokens.

    share: of the tokens of a text, from its first place on that depends on the text, in a row; intensity·share of it.
    """

    token: str = ""
    share: Annotated[float, Limit(above=0, most=1)] = 0.5

    def on(self, examples: Examples) -> OfTokens:
        """Return the change of these texts; raises ConfigError for a word that is not in the vocabulary."""
        mask = id_of(examples, MASK, "token")
        if self.token:
            return ReplaceToken(self.token, MASK).on(examples)
        return OfTokens(lambda ids, t: masked(ids, mask, self.share * t))


def masked(ids: Ids, mask: int, share: float) -> Ids:
    """Return texts with round(share·length) tokens in a row masked, around the end where they have to."""
    lengths, spot, out = (ids != 0).sum(axis=1), places(ids[:, None, :, None]), ids.copy()
    for at, length in enumerate(lengths.tolist()):
        if length:
            first = int(spot[at] * length)
            out[at, (first + np.arange(round(share * length))) % length] = mask
    return out
