"""Trainings of kind ``sgd`` as processes: what ``training.sgd`` trains, with a weight on every example."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap
from torch.nn import functional as F

from modeldiff_core.margins import Output
from modeldiff_core.metagradients.networks import ImageInputs, Inputs, PureNetwork
from modeldiff_core.metagradients.point import Point
from modeldiff_core.metagradients.process import Batch, MadeOnce, Probes, Process, State
from modeldiff_core.training.descent import epoch_draws
from modeldiff_core.training.schedules import learning_rate
from modeldiff_core.training.settings import Recipe

EVALUATED = 2**24
"""Most numbers, over probes and targets, in the inputs of one evaluation."""

CACHED = 2**18
"""Bytes of a tensor of tangents that are updated together."""
VALUE, VELOCITY, STATISTIC = "value:", "velocity:", "statistic:"
"""What the names of a state begin with."""
Drawn = tuple[Int[np.ndarray, " members"], Float[np.ndarray, "members draws"]]
"""The order of the members in an epoch, and the draws of their augmentations."""
Parts = tuple[State, State]
"""Of parameters and of running statistics, by the network's names."""


@dataclass(frozen=True)
class Stream:
    """Where a training's randomness comes from, as in every trainer: (seed, model, epoch).

    seed: of the algorithm. model: number of the training. image_shape: height, width, channels before augmentation.
    """

    seed: int
    model: int
    image_shape: tuple[int, int, int]


@dataclass(frozen=True)
class Data:
    """What a training is given and measured on.

    Attributes:
        inputs: Makes the network's inputs.
        labels: Classes of the training examples, on the device.
        targets: Classes of the targets, on the device.
        output: What is recorded of each target.

    """

    inputs: Inputs
    labels: Int[Tensor, " train"]
    targets: Int[Tensor, " targets"]
    output: Output


