"""A training function as a learning algorithm: ``kind: function``.

``train(images, labels, seed)`` gets the examples of one subset and a whole number, and returns a torch module, a
classifier of scikit-learn, or a callable that gives logits. It is named by its import path, ``module:function``; one
that was typed in a notebook or in the script that runs is known to this process alone.
"""

import importlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Real

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.examples import Target
from modeldiff_core.data.kinds import PICTURES, Inputs, Table, Tokens
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import canonical_json, digest, generator
from modeldiff_core.training.functions.form import Form, TableForm
from modeldiff_core.training.functions.guard import FunctionFailed, attempt, seeded, silent, threads_kept
from modeldiff_core.training.functions.predict import checked_logits, kind_of, raw_logits, raw_numbers
from modeldiff_core.training.functions.source import Described, describe
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.unstored import Unstored, UnstoredModels

log = logging.getLogger(__name__)

KIND = "function"
BYTES = Form()
"""Images as a data set holds them."""
FIRST_FULL = 2**40
"""Numbers of full-data models begin here (``training.shards.ENSEMBLE_OFFSET``)."""
TOLERATED = 0.05
"""Largest share of the models of a shard whose training may fail; they count as models that diverged."""
NAMED = 5

Train = Callable[..., Any]
_here: dict[str, Train] = {}
"""Functions that only this process knows, by what they are told apart by."""


def register(function: Train) -> str:
    """Make a function known to this process and return what tells it from others of its name."""
    described = describe(function)
    token = digest([described.path, described.source, _encoded(described)])[:16]
    _here[token] = function
    return token


def _encoded(described: Described) -> str:
    return canonical_json([described.values, sorted(described.unstable)])


@dataclass(frozen=True)
class FunctionModels(UnstoredModels):
    """What a training function returned for each model; None for a model whose training failed."""

    algorithm: "FunctionAlgorithm"
    models: tuple[Any, ...]
    numbers: tuple[int, ...]
    n_classes: int

    def logits(self, images: Inputs) -> Float[np.ndarray, "models targets classes"]:
        """Return float32 logits; NaN for models whose training failed.

        Raises:
            FunctionFailed: If more than TOLERATED of the models give none, naming them.
        """
        out = np.full((len(self.models), len(images), self.n_classes), np.nan, np.float32)
        failed: dict[int, str] = {}
        for row, model in enumerate(self.models):
            if model is None:
                continue
            try:
                out[row] = self.algorithm.logits_of(model, images, self.n_classes)
            except FunctionFailed as error:
                failed[self.numbers[row]] = str(error)
        tolerate(failed, self.numbers)
        return out


