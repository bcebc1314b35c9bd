"""A rehearsal before training: a few models on a few dozen examples, so that mistakes are found before hours of work.

What an algorithm of a user's own may get wrong is told apart in a fixed order, each in one line: errors stop the study,
remarks are shown and the study goes on.
"""

import copy
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from modeldiff_core.data import Examples
from modeldiff_core.identity import generator
from modeldiff_core.training.functions.algorithm import FunctionAlgorithm, model_seed
from modeldiff_core.training.functions.guard import FunctionFailed, attempt, seeded, silent, threads_kept
from modeldiff_core.training.functions.predict import is_module, kind_of
from modeldiff_core.training.functions.source import describe
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.shards import Task

FEW = 48
"""Examples that a rehearsal trains on, or two of each class where that is more."""
ASKED = 32
"""Images that a model is asked about."""
MANY_LINES = 100
"""Printed lines of one model that are worth a word."""
BUSY = 1.5
"""CPU seconds a second from which on a model has taken more than one core."""
LONG = 0.2
"""Seconds from which on that can be told."""
PATIENCE = 60.0
"""Predicted seconds of a model up to which one of full size is trained to know its time."""
ONE = 1e-3
"""How far sums of probabilities may be from 1."""


@dataclass
class Rehearsed:
    """What a rehearsal found.

    Attributes:
        seconds: Of one model of full size; predicted where that takes more than PATIENCE seconds.
        measured: Whether it was measured.
        bytes: Most memory that this process has taken so far.
        remarks: What may not be meant, a sentence each.
    """

    seconds: float = 0.0
    measured: bool = False
    bytes: int = 0
    remarks: list[str] = field(default_factory=list)


