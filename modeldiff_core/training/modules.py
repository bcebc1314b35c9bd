"""Any torch module trained by any of torch's optimizers: ``kind: torch``, a recipe that needs no code around it.

The network is named by its import path, or is an architecture that ships; the optimizer and the schedule are those of
``torch.optim``. Mixup, cutmix, random erasing and color jitter are settings. Models are trained one after the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.data import Examples
from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits
from modeldiff_core.models import architecture_of
from modeldiff_core.training.augmentations import Augmentation
from modeldiff_core.training.devices import available_device
from modeldiff_core.training.functions.guard import seeded
from modeldiff_core.training.gradients import TorchModels, modules_of
from modeldiff_core.training.mixing import erased, jittered, mixed
from modeldiff_core.training.operations import augmented, draws_per_image
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.torch_modules import (
    as_floats,
    check_logits,
    checked_module,
    code_of,
    logits_of_states,
    made,
    named,
    network_maker,
    optimizer_of,
    stacked,
    state_as,
    state_of,
)

BATCH = 500
"""Images of one evaluation batch."""
Share = Annotated[float, Limit(least=0, most=1, what="a share")]


@dataclass(frozen=True)
class TorchRecipe:
    """A torch module trained on the cross-entropy of a subset.

    Attributes:
        network: Import path of a subclass of ``torch.nn.Module``, or of a function that makes one, ``module:name``; or
            an architecture that ships, by name.
        network_arguments: Its arguments, by name.
        optimizer: Name of a class of ``torch.optim``.
        optimizer_arguments: Its arguments besides the parameters, by name, such as lr.
        scheduler: Name of a class of ``torch.optim.lr_scheduler``; none if empty.
        scheduler_arguments: Its arguments besides the optimizer, by name.
        scheduler_every: Whether the schedule goes on after each batch or after each epoch.
        epochs: Passes over the subset.
        batch_size: Images of a batch; the last one of a pass may be smaller.
        label_smoothing: Share of the target spread over all classes.
        mixup: α of Beta(α, α), from which the share of a second image is drawn for each batch (Zhang et al. 2018);
            0 for none.
        cutmix: α of the share of a rectangle that comes from a second image (Yun et al. 2019); 0 for none. With both,
            each batch has one of the two, by chance.
        erasing: Probability that a random rectangle of an image is erased (Zhong et al. 2020).
        jitter: Largest relative change of brightness, contrast and saturation, one by one.
        augmentations: Changes of training images before these, as of the recipe ``sgd``.
        mean: Pixels enter as (pixel/255 − mean)/scale; one number, or one a channel.
        scale: See mean.
        clip: Largest norm of the gradient; 0 for no limit.
    """

    network: str
    network_arguments: Mapping[str, object] = field(default_factory=dict)
    optimizer: str = "SGD"
    optimizer_arguments: Mapping[str, object] = field(default_factory=lambda: {"lr": 0.1})
    scheduler: str = ""
    scheduler_arguments: Mapping[str, object] = field(default_factory=dict)
    scheduler_every: Literal["batch", "epoch"] = "epoch"
    epochs: Annotated[int, Limit(least=1)] = 15
    batch_size: Annotated[int, Limit(least=1)] = 50
    label_smoothing: Annotated[float, Limit(least=0, below=1)] = 0.0
    mixup: Annotated[float, Limit(least=0)] = 0.0
    cutmix: Annotated[float, Limit(least=0)] = 0.0
    erasing: Share = 0.0
    jitter: Share = 0.0
    augmentations: tuple[Augmentation, ...] = ()
    mean: float | tuple[float, ...] = 0.5
    scale: float | tuple[float, ...] = 0.5
    clip: Annotated[float, Limit(least=0)] = 0.0

    def __post_init__(self) -> None:
        check = Check("recipe")
        check_limits(self, check)
        scales = (self.scale,) if isinstance(self.scale, int | float) else self.scale
        check(all(scale > 0 for scale in scales), "scale", "more than 0", self.scale)
        optimizer = named(torch.optim, self.optimizer, torch.optim.Optimizer, "optimizer")
        made(optimizer, ([nn.Parameter(torch.zeros(1))],), self.optimizer_arguments, "optimizer_arguments")
        if self.scheduler:
            self._schedule(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1))

    @property
    def maker(self) -> Any:
        """What makes the network; raises ConfigError where it cannot be imported."""
        return network_maker(self.network)

    def code(self) -> dict[str, Any]:
        """Return what is known of the network's code; empty for an architecture that ships."""
        if ":" not in self.network:
            return {}
        return code_of(self.network)

    def build(self, image_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
        """Return a new network; raises ConfigError for arguments that it does not take."""
        if ":" in self.network:
            net = made(self.maker, (), self.network_arguments, "network_arguments")
        else:
            widths = self.network_arguments.get("widths")
            architecture = architecture_of(self.network)
            sizes = architecture.checked_widths(None if widths is None else tuple(widths), self.network)  # type: ignore[arg-type]
            net = architecture.build(image_shape, sizes, n_classes)
        return checked_module(net, self.network)

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Raise ConfigError for a network that does not give a logit for each class of such images."""
        draws_per_image(self.augmentations, image_shape)
        height, width, channels = image_shape
        with seeded(0):
            net = self.build(image_shape, n_classes).eval()
            wanted = f"images [n, {channels}, {height}, {width}] of float32"
            check_logits(net, self.network, torch.zeros(2, channels, height, width), wanted, n_classes, "an image")

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> "ModuleModels":
        """Train one network after the other; each is a pure function of the recipe, its mask, its number and seed."""
        device = available_device(execution.device)
        height, width, channels = examples.images.shape[1:]
        shape = (height, width, channels)
        states = [
            self._one(examples, np.flatnonzero(mask), int(number), (seed, n_classes, shape, device))
            for mask, number in zip(masks, models, strict=True)
        ]
        return ModuleModels(self, stacked(states), shape, n_classes, device)

    def load(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> "ModuleModels":
        """Return the networks with stored weights."""
        device = available_device(execution.device)
        return ModuleModels(self, weights, image_shape, n_classes, device)

    def torch_models(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> TorchModels:
        """Return the networks with stored weights as torch modules, for estimators that take gradients."""
        models = self.load(weights, image_shape, n_classes, execution)
        net = models.module()
        states = tuple(models.state(row, net) for row in range(len(models)))

        def inputs(images: UInt8[np.ndarray, "images height width channels"]) -> Tensor:
            return self.normalized(self.inputs(torch.from_numpy(images).to(models.device)))

        return modules_of(net, states, inputs)

    def inputs(self, pixels: UInt8[Tensor, "n height width channels"]) -> Float[Tensor, "n height width channels"]:
        """Return images in 0..1."""
        return pixels.float() / 255

    def normalized(
        self, images: Float[Tensor, "n height width channels"]
    ) -> Float[Tensor, "n channels out_height out_width"]:
        """Return a network's inputs."""
        mean, scale = (torch.as_tensor(value, device=images.device) for value in (self.mean, self.scale))
        return ((images - mean) / scale).permute(0, 3, 1, 2).contiguous()

    def _one(
        self, examples: Examples, members: Int[np.ndarray, " subset"], number: int, given: Any
    ) -> dict[str, np.ndarray]:
        seed, n_classes, shape, device = given
        with seeded(first_seed(seed, number)):
            net = self.build(shape, n_classes).to(device).train()
            optimizer = optimizer_of(self, net.parameters())
            schedule = self.schedule(optimizer)
            images, labels = torch.from_numpy(examples.images), torch.from_numpy(examples.labels)
            for epoch in range(self.epochs):
                for batch in self._batches(members, number, seed, epoch):
                    x, y = self.inputs(images[batch].to(device)), labels[batch].to(device)
                    loss = self._loss(net, x, y, n_classes, batch_draws(seed, number, epoch, int(batch[0])))
                    optimizer.zero_grad()
                    loss.backward()
                    if self.clip:
                        nn.utils.clip_grad_norm_(net.parameters(), self.clip)
                    optimizer.step()
                    if schedule and self.scheduler_every == "batch":
                        schedule.step()
                if schedule and self.scheduler_every == "epoch":
                    schedule.step()
        return state_of(net)

    def _batches(self, members: Int[np.ndarray, " subset"], number: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
        order = epoch_order(members, number, seed, epoch)
        for at in range(0, len(order), self.batch_size):
            if len(order) - at > 1 or at == 0:  # batch normalization takes no batch of one
                yield order[at : at + self.batch_size]

    def changed(
        self, x: Float[Tensor, "n height width channels"], target: Float[Tensor, "n k"], draws: np.random.Generator
    ) -> tuple[Float[Tensor, "n channels out_height out_width"], Float[Tensor, "n k"]]:
        """Return the network's inputs for a training batch of images in 0..1, with targets mixed as the images are."""
        if self.augmentations:
            width = draws_per_image(self.augmentations, tuple(x.shape[1:]))  # type: ignore[arg-type]
            uniform = torch.from_numpy(draws.random((len(x), width), dtype=np.float32)).to(x.device)
            x = augmented(self.augmentations, x, uniform)
        if self.jitter:
            x = jittered(x, self.jitter, draws)
        if self.erasing:
            x = erased(x, self.erasing, draws)
        if self.mixup or self.cutmix:
            x, target = mixed(x, target, self.mixup, self.cutmix, draws)
        return self.normalized(x), target

    def _loss(
        self, net: nn.Module, x: Tensor, y: Int[Tensor, " n"], n_classes: int, draws: np.random.Generator
    ) -> Float[Tensor, ""]:
        inputs, target = self.changed(x, F.one_hot(y, n_classes).float(), draws)
        loss: Tensor = F.cross_entropy(net(inputs).float(), target, label_smoothing=self.label_smoothing)
        return loss

    def schedule(self, optimizer: torch.optim.Optimizer) -> Any:
        """Return the schedule of an optimizer, None without one."""
        return self._schedule(optimizer) if self.scheduler else None

    def scheduled(self, batches: int) -> list[dict[str, Any]]:
        """Return the optimizer's settings at each step of a training with so many batches in an epoch.

        The schedule is run on a parameter that never changes.

        Raises:
            ConfigError: For a schedule that needs more than the number of the step, or ends too early.
        """
        optimizer = optimizer_of(self, [nn.Parameter(torch.zeros(1))])
        schedule, settings = self.schedule(optimizer), []
        try:
            for _ in range(self.epochs):
                for _ in range(batches):
                    settings.append(
                        {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}
                    )
                    optimizer.step()
                    if schedule and self.scheduler_every == "batch":
                        schedule.step()
                if schedule and self.scheduler_every == "epoch":
                    schedule.step()
        except (TypeError, ValueError) as error:
            expected = f"a schedule of {self.epochs * batches} steps that needs nothing but their number"
            raise ConfigError("recipe.scheduler", expected, self.scheduler, str(error)) from error
        return settings

    def _schedule(self, optimizer: torch.optim.Optimizer) -> Any:
        base = torch.optim.lr_scheduler.LRScheduler
        cls = named(torch.optim.lr_scheduler, self.scheduler, base, "scheduler")
        return made(cls, (optimizer,), self.scheduler_arguments, "scheduler_arguments")


@dataclass(frozen=True)
class ModuleModels:
    """Networks of one recipe, as their states [models, ...]."""

    recipe: TorchRecipe
    states: Mapping[str, np.ndarray]
    image_shape: tuple[int, int, int]
    n_classes: int
    device: torch.device

    def __len__(self) -> int:
        return len(next(iter(self.states.values())))

    def module(self) -> nn.Module:
        """Return a network to be given their states, in evaluation mode."""
        with seeded(0):
            return self.recipe.build(self.image_shape, self.n_classes).to(self.device).eval()

    def state(self, row: int, net: nn.Module) -> dict[str, Tensor]:
        """Return the state of one of them, in the types of a network."""
        return state_as(net, {name: value[row] for name, value in self.states.items()})

    def logits(
        self, images: UInt8[np.ndarray, "targets height width channels"]
    ) -> Float[np.ndarray, "models targets classes"]:
        """Return float32 logits of every model, in evaluation mode and without augmentation."""

        def batches() -> Iterator[Tensor]:
            for at in range(0, len(images), BATCH):
                pixels = torch.from_numpy(images[at : at + BATCH]).to(self.device)
                yield self.recipe.normalized(self.recipe.inputs(pixels))

        return logits_of_states(self.module(), self.states, batches)

    def weights(self) -> dict[str, Float[np.ndarray, "models ..."]]:
        """Return the states as float32 arrays."""
        return as_floats(self.states)


def first_seed(seed: int, number: int) -> int:
    """Return the seed from which model `number` is initialized."""
    return int(generator("torch module", seed, number).integers(2**31))


def epoch_order(members: Int[np.ndarray, " subset"], number: int, seed: int, epoch: int) -> Int[np.ndarray, " subset"]:
    """Return the order in which model `number` sees its examples in an epoch."""
    order: np.ndarray = generator("order", seed, number, epoch).permutation(members)
    return order


def batch_draws(seed: int, number: int, epoch: int, first: int) -> np.random.Generator:
    """Return what changes of a batch are drawn from, given its first example's position."""
    return generator("torch batch", seed, number, epoch, first)
