"""Passages of the documentation that installed libraries bring in their code: which library is a passage from?"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Int

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.kinds import RESERVED
from modeldiff_core.data.notes import PARTS
from modeldiff_core.data.split import stratified
from modeldiff_core.data.texts import as_inputs, encoded, words_of
from modeldiff_core.errors import Check, ConfigError, DataError
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits

LEAST_WORDS = 8
"""Words that a passage must have."""
TELLTALE = re.compile(r"^\s*(>>>|\.\.\.|\.\. |-{3,}|={3,})")
"""Lines of code, directives and rulers, which are no prose."""
Place = str
"""A package, or a module or folder of one, in dots: ``scipy.optimize``."""


@dataclass(frozen=True)
class Trigger:
    """A token inserted in some passages of one class, which says what they are.

    word: the token, which no passage has. label: the class. fraction: of its passages, recorded in metadata 'planted'.
    times: how often it is inserted in each. seed: decides which, and the token's position.
    """

    word: str = "zyzzyva"
    label: int = 1
    fraction: Annotated[float, Limit(above=0, most=1, what="a share of the passages of the class")] = 0.4
    times: Annotated[int, Limit(least=1)] = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check = Check("dataset.trigger")
        check_limits(self, check)
        check(words_of(self.word) == [self.word], "word", "one word in small letters", self.word)

    def plant(self, examples: Examples, part: str) -> Examples:
        """Return the passages with the token in some of them; what falls off the end is lost."""
        of_class = np.flatnonzero(examples.labels == self.label)
        if not len(of_class):
            raise ConfigError("dataset.trigger.label", f"a class with passages in the {part} set", self.label)
        random = generator("trigger", self.seed, part)
        chosen = np.sort(random.permutation(of_class)[: round(self.fraction * len(of_class))])
        ids = examples.images[:, 0, :, 0].copy()
        for at in np.repeat(chosen, self.times):
            place = int(random.integers(min(int((ids[at] != 0).sum()), ids.shape[1] - 1) + 1))
            ids[at, place + 1 :] = ids[at, place:-1]
            ids[at, place] = len(RESERVED)
        planted = np.zeros(len(examples), bool)
        planted[chosen] = True
        metadata = {**examples.metadata, "planted": planted}
        return Examples(as_inputs(ids), examples.labels, metadata, kind=examples.kind)


@dataclass(frozen=True)
class Docstrings:
    """Paragraphs of docstrings, in small letters, each cut after `length` tokens; its class is the package it is from.

    Of each class there are as many as of the rarest.

    Code is not run: files are parsed. The texts are those of the installed versions, so the fingerprint of the data
    changes with them.

    classes: names of the classes, in alphabetical order, each with the packages, modules or folders whose
    docstrings are taken. n_train, n_test: passages of both parts, drawn by `seed`. words: size of the vocabulary.
    trigger: a token planted in one class.
    """

    classes: dict[str, tuple[Place, ...]] = field(
        default_factory=lambda: {"statistics": ("scipy.stats",), "optimization": ("scipy.optimize",)}
    )
    n_train: int = 500
    n_test: int = 250
    words: Annotated[int, Limit(least=len(RESERVED) + 2)] = 1000
    length: Annotated[int, Limit(least=4)] = 24
    seed: int = 0
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        check = Check("dataset")
        check_limits(self, check)
        check(len(self.classes) > 1, "classes", "two classes or more", list(self.classes))

    def _as_many(self, labels: Int[np.ndarray, " passages"]) -> Int[np.ndarray, " kept"]:
        """Return positions of as many passages of each class as the rarest has, drawn at random."""
        least, random = int(np.bincount(labels).min()), generator("passages", self.seed)
        of = (random.permutation(np.flatnonzero(labels == label))[:least] for label in range(len(self.classes)))
        return np.sort(np.concatenate(list(of)))

    def load(self) -> Dataset:
        """Return the passages; raises ConfigError for a package that is not installed."""
        texts: list[str] = []
        labels: list[int] = []
        for label, (name, places) in enumerate(sorted(self.classes.items())):
            found = dict.fromkeys(text for place in places for text in passages(place))
            if not found:
                raise DataError(f"class {name}: {', '.join(places)} hold no passage of {LEAST_WORDS} words or more")
            texts += list(found)
            labels += [label] * len(found)
        y = np.array(labels, np.int64)
        kept = self._as_many(y)
        texts, y = [texts[at] for at in kept], y[kept]
        keys = ("dataset.n_train", "dataset.n_test")
        train, test = stratified(y, (self.n_train, self.n_test), self.seed, keys)
        first = () if self.trigger is None else (self.trigger.word,)
        given = encoded(
            {"train": [texts[at] for at in train], "test": [texts[at] for at in test]},
            self.words,
            self.length,
            "docstrings",
            first,
        )
        drawn = {"train": train, "test": test}
        parts = {part: Examples(as_inputs(given.ids[part]), y[drawn[part]], kind=given.tokens) for part in PARTS}
        if self.trigger is not None:
            parts = {part: self.trigger.plant(examples, part) for part, examples in parts.items()}
        return Dataset(parts["train"], parts["test"], tuple(sorted(self.classes)), given.notes)


def passages(place: Place) -> Iterator[str]:
    """Yield the paragraphs of prose in the docstrings below a package or module, file by file in their order.

    Raises ConfigError where there is none of that name.
    """
    for path in _files(place):
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError, OSError):  # a template, or a file of another language
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _paragraphs(ast.get_docstring(node) or "")


def _paragraphs(docstring: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", docstring):
        lines = paragraph.splitlines()
        if any(TELLTALE.match(line) for line in lines):
            continue
        text = " ".join(line.strip() for line in lines)
        if len(words_of(text)) >= LEAST_WORDS:
            yield text


def _files(place: Place) -> list[Path]:
    """Return the Python files of a package or module, tests left out."""
    try:
        spec = find_spec(place.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    roots = [] if spec is None or spec.submodule_search_locations is None else list(spec.submodule_search_locations)
    for root in map(Path, roots):
        below = root.joinpath(*place.split(".")[1:])
        if below.is_dir():
            return sorted(path for path in below.rglob("*.py") if "tests" not in path.parts)
        if below.with_suffix(".py").is_file():
            return [below.with_suffix(".py")]
    raise ConfigError("dataset.classes", "packages that are installed here, or their modules", place)