@dataclass(frozen=True)
class FunctionAlgorithm(Unstored):
    """A training function and what it is given.

    Attributes:
        train_function: Its import path, ``module:function``; of a function in a folder that Python looks into.
        arguments: Further arguments by name, as plain values.
        version: Raised by the user where what the function captures cannot be told apart, or when it has changed.
        form: How images are given to it.
        values: Defaults and captured values; filled in, and checked where they are given.
        token: Tells functions apart that only this process knows; empty for one that is imported.
    """

    kind: ClassVar[str] = KIND
    train_function: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    version: str = ""
    form: Form = BYTES
    values: Mapping[str, object] | None = None
    token: str = ""

    def __post_init__(self) -> None:
        described = self.described
        if described.unstable and not self.version:
            name, why = next(iter(described.unstable.items()))
            others = f" (and {len(described.unstable) - 1} more)" if len(described.unstable) > 1 else ""
            raise ConfigError(
                "recipe.train_function",
                f"a function whose models can be told apart from those of another: {described.place}",
                f"{name}{others}",
                f"{why}. Take it as an argument, or make it in the function; or give version='1', and raise it "
                "whenever that value changes",
            )
        found = dict(described.values)
        if self.values is not None and canonical_json(self.values) != canonical_json(found):
            changed = [name for name in sorted({*found, *self.values}) if found.get(name) != self.values.get(name)]
            raise ConfigError(
                "recipe.values",
                f"what the study was planned with: {_few({name: self.values.get(name) for name in changed})}",
                _few({name: found.get(name) for name in changed}),
                "A variable of the function has another value here than where the study was made",
            )
        object.__setattr__(self, "values", found)

    @cached_property
    def function(self) -> Train:
        """The function with its arguments; raises ConfigError where it cannot be imported."""
        found = _here.get(self.token) if self.token else imported(self.train_function)
        if found is None:
            raise ConfigError(
                "recipe.train_function",
                "a function that is defined in a module, which other processes can import",
                self.train_function,
                "It was typed in a notebook or script, and only that process knows it",
            )
        return partial(found, **self.arguments) if self.arguments else found

    @cached_property
    def described(self) -> Described:
        """What the function is made of, without the arguments."""
        return describe(self.function.func if self.arguments else self.function)  # type: ignore[attr-defined]

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.described.name

    def identity(self) -> dict[str, object]:
        """Return what tells its models from others: name, arguments, captured values, form of the images, version."""
        return {
            "function": self.name,
            "arguments": dict(self.arguments),
            "values": dict(self.values or {}),
            "form": self.form,
            "version": self.version,
        }

    def code(self) -> dict[str, Any]:
        """Return its lines' digests and its libraries, which are kept beside results and are no part of their key."""
        described = self.described
        return {
            "source": described.source,
            "modules": sorted({described.path.partition(":")[0]}),
            "parts": dict(described.sources),
            "libraries": dict(described.libraries),
        }

    @property
    def advice(self) -> str:
        """What to do where models diverge."""
        return f"{self.name} ({self.described.place}) makes models that give NaN or infinite logits"

    @property
    def target(self) -> Target | None:
        """The number that models predict, once the algorithm was made ready for data; None for classes."""
        found: Target | None = self.__dict__.get("_target")
        return found

    def on(self, data: Dataset) -> "FunctionAlgorithm":
        """Return the algorithm that gives the function a data frame of rows, ids of texts, and numbers to predict."""
        if data.kind == PICTURES and data.target is None:
            return self
        ready = copy(self)
        object.__setattr__(ready, "_target", data.target)
        if isinstance(data.kind, Table):
            object.__setattr__(ready, "form", TableForm(dtype="float64", table=data.kind))
        elif isinstance(data.kind, Tokens):
            object.__setattr__(ready, "form", replace(self.form, dtype="int64", axes="tokens"))
        return ready

    def labels_given(self, labels: Real[np.ndarray, " n"]) -> Real[np.ndarray, " n"]:
        """Return labels as the function gets them: classes in int64, numbers in their own unit."""
        target = self.target
        return labels.astype(np.int64) if target is None else target.mean + target.deviation * labels

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Accept all images: what the function cannot take is found by a rehearsal."""

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> FunctionModels:
        """Call the function for every row.

        Raises:
            FunctionFailed: If more than TOLERATED of the models fail, naming them, the reason and the user's line.
        """
        numbers = tuple(int(number) for number in models)
        out: list[Any] = []
        failed: dict[int, str] = {}
        for mask, number in zip(masks, numbers, strict=True):
            try:
                out.append(self.one(examples, mask, number, seed))
            except FunctionFailed as error:
                failed[number] = str(error)
                out.append(None)
        tolerate(failed, numbers)
        return FunctionModels(self, tuple(out), numbers, n_classes)

    def one(self, examples: Examples, mask: Bool[np.ndarray, " train"], number: int, seed: int) -> Any:
        """Return the model of one subset; raises FunctionFailed."""
        return self.call(examples.images[mask], examples.labels[mask], model_seed(seed, number))

    def call(self, images: Inputs, labels: np.ndarray, seed: int) -> Any:
        """Call the function on images and labels in its form, with all global generators seeded."""
        given = self.form.give(images), self.form.wrapped(self.labels_given(labels))

        def trained() -> Any:
            model = self.function(*given, seed)
            kind_of(model, number=self.target is not None)
            return model

        with seeded(seed), threads_kept(), silent():
            return self.named(trained)

    def logits_of(self, model: Any, images: Inputs, n_classes: int) -> Float[np.ndarray, "targets classes"]:
        """Return checked logits of one model, or its predictions in deviations of a Target; raises FunctionFailed."""
        target = self.target

        def asked() -> Float[np.ndarray, "targets classes"]:
            if target is not None:
                found = (raw_numbers(model, self.form, images) - target.mean) / target.deviation
                return checked_logits(found, len(images), n_classes)
            return checked_logits(raw_logits(model, self.form, images, n_classes), len(images), n_classes)

        with threads_kept(), silent():
            found: Float[np.ndarray, "targets classes"] = self.named(asked, "the model that it returned")
        return found

    def named(self, call: Callable[[], Any], what: str = "") -> Any:
        """Return what a call of the user's code gives; a failure is named by the function, its place and the line."""
        try:
            return attempt(call, home=self.home, words=what or "it")
        except FunctionFailed as error:
            said = str(error)
            words = said if said.startswith((what or "it", "returned")) else f"{what or 'it'} {said}"
            raise FunctionFailed(f"{self.name} ({self.described.place}): {words}") from error

    @property
    def home(self) -> str:
        """The file of the function's lines."""
        code = getattr(self.function.func if self.arguments else self.function, "__code__", None)  # type: ignore[attr-defined]
        return str(getattr(code, "co_filename", ""))


def model_seed(seed: int, number: int) -> int:
    """Return the whole number in 0..2³¹−1 that the function gets for a model."""
    return int(generator("training function", seed, number).integers(2**31))


def tolerate(failed: Mapping[int, str], numbers: Sequence[int]) -> None:
    """Warn of models that failed; raises FunctionFailed if they are more than TOLERATED, or full-data models."""
    if not failed:
        return
    full = [number >= FIRST_FULL for number in numbers]
    kind, first = ("full-data", FIRST_FULL) if any(full) else ("subset", 0)
    named = ", ".join(str(number - first) for number in list(failed)[:NAMED])
    more = ", …" if len(failed) > NAMED else ""
    why = next(iter(failed.values()))
    others = sorted(set(failed.values()))
    also = f" (and {len(others) - 1} other reasons)" if len(others) > 1 else ""
    what = f"{kind} model{'s' if len(failed) > 1 else ''} {named}{more} of {numbers[0] - first}..{numbers[-1] - first}"
    if any(full) or len(failed) > TOLERATED * len(numbers):
        most = "none may" if any(full) else f"at most {TOLERATED:.0%} may"
        raise FunctionFailed(f"{what} failed ({most}): {why}{also}")
    log.warning("%s failed, left out as if diverged: %s%s", what, why, also)


def imported(path: str) -> Train:
    """Return the function at an import path; raises ConfigError with the reason where there is none."""
    module, colon, name = path.partition(":")
    expected = "a function by its import path, module:function"
    if not colon or not module or not name:
        raise ConfigError("recipe.train_function", expected, path)
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except SystemExit as end:
        raise ConfigError("recipe.train_function", expected, path, f"Importing it ends the process ({end})") from end
    except Exception as error:
        hint = f"{type(error).__name__}: {error}. Python looked in {', '.join(sys.path[:3]) or 'no folder'}, …"
        raise ConfigError("recipe.train_function", expected, path, hint) from error
    if not callable(found):
        raise ConfigError("recipe.train_function", expected, path, f"It is a {type(found).__name__}")
    function: Train = found
    return function


def _few(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in list(values.items())[:NAMED])
