"""One training of the grid: from its last checkpoint to its end, or to the step where learning rates are compared."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modeldiff_core.data.text_stream import TokenStream, even_windows
from modeldiff_core.experiments.moe_grid.corpus import FOLDER, Corpus
from modeldiff_core.plan import Array, Checkpoint, Cost, Label, RecordedFailure, Step, Tensors
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution
from modeldiff_core.training.devices import available_device
from modeldiff_core.training.moe import (
    MoeNetwork,
    MoeRecipe,
    TrainedMoe,
    active_parameters,
    parameters,
    step_flops,
    train_moe,
)
from modeldiff_core.training.moe.experts import Way

VERSION = 1
SECONDS = 60.0
"""Time from one checkpoint to the next."""
NOTHING = 0.99
"""Share of log V, the loss of a network that knows nothing, that a training has to end below."""
CURVE = "steps", "train", "validation"
"""Arrays of a learning curve: where it was looked at, the mean training loss since, and the validation loss there."""


@dataclass(frozen=True)
class Training:
    """A network trained with a budget of FLOPs.

    windows: of validation text that the final loss is the mean of. points: of the learning curve, each on a quarter of
    them. seed: of weights and of the order of the text.
    """

    corpus: Corpus
    network: MoeNetwork
    recipe: MoeRecipe
    budget: float
    seed: int
    windows: int
    points: int
    version: int = VERSION

    @property
    def steps(self) -> int:
        """Steps that the budget pays, to the nearest; 1 at least."""
        return max(1, round(self.budget / step_flops(self.network, self.recipe.sequences)))

    @property
    def flops(self) -> float:
        """FLOPs of all its steps."""
        return float(self.steps * step_flops(self.network, self.recipe.sequences))

    @property
    def tokens(self) -> int:
        """Tokens that it is trained on."""
        return self.steps * self.recipe.sequences * self.network.context

    @property
    def words(self) -> str:
        """What it is called on screens."""
        network = self.network
        return (
            f"{parameters(network):,} parameters ({network.width} wide, {network.layers} deep, {network.active} of "
            f"{network.experts} experts, G {network.granularity}), {self.budget:.3g} FLOPs, rate "
            f"{self.recipe.learning_rate:g}, seed {self.seed}"
        )

    @property
    def product(self) -> Tensors:
        """Losses, learning curve and loads in the store."""
        loads = {"layers": self.network.layers, "experts": self.network.experts}
        return Tensors.of(FOLDER, "run", self._identity(), Array("loss", {"run": 1}), Array("loads", loads))

    def _identity(self) -> dict[str, object]:
        text = self.corpus.product.reference.digest
        own = {name: getattr(self, name) for name in ("network", "recipe", "budget", "seed", "windows", "points")}
        return {"text": text, **own, "version": self.version}

    def step(self, group: str = "runs") -> Step:
        """Return the step that trains it."""
        product = self.product
        scratch = Checkpoint.of(product).prefix
        return self._step(f"{group}: {self.words}", product, train_run, self, (group, self.steps, scratch))

    def _step(self, name: str, product: Tensors, stage: Any, spec: object, how: tuple[str, int, str]) -> Step:
        group, steps, scratch = how
        cost = Cost(seconds_of(self.network, self.recipe.sequences, steps))
        needs, label = (self.corpus.product.reference,), Label(group, "train", unit="runs")
        return Step(name, product, stage, spec, needs, label, cost, on_device=True, memoized=False, scratch=scratch)


@dataclass(frozen=True)
class Rung:
    """The first part of a training, after which learning rates are compared. until: steps of that part."""

    training: Training
    until: int

    @property
    def product(self) -> Tensors:
        """The loss there; the state is a checkpoint of the training, which goes on from it."""
        identity = {"training": self.training.product.reference.digest, "until": self.until}
        return Tensors.of(FOLDER, "rung", identity, Array("loss", {"run": 1}))

    def step(self, before: int) -> Step:
        """Return the step that trains it so far. before: steps that an earlier rung has taken."""
        training, name = self.training, f"first {self.until} steps: {self.training.words}"
        return training._step(name, self.product, train_rung, self, ("first parts", self.until - before, ""))


def train_run(store: ObjectStore, spec: Training, execution: Execution) -> None:
    """Train to the end; raises RecordedFailure for a training whose loss explodes or that learns nothing."""
    work = _Work(store, spec, execution, spec.steps)
    work.train(spec.steps)
    found = work.trained.evaluate(work.shown)
    if not found.loss < NOTHING * math.log(spec.network.vocabulary):
        work.fail("learned nothing", spec.steps, found.loss)
    curve = {name: np.array(values) for name, values in work.curve.items()}
    arrays = {"loss": np.array([found.loss]), "loads": found.loads, "window_losses": found.window_losses, **curve}
    facts = {"parameters": parameters(spec.network), "active_parameters": active_parameters(spec.network)}
    spec.product.write(store, arrays, {**facts, "tokens": spec.tokens, "flops": spec.flops, "steps": spec.steps})


def train_rung(store: ObjectStore, spec: Rung, execution: Execution) -> None:
    """Train as far as the rung, and leave the state as a checkpoint of the training."""
    work = _Work(store, spec.training, execution, spec.until)
    work.train(spec.until)
    loss = work.trained.evaluate(work.shown).loss
    work.save()
    spec.product.write(store, {"loss": np.array([loss])})


@dataclass
class _Work:
    """A training in the middle: its state, its curve, and where both are kept. last: step from which none is taken."""

    store: ObjectStore
    spec: Training
    execution: Execution
    last: int
    curve: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CURVE})

    def __post_init__(self) -> None:
        spec = self.spec
        train, validation = spec.corpus.read(self.store)
        context = spec.network.context
        self.stream, self.shown = (
            TokenStream(train, context, spec.seed),
            even_windows(validation, context, spec.windows),
        )
        device = available_device(self.execution.device)
        way: Way = "quickest" if self.execution.native or device.type != "cpu" else "sorted"
        self.trained = TrainedMoe(spec.network, spec.recipe, spec.steps, spec.seed, device, way)
        self.stops = sorted({round(spec.steps * part / spec.points) for part in range(1, spec.points + 1)} - {0})
        self.checkpoint, self.since, self.losses = Checkpoint.of(spec.product), time.monotonic(), list[float]()
        self._resume(*self.checkpoint.load(self.store))

    def train(self, until: int) -> None:
        """Train to a step, with a checkpoint every SECONDS."""
        while (step := self.trained.step) < until:
            stop = next(stop for stop in self.stops if stop > step)
            before = time.monotonic()
            new = train_moe(self.trained, self._batch, min(until, stop, step + 1 + round(step / 20)))
            self.losses += new
            if not new[-1] < self.trained.exploded:
                self.fail("diverged", self.trained.step, new[-1])
            if self.trained.step == stop:
                self._look()
            if time.monotonic() + (time.monotonic() - before) > self.since + SECONDS:
                self.save()

    def save(self) -> None:
        """Keep the state and the curve, unless the training is over and only its first part is trained again."""
        self.since = time.monotonic()
        if self.store.exists(self.spec.product.reference.record):
            return
        arrays = {f"curve.{name}": np.array(values, float) for name, values in self.curve.items()}
        arrays |= {"losses": np.array(self.losses, float), **self.trained.state()}
        self.checkpoint.save(self.store, self.trained.step, arrays)

    def fail(self, why: str, step: int, loss: float) -> None:
        """Raise RecordedFailure with the curve so far."""
        facts: dict[str, Any] = {"step": step, "loss": loss if math.isfinite(loss) else None}
        facts |= {name: list(values) for name, values in self.curve.items()}
        raise RecordedFailure(f"{why} at step {step} of {self.spec.steps} (loss {loss:.3g})", facts)

    def _batch(self, step: int) -> np.ndarray:
        return self.stream.batch(step, self.spec.recipe.sequences)

    def _look(self) -> None:
        """Add a point to the curve."""
        loss = self.trained.evaluate(self.shown[:: max(1, len(self.shown) // max(1, self.spec.windows // 4))]).loss
        for name, value in zip(CURVE, (float(self.trained.step), float(np.mean(self.losses)), loss), strict=True):
            self.curve[name].append(value)
        self.losses = []

    def _resume(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        if not arrays or step > self.last:  # of a whole training, whose first part is to be trained again
            return
        self.trained.load(step, arrays)
        self.losses = arrays["losses"].tolist()
        self.curve = {name: arrays[f"curve.{name}"].tolist() for name in CURVE}


STEP_SECONDS, TOKEN_SECONDS, PAIR_SECONDS, FLOP_SECONDS = 0.8e-3, 0.8e-6, 0.1e-6, 1 / 25e9
"""Time of a step on one core: of a layer, of a token in it, of a (token, expert) pair in it, of a FLOP."""


def seconds_of(network: MoeNetwork, sequences: int, steps: int) -> float:
    """Return the predicted seconds of so many steps on one core, as measured by ``benchmarks/moe.py``."""
    tokens = sequences * network.context
    once = network.layers * (STEP_SECONDS + tokens * (TOKEN_SECONDS + PAIR_SECONDS * network.active))
    return steps * (once + FLOP_SECONDS * step_flops(network, sequences))
