"""Streams of token ids: batches by (seed, step) alone, windows for validation, and files that lie in memory once."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from modeldiff_core.errors import DataError
from modeldiff_core.identity import generator


@dataclass(frozen=True, eq=False)
class TokenStream:
    """Ids one after the other, cut into windows of context + 1 that share their ends.

    ids: may lie in a file. context: tokens that a network sees. seed: of the order.
    """

    ids: Integer[np.ndarray, " tokens"]
    context: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.ids) < 2 * self.context + 1:
            raise DataError(
                f"corpus: {len(self.ids)} tokens are too few for a context of {self.context}: {2 * self.context + 1} "
                "are needed; give more text or a smaller context"
            )

    @property
    def windows(self) -> int:
        """Windows of a pass, whatever its first token is."""
        return (len(self.ids) - self.context) // self.context

    def batch(self, step: int, sequences: int) -> Integer[np.ndarray, "sequences context_and_next"]:
        """Return the windows of a step, a pure function of (seed, step).

        Each pass over the text begins at another of the first `context` tokens and takes its windows in another order.
        """
        rows = np.empty((sequences, self.context + 1), np.int64)
        for row, number in enumerate(range(step * sequences, (step + 1) * sequences)):
            start, order = _pass(self.seed, number // self.windows, self.windows, self.context)
            at = start + int(order[number % self.windows]) * self.context
            rows[row] = self.ids[at : at + self.context + 1]
        return rows


@lru_cache(maxsize=2)
def _pass(seed: int, number: int, windows: int, context: int) -> tuple[int, Integer[np.ndarray, " windows"]]:
    """Return the first token of a pass and the order of its windows."""
    drawn = generator("text order", seed, number)
    return int(drawn.integers(context)), drawn.permutation(windows)


def even_windows(
    ids: Integer[np.ndarray, " tokens"], context: int, count: int
) -> Integer[np.ndarray, "windows context_and_next"]:
    """Return at most `count` windows of context + 1 tokens, spread evenly over the text without overlap.

    Raises DataError for text that is shorter than one window.
    """
    whole = (len(ids) - 1) // context
    if whole < 1:
        raise DataError(
            f"corpus: {len(ids)} validation tokens are too few for a context of {context}; give more text, a larger "
            "validation share or a smaller context"
        )
    chosen = np.unique(np.linspace(0, whole - 1, min(count, whole)).round().astype(np.int64))
    return np.stack([ids[at * context : at * context + context + 1] for at in chosen]).astype(np.int64)


def mapped(
    folder: Path, name: str, read: Callable[[], Integer[np.ndarray, " tokens"]]
) -> Integer[np.ndarray, " tokens"]:
    """Return an array that lies in a file of this machine, so that all processes share its memory.

    Args:
        folder: Where such files are kept.
        name: Of the file; it has to name the content, such as by its digest.
        read: Called for the content if there is no such file. It is written whole or not at all.

    """
    path = folder / f"{name}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".npy", dir=folder)
        os.close(handle)
        try:
            np.save(temporary, read())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    found: Integer[np.ndarray, " tokens"] = np.load(path, mmap_mode="r")
    return found