class SgdProcess(Process):
    """Heavy-ball descent on the weighted cross-entropy of a batch.

        g = ∇_θ [Σ_i w_i·ℓ_i(θ) / norm] + decay·θ,    v ← μ·v + g,    θ ← θ − η·v,

    where norm = Σ_i w_i at the point of the derivative and is held constant. Constants of normalization that a recipe
    takes from subsets are those of the point's members and are held constant too. Computed in float32 whatever the
    recipe's precision, or in float64.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: PureNetwork,
        start: Parts,
        data: Data,
        point: Point,
        stream: Stream,
    ) -> None:
        """Take what ``sgd_process`` makes of a task.

        Args:
            recipe: Settings of training.
            network: The network.
            start: Its parameters that are trained, and its running statistics, before training.
            data: Examples and targets.
            point: The weights.
            stream: The randomness.

        """
        self.recipe, self.network, self.start = recipe, network, start
        self.data, self.point, self.stream = data, point, stream
        self.slices = point.batches(recipe.batch_size)
        self.steps = recipe.epochs * len(self.slices)
        self.units, self.targets = point.train, len(data.targets)
        any_value = next(iter(start[0].values()))
        self.weights = torch.from_numpy(point.weights()).to(any_value)
        self._epochs: dict[int, Drawn] = {}

    def initial(self) -> State:
        """Return the state before the first step; velocities are 0."""
        values, statistics = self.start
        return {
            **{VALUE + name: value for name, value in values.items()},
            **{VELOCITY + name: torch.zeros_like(value) for name, value in values.items()},
            **{STATISTIC + name: value for name, value in statistics.items()},
        }

    def _epoch_draws(self, epoch: int) -> Drawn:
        """Return order and draws of an epoch; those of the last two are kept."""
        if epoch not in self._epochs:
            for oldest in list(self._epochs)[:-1]:
                del self._epochs[oldest]
            self._epochs[epoch] = self._drawn(epoch)
        return self._epochs[epoch]

    def _drawn(self, epoch: int) -> Drawn:
        members, stream = self.point.members[None], self.stream
        order, draws = epoch_draws(self.recipe, members, [stream.model], stream.seed, epoch, stream.image_shape)
        return order[0], draws[0]

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: inputs x, augmented and normalized, labels y, and bytes of augmented images.

        Each is made when it is asked for; bytes are there where augmentations keep them.
        """
        epoch, place = divmod(step, len(self.slices))
        order, draws = self._epoch_draws(epoch)
        span, recipe = self.slices[place], self.recipe
        chosen = order[span]
        members = torch.from_numpy(chosen).to(self.weights.device)
        rate = learning_rate(recipe.schedule, step, self.steps, recipe.learning_rate, recipe.peak)
        inputs = self.data.inputs
        makers: dict[str, Callable[[], Tensor]] = {
            "x": lambda: inputs.training(chosen, draws[span]),
            "y": lambda: self.data.labels[members],
        }
        if isinstance(inputs, ImageInputs) and inputs.bytes_stay:
            makers["bytes"] = lambda: inputs.training_bytes(chosen, draws[span])
        return Batch(members, MadeOnce(makers), rate, len(chosen) * self.point.weight, step)

    def gradient(self, values: State, statistics: State, weights: Float[Tensor, " batch"], batch: Batch) -> Parts:
        """Return the gradient of the batch's loss, without weight decay, and the running statistics after it."""
        x, y = _made(batch)

        def loss(values: State) -> tuple[Tensor, State]:
            logits, after = self.network.train_logits({**values, **statistics}, x, weights)
            smoothing = self.recipe.label_smoothing
            losses = F.cross_entropy(logits, y, label_smoothing=smoothing, reduction="none")
            return (losses * weights).sum() / batch.norm, after

        found: Parts = grad(loss, has_aux=True)(values)
        return found

    def step(self, state: State, weights: Float[Tensor, " batch"], batch: Batch) -> State:
        """Return the state after a step."""
        values, velocities, statistics = parts_of(state)
        gradient, after = self.gradient(values, statistics, weights, batch)
        mu, decay = self.recipe.momentum, self.recipe.weight_decay
        velocities = {name: mu * velocities[name] + gradient[name] + decay * values[name] for name in values}
        values = {name: value - batch.rate * velocities[name] for name, value in values.items()}
        return state_of(values, velocities, after)

    def moved(self, values: State, velocities: State, gradient: State, rate: float) -> State:
        """Return the state after a step along a gradient, all tensors at once; without running statistics."""
        names, mu, decay = list(values), self.recipe.momentum, self.recipe.weight_decay
        of_values = [values[name] for name in names]
        moved = torch._foreach_mul([velocities[name] for name in names], mu)
        torch._foreach_add_(moved, [gradient[name] for name in names])
        torch._foreach_add_(moved, torch._foreach_mul(of_values, decay))
        shifted = torch._foreach_sub(of_values, torch._foreach_mul(moved, rate))
        return state_of(dict(zip(names, shifted, strict=True)), dict(zip(names, moved, strict=True)), {})

    def outputs(self, state: State, targets: slice) -> Float[Tensor, " chosen"]:
        """Return the margins of some of the targets."""
        values, _, statistics = parts_of(state)
        views = (False, True) if self.recipe.test_time == "flip" else (False,)
        logits = [
            self.network.logits({**values, **statistics}, self.data.inputs.evaluation(targets, view)) for view in views
        ]
        return self.data.output(torch.stack(logits).mean(0), self.data.targets[targets])

    def targets_at_once(self, probes: int) -> int:
        """Return how many targets are evaluated together with so many probes."""
        numbers = self.data.inputs.evaluation(slice(0, 1), False).numel()
        return max(1, EVALUATED // (numbers * (probes + 1)))

    # The update is linear in values, velocities and gradient, so only the gradient has to be differentiated. Tangents
    # are changed in place, few probes at a time: all of them together leave the cache, and the time goes to memory.
    def push(self, state: State, batch: Batch, tangents: Probes, change: Float[Tensor, "probes batch"]) -> Probes:
        values, velocities, statistics = parts_of(tangents)
        gradients, after = self.push_gradient(state, batch, (values, statistics), change)
        mu, decay, rate = self.recipe.momentum, self.recipe.weight_decay, batch.rate
        for name, value in values.items():
            for v, g, x in zip(*_few(velocities[name], gradients[name], value), strict=True):
                v.mul_(mu).add_(g).add_(x, alpha=decay)
                x.add_(v, alpha=-rate)
        return state_of(values, velocities, after)

    def pull(self, state: State, batch: Batch, cotangents: Probes) -> tuple[Probes, Float[Tensor, "probes batch"]]:
        values, velocities, statistics = parts_of(cotangents)
        mu, decay, rate = self.recipe.momentum, self.recipe.weight_decay, batch.rate
        for name, value in values.items():
            for v, x in zip(*_few(velocities[name], value), strict=True):
                v.add_(x, alpha=-rate)
        (by_values, by_statistics), by_weights = self.pull_gradient(state, batch, (velocities, statistics))
        for name, value in values.items():
            for v, g, x in zip(*_few(velocities[name], by_values[name], value), strict=True):
                x.add_(g).add_(v, alpha=decay)
                v.mul_(mu)
        return state_of(values, velocities, by_statistics), by_weights

    def push_gradient(
        self, state: State, batch: Batch, tangents: Parts, change: Float[Tensor, "probes batch"]
    ) -> Parts:
        """Return how gradient and running statistics after a step change along tangents and changes of the weights."""
        values, _, statistics = parts_of(state)
        _made(batch)
        primals = (values, statistics, self.weights[batch.members])

        def one(value: State, statistic: State, direction: Tensor) -> Parts:
            moved: Parts = jvp(lambda v, s, w: self.gradient(v, s, w, batch), primals, (value, statistic, direction))[1]
            return moved

        pushed: Parts = vmap(one)(*tangents, change)
        return pushed

    def pull_gradient(
        self, state: State, batch: Batch, cotangents: Parts
    ) -> tuple[Parts, Float[Tensor, "probes batch"]]:
        """Return what cotangents of gradient and running statistics are for parameters, statistics and weights."""
        values, _, statistics = parts_of(state)
        _made(batch)
        back = vjp(lambda v, s, w: self.gradient(v, s, w, batch), values, statistics, self.weights[batch.members])[1]
        by_values, by_statistics, by_weights = vmap(back)(cotangents)
        return (by_values, by_statistics), by_weights


def _made(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return a batch's inputs and labels, made before any transformation of ``torch.func``: what is kept of inputs that
    were made within one, for the next batches, would belong to it.
    """
    return batch.data["x"], batch.data["y"]


def _few(*tensors: Float[Tensor, "probes ..."]) -> list[tuple[Tensor, ...]]:
    """Return tensors of one shape in parts of as many probes as are CACHED bytes, one at least."""
    first = tensors[0]
    at_once = max(1, CACHED * len(first) // max(1, first.numel() * first.element_size()))
    return [tensor.split(at_once) for tensor in tensors]


def parts_of(state: State) -> tuple[State, State, State]:
    """Return parameters, velocities and running statistics under their own names."""
    values, velocities, statistics = (
        {name.removeprefix(kind): value for name, value in state.items() if name.startswith(kind)}
        for kind in (VALUE, VELOCITY, STATISTIC)
    )
    return values, velocities, statistics


def state_of(values: State, velocities: State, statistics: State) -> State:
    """Return the reverse of ``parts_of``."""
    return {
        **{VALUE + name: value for name, value in values.items()},
        **{VELOCITY + name: value for name, value in velocities.items()},
        **{STATISTIC + name: value for name, value in statistics.items()},
    }