def rehearse(task: Task, size: int, execution: Execution) -> Rehearsed:
    """Train a few small models and one of full size, and return what was noticed.

    Args:
        task: The algorithm and its data.
        size: Examples of a subset.
        execution: How to compute.

    Raises:
        FunctionFailed: For an algorithm that cannot be trained as it is, in one line.
    """
    chosen = few_of_each(task.train.strata, task.n_classes, min(size, max(FEW, 2 * task.n_classes)))
    small = task.train.select(chosen)
    asked = task.targets.first(min(ASKED, len(task.targets)))
    if isinstance(task.algorithm, FunctionAlgorithm):
        found = _Function(task.algorithm, task, small, asked).rehearsed()
    else:
        found = _rehearse_class(task, small, asked, execution)
    predicted = found.seconds * max(1.0, size / max(1, len(small) // 2))
    if predicted <= PATIENCE:
        mask = np.zeros(len(task.train), bool)
        mask[generator("rehearsal", len(task.train)).permutation(len(task.train))[:size]] = True
        _full_size(task, mask, found, execution)
    else:
        found.seconds = predicted
    found.bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return found


def few_of_each(labels: Int[np.ndarray, " n"], n_classes: int, count: int) -> Int[np.ndarray, " chosen"]:
    """Return positions of that many examples, the same number of each class as far as there are so many."""
    order = generator("rehearsal examples", len(labels)).permutation(len(labels))
    of_class = [order[labels[order] == label] for label in range(n_classes)]
    turns = [positions[turn : turn + 1] for turn in range(max(map(len, of_class))) for positions in of_class]
    return np.sort(np.concatenate(turns)[:count])


@dataclass
class _Function:
    """A rehearsal of a training function."""

    algorithm: FunctionAlgorithm
    task: Task
    small: Examples
    asked: Examples
    remarks: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        return f"{self.algorithm.name} ({self.algorithm.described.place})"

    def rehearsed(self) -> Rehearsed:
        seed = model_seed(self.task.seed, 0)
        halves = self._halves()
        began = time.perf_counter()
        first, model = self._run(halves[0], seed, look=True)
        seconds = time.perf_counter() - began
        self._look_at(model, first)
        self._kept_values()
        self._same_again(first, halves[0], seed)
        other, _ = self._run(halves[1], seed)
        if np.array_equal(first, other):
            self._fail("gives the same model for two different subsets: does it train on the images it is given?")
        elsewhere, _ = self._run(halves[0], model_seed(self.task.seed, 1))
        if np.array_equal(first, elsewhere):
            self.remarks.append(
                f"{self.words} gives the same model whatever its seed: right for an algorithm that has no chance in it"
            )
        return Rehearsed(seconds=seconds, remarks=self.remarks)

    def _fail(self, what: str) -> None:
        raise FunctionFailed(f"{self.words}: it {what}")

    def _halves(self) -> tuple[Bool[np.ndarray, " few"], Bool[np.ndarray, " few"]]:
        """Return two halves of the small training set, each with every class that has two examples."""
        half = np.zeros(len(self.small), bool)
        for label in range(self.task.n_classes):
            half[np.flatnonzero(self.small.strata == label)[::2]] = True
        return half, ~half if (~half).sum() > 1 else half

    def _run(
        self, half: Bool[np.ndarray, " few"], seed: int, *, world: int | None = None, look: bool = False
    ) -> tuple[np.ndarray, Any]:
        """Return the logits of one model, and the model; world: what global generators are seeded with."""
        import torch

        algorithm, form = self.algorithm, self.algorithm.form
        images, labels = form.values(self.small.images[half]), algorithm.labels_given(self.small.labels[half])
        given = form.wrapped(images.copy()), form.wrapped(labels.copy())

        def trained() -> Any:
            model = algorithm.function(*given, seed)
            kind_of(model, number=algorithm.target is not None)
            return model

        torch.set_num_threads(1)
        with seeded(seed if world is None else world), threads_kept(), silent() as printed:
            model = algorithm.named(trained)
            threads = torch.get_num_threads()
        if look:
            if threads > 1:
                self.remarks.append(
                    f"{self.words} sets torch to {threads} threads: models get one each, and bits depend on it; it is "
                    "set back after each model. Take torch.set_num_threads out"
                )
            if printed.lines >= MANY_LINES:
                self.remarks.append(f"{self.words} prints {printed.lines:,} lines a model, which are not shown")
            for name, before, now in (("images", images, given[0]), ("labels", labels, given[1])):
                if not np.array_equal(np.asarray(now), before):
                    self.remarks.append(
                        f"{self.words} writes to the {name} that it is given: each model has a copy of its own, so no "
                        "other sees it"
                    )
            if is_module(model) and model.training and self._differs_in_training(model, algorithm):
                self.remarks.append(
                    f"{self.words} returns a module in training mode, in which it gives other logits: it is put into "
                    "evaluation mode (.eval()) here"
                )
        with seeded(seed if world is None else world):
            return algorithm.logits_of(model, self.asked.images, self.task.n_classes), model

    def _differs_in_training(self, model: Any, algorithm: FunctionAlgorithm) -> bool:
        """Return whether a module gives other logits in training mode, as with dropout or batch normalization."""
        import torch

        class Training(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = copy.deepcopy(model)

            def forward(self, given: torch.Tensor) -> torch.Tensor:
                self.inner.train()
                found: torch.Tensor = self.inner(given)
                return found

        own = algorithm.logits_of(model, self.asked.images, self.task.n_classes)
        return not np.array_equal(own, algorithm.logits_of(Training(), self.asked.images, self.task.n_classes))

    def _look_at(self, model: Any, logits: np.ndarray) -> None:
        """Raise FunctionFailed for invalid logits."""
        if not np.isfinite(logits).all():
            rows = int((~np.isfinite(logits)).any(1).sum())
            self._fail(f"makes a model whose logits are NaN or infinite for {rows} of {len(logits)} images")
        again = self.algorithm.logits_of(model, self.asked.images, self.task.n_classes)
        if not np.array_equal(logits, again):
            apart = float(np.abs(logits - again).max())
            self._fail(
                f"returns a model of which two calls on the same images differ by up to {apart:.2g}: is a module left "
                "in training mode? Call .eval() before it is returned"
            )
        classed = self.algorithm.target is None
        if classed and kind_of(model) != "estimator" and logits.min() >= 0 and np.abs(logits.sum(1) - 1).max() < ONE:
            self._fail("returns a model that gives probabilities: logits are expected, such as their logarithms")
        if len(np.unique(logits, axis=0)) == 1 and len(np.unique(self.asked.images, axis=0)) > 1:
            self.remarks.append(f"{self.words} makes a model that says the same of every {self.small.kind.noun}")

    def _kept_values(self) -> None:
        """Raise FunctionFailed for a training that changes a variable that it captures."""
        before, now = self.algorithm.values or {}, describe(self.algorithm.function).values
        changed = [name for name in before if name in now and now[name] != before[name]]
        if changed:
            self._fail(
                f"changes a variable that it captures, {', '.join(changed)}: a model may depend on its subset and seed "
                "alone, not on the models before it"
            )

    def _same_again(self, first: np.ndarray, half: Bool[np.ndarray, " few"], seed: int) -> None:
        """Note training that gives other bits a second time, by itself or with other global generators."""
        others = seed ^ 0x5EED
        again, _ = self._run(half, seed, world=others)
        if np.array_equal(first, again):
            return
        same, _ = self._run(half, seed)
        if np.array_equal(first, same):
            names = self._generators(half, seed)
            self.remarks.append(
                f"{self.words} draws from the global generator{'s' if len(names) > 1 else ''} of "
                f"{' and '.join(names) or 'a library'}, which {'are' if len(names) > 1 else 'is'} seeded for each "
                "model here; anywhere else its seed alone would not give the same model"
            )
        else:
            apart = float(np.abs(first - same).max())
            self.remarks.append(
                f"{self.words} is not reproducible: the same images, labels and seed gave logits that differ by up to "
                f"{apart:.2g}. A shard that is trained again will have other numbers"
            )

    def _generators(self, half: Bool[np.ndarray, " few"], seed: int) -> list[str]:
        """Return the libraries from whose global generators a training draws."""
        import torch

        def states() -> tuple[object, object, object]:
            arrays: Any = np.random.get_state()
            return random.getstate(), (arrays[1].tobytes(), arrays[2]), torch.random.get_rng_state().numpy().tobytes()

        algorithm, form = self.algorithm, self.algorithm.form
        labels = algorithm.labels_given(self.small.labels[half])
        given = form.give(self.small.images[half]), form.wrapped(labels)
        with seeded(seed), threads_kept(), silent():
            before = states()
            algorithm.named(lambda: algorithm.function(*given, seed))
            after = states()
        return [name for name, one, two in zip(("random", "numpy", "torch"), before, after, strict=True) if one != two]


def _full_size(task: Task, mask: Bool[np.ndarray, " train"], found: Rehearsed, execution: Execution) -> None:
    """Train one model of full size: its time, and how many cores it takes."""
    masks = mask[None]
    busy, began = _cpu_seconds(), time.perf_counter()
    with threads_kept():
        models = task.algorithm.train(task.train, task.n_classes, masks, [0], task.seed, execution)
        models.logits(task.targets.images)
    found.seconds, found.measured = time.perf_counter() - began, True
    cores = (_cpu_seconds() - busy) / max(found.seconds, 1e-9)
    if found.seconds >= LONG and cores >= BUSY and not any("threads" in remark for remark in found.remarks):
        name = getattr(task.algorithm, "name", type(task.algorithm).__name__)
        found.remarks.append(
            f"{name} keeps {cores:.1f} cores busy, where a model gets one: n_jobs or a number of threads above 1?"
        )


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _rehearse_class(task: Task, small: Examples, asked: Examples, execution: Execution) -> Rehearsed:
    """Rehearse an algorithm that is a class: two models twice, and loaded from their weights.

    Raises:
        FunctionFailed: For what the protocol of algorithms does not allow.
    """
    algorithm, name = task.algorithm, type(task.algorithm).__name__
    home = sys.modules[type(algorithm).__module__].__file__ or ""
    half = np.arange(len(small)) % 4 < 2
    masks = np.stack([half, ~half])
    shape = (2, len(asked), task.n_classes)

    def named(call: Callable[[], Any], what: str) -> Any:
        with threads_kept(), silent():
            return attempt(call, home=home, words=f"{name}.{what}")

    def trained() -> tuple[Any, np.ndarray]:
        models = named(lambda: algorithm.train(small, task.n_classes, masks, [0, 1], task.seed, execution), "train")
        logits = named(lambda: _array(models.logits(asked.images)), "train(...).logits")
        if logits.shape != shape:
            raise FunctionFailed(
                f"{name}.train(...).logits gives an array of shape {list(logits.shape)}, expected {list(shape)}: "
                f"2 models, {len(asked)} images, {task.n_classes} classes"
            )
        if logits.dtype.kind != "f":
            raise FunctionFailed(f"{name}.train(...).logits gives {logits.dtype}, expected float32")
        if not np.isfinite(logits).all():
            raise FunctionFailed(f"{name}.train(...).logits gives NaN or infinite logits")
        return models, logits

    before = small.images.copy(), small.labels.copy()
    began = time.perf_counter()
    models, logits = trained()
    found = Rehearsed(seconds=(time.perf_counter() - began) / 2)
    if not (np.array_equal(small.images, before[0]) and np.array_equal(small.labels, before[1])):
        raise FunctionFailed(
            f"{name}.train writes to the examples that it is given, which other models share: copy them"
        )
    if np.array_equal(logits[0], logits[1]):
        raise FunctionFailed(f"{name}.train gives the same model for two different masks: does it look at them?")
    if not np.array_equal(logits, again := _array(models.logits(asked.images))):
        raise FunctionFailed(
            f"{name}.train(...).logits gives other numbers the second time, by up to "
            f"{np.abs(logits - again).max():.2g}: is a module left in training mode?"
        )
    if logits.min() >= 0 and np.abs(logits.sum(2) - 1).max() < ONE:
        raise FunctionFailed(
            f"{name}.train(...).logits gives probabilities: logits are expected, such as their logarithms"
        )
    _, second = trained()
    if not np.array_equal(logits, second):
        found.remarks.append(
            f"{name}.train is not reproducible: the same masks and seed gave logits that differ by up to "
            f"{np.abs(logits - second).max():.2g}"
        )
    _check_weights(named, models, logits, task, (small, asked, execution))
    return found


def _check_weights(
    named: Callable[[Callable[[], Any], str], Any], models: Any, logits: np.ndarray, task: Task, given: Any
) -> None:
    """Raise FunctionFailed for weights that do not give the same models again."""
    small, asked, execution = given
    name = type(task.algorithm).__name__
    weights = named(models.weights, "train(...).weights")
    if not weights:
        return
    for key, value in weights.items():
        if not hasattr(value, "shape") or len(value) != len(logits):
            got = f"of shape {list(value.shape)}" if hasattr(value, "shape") else f"a {type(value).__name__}"
            raise FunctionFailed(
                f"{name}.train(...).weights gives {key!r} {got}, expected an array with the {len(logits)} models first"
            )
    shape = small.images.shape[1:]
    loaded = named(lambda: task.algorithm.load(weights, shape, task.n_classes, execution), "load")
    found = named(lambda: _array(loaded.logits(asked.images)), "load(...).logits")
    if found.shape != logits.shape or not np.allclose(found, logits, rtol=1e-3, atol=1e-3):
        raise FunctionFailed(f"{name}.load gives other models than those whose weights it is given")


def _array(found: Any) -> np.ndarray:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(found, torch.Tensor):
        raise FunctionFailed("gives a torch tensor, expected a numpy array: .detach().numpy()")
    return np.asarray(found)
