"""Trainings of kind ``torch`` as processes: any module with SGD, Adam or AdamW, with a weight on every example."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import grad
from torch.nn import functional as F

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.margins import OUTPUTS, Output
from modeldiff_core.metagradients.batch_norm import PureBatchNorm, make_pure
from modeldiff_core.metagradients.dropout import PureDropout, make_pure_dropout
from modeldiff_core.metagradients.networks import PureNetwork
from modeldiff_core.metagradients.optimizers import Rule, rule_of
from modeldiff_core.metagradients.point import Point
from modeldiff_core.metagradients.process import Batch, Process, State
from modeldiff_core.metagradients.products import forward_products, reverse_products
from modeldiff_core.metagradients.sgd import EVALUATED, STATISTIC, VALUE, Parts, Stream
from modeldiff_core.metagradients.trajectory import Trajectory
from modeldiff_core.models.attention import plain_attention
from modeldiff_core.training import Task
from modeldiff_core.training.functions.guard import said, seeded
from modeldiff_core.training.modules import TorchRecipe, batch_draws, epoch_order, first_seed

KEY = "recipe.network"
KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LEAST_IN_NORM = 2
SEEDS = 4
"""Seeds of the global generators with which a network has to give the same logits."""


@dataclass(frozen=True)
class Start:
    """A module as functions, and the state that training starts from.

    network: in training and in evaluation mode. values: of the parameters that are trained. statistics: running ones of
    batch normalization. dropouts: layers that draw by the number of the step.
    """

    network: PureNetwork
    values: State
    statistics: State
    dropouts: tuple[PureDropout, ...]


@dataclass(frozen=True)
class Given:
    """Examples and targets of a training, the latter as [targets, height, width, channels] of bytes."""

    train: Examples
    targets: Examples
    n_classes: int
    output: Output


class ModuleProcess(Process):
    """The training of a module on the weighted cross-entropy of a batch.

        L(θ) = Σ_i Σ_j M_ij·w_j·ℓ(θ; x̃_i, y_j) / norm,    θ ← the optimizer's step with ∇L,

    x̃_i being image i as augmentation leaves it, made of examples j in the shares M_ij: the identity, unless mixup or
    cutmix mix pairs. A label counts by the weight of its own example; what an example is to the image of another is
    held constant. norm = Σ_i w_i at the point of the derivative is held constant too. All draws are those of the
    ordinary training but for dropout's, which depend on the number of the step. At weight 1 and without dropout,
    outputs are those of the ordinary training up to rounding.
    """

    def __init__(
        self, recipe: TorchRecipe, start: Start, rule: Rule, given: Given, point: Point, stream: Stream
    ) -> None:
        """Take what ``module_process`` makes of a task.

        Args:
            recipe: Settings of training.
            start: The network before training.
            rule: The optimizer's step.
            given: Examples and targets.
            point: The weights.
            stream: The randomness.

        """
        self.recipe, self.start, self.rule, self.given, self.stream = recipe, start, rule, given, stream
        self.point, self.slices = point, batch_slices(recipe, point)
        self.steps = recipe.epochs * len(self.slices)
        self.units, self.targets = point.train, len(given.targets)
        any_value = next(iter(start.values.values()))
        self.weights = torch.from_numpy(point.weights()).to(any_value)
        self.labels, self.target_labels = (
            torch.from_numpy(examples.labels).to(any_value.device) for examples in (given.train, given.targets)
        )
        self._order = lru_cache(maxsize=2)(self._ordered)

    def initial(self) -> State:
        """Return the state before the first step; what the optimizer keeps of a parameter is 0."""
        kept = {
            name: {key: torch.zeros_like(value) for key, value in self.start.values.items()} for name in self.rule.kept
        }
        return joined(self.start.values, kept, self.start.statistics)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: inputs as augmented and mixed, labels, and the shares of examples in images."""
        epoch, place = divmod(step, len(self.slices))
        chosen = self._order(epoch)[self.slices[place]]
        members = torch.from_numpy(chosen).to(self.weights.device)
        images = self.recipe.inputs(torch.from_numpy(self.given.train.images[chosen]).to(self.weights.device))
        draws = batch_draws(self.stream.seed, self.stream.model, epoch, int(chosen[0]))
        mixing = self.recipe.mixup or self.recipe.cutmix
        shares = torch.eye(len(chosen)) if mixing else torch.zeros(len(chosen), 0)
        x, shares = self.recipe.changed(images, shares.to(images.device), draws)
        data = {"x": x.to(self.weights), "y": F.one_hot(self.labels[members], self.given.n_classes).to(self.weights)}
        if mixing:
            data["shares"] = shares.to(self.weights)
        return Batch(members, data, norm=len(chosen) * self.point.weight, step=step)

    def gradient(self, values: State, statistics: State, weights: Float[Tensor, " batch"], batch: Batch) -> Parts:
        """Return the gradient of the batch's loss, without weight decay, and the running statistics after it."""
        for layer in self.start.dropouts:
            layer.begin(batch.step)
        shares = batch.data.get("shares")
        counted = weights if shares is None else shares @ weights
        target = weights[:, None] * batch.data["y"]
        if shares is not None:
            target = shares @ target

        def loss(values: State) -> tuple[Tensor, State]:
            logits, after = self.start.network.train_logits({**values, **statistics}, batch.data["x"], counted)
            logs = F.log_softmax(logits, 1)
            losses = -(target * logs).sum(1)
            if smoothing := self.recipe.label_smoothing:
                losses = (1 - smoothing) * losses - smoothing * counted * logs.mean(1)
            return losses.sum() / batch.norm, after

        with plain_attention():
            found: Parts = grad(loss, has_aux=True)(values)
        return found

    def step(self, state: State, weights: Float[Tensor, " batch"], batch: Batch) -> State:
        """Return the state after a step."""
        values, kept, statistics = self._parts(state)
        gradient, after = self.gradient(values, statistics, weights, batch)
        values, kept = self.rule.step(values, kept, gradient, batch.step)
        return joined(values, kept, {**statistics, **after})

    def outputs(self, state: State, targets: slice) -> Float[Tensor, " chosen"]:
        """Return the output of some of the targets."""
        values, _, statistics = self._parts(state)
        with plain_attention():
            logits = self.start.network.logits({**values, **statistics}, self._shown(targets))
        return self.given.output(logits, self.target_labels[targets])

    def targets_at_once(self, probes: int) -> int:
        """Return how many targets are evaluated together with so many probes."""
        return max(1, EVALUATED // (self._shown(slice(0, 1)).numel() * (probes + 1)))

    def _shown(self, targets: slice) -> Float[Tensor, "chosen ..."]:
        images = torch.from_numpy(self.given.targets.images[targets]).to(self.weights.device)
        return self.recipe.normalized(self.recipe.inputs(images)).to(self.weights)

    def _ordered(self, epoch: int) -> Int[np.ndarray, " members"]:
        return epoch_order(self.point.members, self.stream.model, self.stream.seed, epoch)

    def _parts(self, state: State) -> tuple[State, dict[str, State], State]:
        """Return parameters, what is kept of them, and running statistics, under their own names."""

        def of(kind: str) -> State:
            return {name.removeprefix(kind): value for name, value in state.items() if name.startswith(kind)}

        return of(VALUE), {kind: of(f"{kind}:") for kind in self.rule.kept}, of(STATISTIC)


def joined(values: State, kept: Mapping[str, State], statistics: State) -> State:
    """Return one state of parameters, what is kept of them and running statistics."""
    return {
        **{VALUE + name: value for name, value in values.items()},
        **{f"{kind}:{name}": value for kind, own in kept.items() for name, value in own.items()},
        **{STATISTIC + name: value for name, value in statistics.items()},
    }


def batch_slices(recipe: TorchRecipe, point: Point) -> list[slice]:
    """Return the places of each batch in an epoch's order; as in training, no last batch of one, by weight."""
    slices = point.batches(recipe.batch_size)
    last = slices[-1].stop - slices[-1].start
    return slices[:-1] if len(slices) > 1 and round(last * point.weight) <= 1 else slices


def module_process(
    task: Task, point: Point, model: int, device: torch.device, dtype: torch.dtype, *, weighted: bool
) -> ModuleProcess:
    """Return the training of a model of kind torch.

    Args:
        task: The algorithm and its data.
        point: The weights.
        model: Number of the model among all that draw from the algorithm's seed.
        device: Where it is trained.
        dtype: Precision of the training and its derivatives.
        weighted: Whether the statistics of batch normalization count an example by its weight.

    Raises:
        ConfigError: For an optimizer, a schedule or a network that cannot be differentiated.
    """
    recipe = task.algorithm
    assert isinstance(recipe, TorchRecipe)
    height, width, channels = task.train.images.shape[1:]
    shape = (height, width, channels)
    slices = batch_slices(recipe, point)
    rule = rule_of(recipe, len(slices))
    start = start_of(recipe, (shape, task.n_classes), (task.seed, model), weighted=weighted)
    smallest = min(one.stop - one.start for one in slices)
    if start.network.norms and smallest < LEAST_IN_NORM:
        raise ConfigError("recipe.batch_size", "2 or more, for batch normalization", recipe.batch_size)
    moved = start if (device.type, dtype) == ("cpu", torch.float32) else _moved(start, device, dtype)
    given = Given(task.train, task.targets, task.n_classes, OUTPUTS.get(task.output))
    return ModuleProcess(recipe, moved, rule, given, point, Stream(task.seed, model, shape))


def start_of(
    recipe: TorchRecipe, sizes: tuple[tuple[int, int, int], int], stream: tuple[int, int], *, weighted: bool = False
) -> Start:
    """Return a recipe's network as functions, initialized as in an ordinary training.

    Args:
        recipe: Settings of training.
        sizes: Shape of the images, and number of classes.
        stream: Seed of the algorithm and number of the model.
        weighted: Whether the statistics of batch normalization count an example by its weight.

    Raises:
        ConfigError: For layers that are no functions of their inputs and weights.
    """
    with seeded(first_seed(*stream)):
        module = recipe.build(*sizes).train()
    trained = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    dropouts = make_pure_dropout(module, stream)
    layers = make_pure(module, KINDS, KEY)
    module.requires_grad_(False)
    norms: dict[str, PureBatchNorm] = {name: layer for name, layer in layers.items() if layer.training}
    statistics = [f"{name}.{kind}" for name in norms for kind in ("running_mean", "running_var")]
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    state = {name: value.detach().clone() for name, value in state.items()}
    constants = {name: value for name, value in state.items() if name not in statistics and name not in trained}
    network = PureNetwork(module, copy.deepcopy(module).eval(), norms, constants, weighted)
    return Start(
        network, {name: state[name] for name in trained}, {name: state[name] for name in statistics}, tuple(dropouts)
    )


def check_module(recipe: TorchRecipe, image_shape: tuple[int, int, int], n_classes: int) -> None:
    """Raise ConfigError for a network whose training steps cannot be differentiated, with the reason.

    The network is called once, and two steps on four black images are differentiated forward and backward.
    """
    rule_of(recipe, 1)
    start = start_of(recipe, (image_shape, n_classes), (0, 0))
    blank = Examples(np.zeros((4, *image_shape), np.uint8), np.arange(4) % n_classes)
    tried = Stream(0, 0, image_shape)
    given, point = Given(blank, blank, n_classes, OUTPUTS.get("margin")), Point.everywhere(4, 1.0)
    small = copy.copy(recipe)
    for name, value in (("epochs", 1), ("batch_size", 2)):
        object.__setattr__(small, name, value)
    try:
        process = ModuleProcess(small, start, rule_of(small, 2), given, point, tried)
        _check_pure(process)
        trajectory = Trajectory(process)
        forward_products(trajectory, torch.ones(2, 4))
        reverse_products(trajectory, torch.ones(2, 4))
    except ConfigError:
        raise
    except Exception as error:
        expected = "a network whose training steps torch.func can differentiate and map over"
        raise ConfigError(KEY, expected, recipe.network, said(error)) from error


def _check_pure(process: ModuleProcess) -> None:
    """Raise ConfigError if a forward pass draws from global generators, or writes to buffers."""
    network, values = process.start.network, {**process.start.values, **process.start.statistics}
    buffers = {name: value.clone() for name, value in network.constants.items()}
    batch = process.batch(0)
    found: list[Tensor] = []
    drawn = False
    with torch.no_grad():
        for seed in range(SEEDS):
            for layer in process.start.dropouts:
                layer.begin(0)
            with seeded(seed):
                before = _generators()
                found.append(network.train_logits(values, batch.data["x"], process.weights[:2])[0])
                drawn |= _generators() != before
    drawn |= not all(torch.equal(found[0], other) for other in found)
    if drawn:
        raise ConfigError(
            KEY,
            "a network that draws at random in layers nn.Dropout alone",
            process.recipe.network,
            "Its forward pass draws from a global generator; metagradients have to take the same step again",
        )
    for name, value in buffers.items():
        if not torch.equal(value, network.constants[name]):
            raise ConfigError(
                KEY,
                "a network whose forward pass changes nothing but running statistics of batch normalization",
                f"{process.recipe.network}: buffer {name}",
                "Metagradients cannot be taken through it",
            )


def _generators() -> tuple[object, ...]:
    """Return the states of torch's and numpy's generators; that of Python is drawn from by checks of types, too."""
    name, keys, place, *rest = np.random.get_state()
    return bytes(torch.random.get_rng_state().numpy()), name, bytes(keys), place, *rest  # type: ignore[arg-type]


def _moved(start: Start, device: torch.device, dtype: torch.dtype) -> Start:
    """Return the same on a device, in a precision."""

    def on(state: State) -> State:
        return {name: value.to(device, dtype if value.is_floating_point() else None) for name, value in state.items()}

    network = start.network
    constants = on(network.constants)
    moved = PureNetwork(network.training, network.evaluation, network.norms, constants, network.weighted)
    moved.training.to(device)
    moved.evaluation.to(device)
    return Start(moved, on(start.values), on(start.statistics), start.dropouts)
