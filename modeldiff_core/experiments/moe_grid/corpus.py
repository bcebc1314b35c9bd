"""The text of a study as token ids, which every training reads."""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from modeldiff_core.data.text import TextSource, read_documents, reading_of, split_documents
from modeldiff_core.data.text_stream import mapped
from modeldiff_core.data.text_tokens import BytePairs, TokenKind, encode_all
from modeldiff_core.plan import Cost, Label, Step, Tensors
from modeldiff_core.store import ObjectStore, StoreSettings

FOLDER = "scaling"
"""Where texts and runs are, shared by all studies."""
VERSION = 1
SIDES = "train", "validation"
MAPPED = 2**26
"""Bytes of ids from which on they lie in a file instead of the memory of each process."""

Ids = Integer[np.ndarray, "_"]


@dataclass(frozen=True)
class Corpus:
    """Text from a source, its share of validation documents and its tokens.

    fingerprint: of the source's files.
    """

    source: TextSource
    fingerprint: str
    tokens: TokenKind
    validation_share: float
    split_seed: int

    @property
    def product(self) -> Tensors:
        """The ids of training and validation text in the store."""
        identity = {
            "text": self.fingerprint,
            "reading": reading_of(self.source),
            "tokens": self.tokens.reading() if isinstance(self.tokens, BytePairs) else self.tokens,
            "validation_share": self.validation_share,
            "split_seed": self.split_seed,
            "version": VERSION,
        }
        return Tensors.of(FOLDER, "text", identity)

    def step(self) -> Step:
        """Return the step that cuts the text into tokens."""
        label = Label("texts", "tokens")
        return Step("text", self.product, write_tokens, self, label=label, cost=Cost(5.0))

    def read(self, store: ObjectStore) -> tuple[Ids, Ids]:
        """Return the ids of training and of validation, read once in a process."""
        return _read(store.settings, self)


@lru_cache(maxsize=2)
def _read(settings: StoreSettings, corpus: Corpus) -> tuple[Ids, Ids]:
    """Return the ids, those of a large text from a file of this machine that all its processes map."""
    place = f"{settings.root}\x1f{corpus.product.reference.digest}"
    name = hashlib.blake2b(place.encode(), digest_size=12).hexdigest()
    folder = Path(os.environ.get("MODELDIFF_HOME", "~/.modeldiff")).expanduser() / "tokens"
    arrays = dict[str, Ids]()

    def read(side: str) -> Ids:
        if not arrays:
            arrays.update(corpus.product.read(ObjectStore(settings)))
        return arrays[side]

    kept = (folder / f"{name}-train.npy").exists()
    if not kept and sum(read(side).nbytes for side in SIDES) < MAPPED:
        return read("train"), read("validation")
    train, validation = (mapped(folder, f"{name}-{side}", partial(read, side)) for side in SIDES)
    return train, validation


def write_tokens(store: ObjectStore, spec: Corpus) -> None:
    """Write the ids of all documents; raises DataError for a corpus without text."""
    train, validation = split_documents(read_documents(spec.source), spec.validation_share, spec.split_seed)
    encoder = spec.tokens.fit(train)
    ids = {"train": encode_all(encoder, train), "validation": encode_all(encoder, validation)}
    facts = {"documents": len(train), "validation_documents": len(validation), "vocabulary": encoder.vocabulary}
    spec.product.write(store, ids, facts)
