"""The algorithm ``kind: sgd``: a recipe for a network, trained on many subsets in the way that suits it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.models import Net, Shape, StackedHead, StackedNetwork, architecture_of
from modeldiff_core.models.batch_norm_stacks import SideBySide
from modeldiff_core.models.initial import State, plain_state, random_state, stored_state
from modeldiff_core.models.stacks import from_module, to_module
from modeldiff_core.training.batches import Resident, rows_at
from modeldiff_core.training.descent import network_inputs
from modeldiff_core.training.devices import available_device, fast_arithmetic, out_of_memory, peak_memory
from modeldiff_core.training.features import Backbone, is_frozen
from modeldiff_core.training.ffcv_source import BetonSource, choose_source
from modeldiff_core.training.gradients import TorchModels, head_modules, network_modules
from modeldiff_core.training.native import Layout, layout_of, native_evaluator, native_library, train_native
from modeldiff_core.training.normalisation import Normalisation, check_channels, from_subsets, given, normalisation_of
from modeldiff_core.training.operations import draws_per_image, shape_after
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.settings import Network, Recipe
from modeldiff_core.training.single import check_batches, train_single, workbench
from modeldiff_core.training.stacked import train_stack
from modeldiff_core.training.trained import (
    MEAN,
    SCALE,
    Evaluator,
    HeadModels,
    NetworkModels,
    module_evaluator,
    stack_evaluator,
)

log = logging.getLogger(__name__)

READY_PIXELS = 2**26
"""Most pixels that are kept as float32 inputs (256 MB), so that a batch is only gathered."""

Part = Callable[[slice], dict[str, Tensor]]
"""Trains some of the models, by their rows; gives their states [models, ...]."""


class Sgd(Recipe):
    """A recipe that trains: stacked where the network can be, else one model after the other."""

    def check(self, image_shape: Shape, n_classes: int) -> None:
        """Build the network, read its weights, ask each augmentation for its draws: all know what they cannot take."""
        draws_per_image(self.augmentations, image_shape)
        check_channels(self, image_shape[2])
        shape = shape_after(self.augmentations, image_shape)
        net = _shapes(self.network, shape, n_classes)
        if self.network.init != "random":
            stored_state(net, self.network.init, self.network.kind)

    def check_size(self, image_shape: Shape, n_classes: int, size: int) -> None:
        """Whether the batches of a subset suit the network."""
        shape = shape_after(self.augmentations, image_shape)
        check_batches(self, _shapes(self.network, shape, n_classes), size)

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
        steps: int | None = None,
    ) -> NetworkModels | HeadModels:
        """Train in launches of at most ``execution.stack`` models; every mask must leave the same number in.

        steps: stop each model after so many, to measure; what does not fit the memory is then raised.
        """
        sizes = masks.sum(1)
        if len(set(sizes.tolist())) != 1 or not sizes[0]:
            raise ConfigError("masks", "rows that leave the same number of examples in, one or more", sizes.tolist())
        height, width, channels = examples.images.shape[1:]
        job = _Job(self, examples, n_classes, masks, models, seed, execution, (height, width, channels), steps)
        with fast_arithmetic(job.device):
            return job.heads() if is_frozen(self, job.image_shape) else job.networks()

    def stackable(self, image_shape: Shape) -> bool:
        """Whether several models can be trained in one launch."""
        return architecture_of(self.network.kind).stack is not None or is_frozen(self, image_shape)

    def is_native(self, image_shape: Shape, n_classes: int, execution: Execution) -> bool:
        """Whether models are trained in compiled code, one by one, whatever the stack."""
        return _native(self, shape_after(self.augmentations, image_shape), n_classes, execution) is not None

    def load(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: Shape,
        n_classes: int,
        execution: Execution,
    ) -> NetworkModels | HeadModels:
        """The networks with stored weights."""
        device = available_device(execution.device)
        state = {name: torch.from_numpy(np.array(value)).to(device) for name, value in weights.items()}
        shape = shape_after(self.augmentations, image_shape)
        net, _ = workbench(self.network, shape, n_classes, device, False)
        if is_frozen(self, image_shape):
            return HeadModels(*_frozen(self, net, n_classes, shape, device), state)
        own = Normalisation(state.pop(MEAN), state.pop(SCALE)) if from_subsets(self) else given(self, device)
        evaluator = _evaluator(net, _stack(self.network, shape, n_classes), _native(self, shape, n_classes, execution))
        return NetworkModels(self, evaluator, state, own)

    def torch_models(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: Shape,
        n_classes: int,
        execution: Execution,
    ) -> TorchModels:
        """The networks with stored weights as torch modules."""
        models = self.load(weights, image_shape, n_classes, execution)
        return (
            head_modules(models) if isinstance(models, HeadModels) else network_modules(models, image_shape, n_classes)
        )


class _Job:
    """One call of ``Sgd.train``."""

    def __init__(
        self,
        recipe: Recipe,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
        image_shape: Shape,
        steps: int | None,
    ) -> None:
        self.recipe, self.examples, self.masks, self.models, self.seed = recipe, examples, masks, models, seed
        self.image_shape, self.steps, self.execution, self.n_classes = image_shape, steps, execution, n_classes
        self.device = available_device(execution.device)
        self.shape = shape_after(recipe.augmentations, image_shape)
        self.bench = workbench(recipe.network, self.shape, n_classes, self.device, execution.compiled)
        self.labels = torch.from_numpy(examples.labels).to(self.device)

    def networks(self) -> NetworkModels:
        """Train whole networks, or those of their layers that the recipe names."""
        recipe, net = self.recipe, self.bench[0]
        check_batches(recipe, net, int(self.masks[0].sum()))
        normalisation = normalisation_of(recipe, self.examples.images, self.masks, self.device)
        source = self.source()
        stack = _stack(recipe.network, self.shape, self.n_classes)
        # Examples with a beton train by torch wherever their images are, so that both places give the same bits.
        alone = self.examples.beton is None
        layout = _native(recipe, self.shape, self.n_classes, self.execution) if alone else None
        evaluator = _evaluator(net, stack, layout)
        if layout:
            state = self.in_parts(len(self.models), self.natively(layout, source, normalisation))
            return NetworkModels(recipe, evaluator, state, normalisation)
        trained = net.trained_names(recipe.network.trainable)

        def single(rows: slice) -> dict[str, Tensor]:
            row = rows.start
            state = train_single(
                recipe, self.bench, source, normalisation.of(row), self.start(row), self.labels, self.masks[row],
                self.models[row], self.seed, self.image_shape, self.steps,
            )  # fmt: skip
            return {name: value[None] for name, value in (from_module(state) if stack else state).items()}

        ready = self.inputs_of_all(source, normalisation) if isinstance(source, Resident) else None

        beside = None if stack else SideBySide(_shapes(recipe.network, self.shape, self.n_classes), trained)

        def logits(parameters: dict[str, Tensor], images: Tensor) -> Tensor:
            if stack:
                return stack.logits(parameters, images)
            assert beside is not None
            of_batch, statistics = beside.logits(parameters, images)
            parameters.update(statistics)
            return of_batch

        def stacked(rows: slice) -> dict[str, Tensor]:
            assert isinstance(source, Resident)
            own = normalisation.rows(rows)

            def inputs(index: Tensor, draws: Tensor) -> Tensor:
                if ready is not None:
                    return rows_at(ready, index)
                return network_inputs(recipe, own, rows_at(source.images, index).float(), draws)

            starts = [self.start(row) for row in range(len(self.models))[rows]]
            return train_stack(
                recipe, logits, inputs, [from_module(start) for start in starts] if stack else starts, trained,
                self.labels, self.masks[rows], self.models[rows], self.seed, self.image_shape, self.steps,
            )  # fmt: skip

        wide = stack is not None or self.execution.stack_batch_norm
        launch = self.execution.stack if wide and isinstance(source, Resident) else 1
        state = self.in_parts(launch, lambda rows: single(rows) if rows.stop - rows.start == 1 else stacked(rows))
        return NetworkModels(recipe, evaluator, state, normalisation)

    def natively(self, layout: Layout, source: Resident | BetonSource, normalisation: Normalisation) -> Part:
        """How models are trained in compiled code."""
        return lambda rows: train_native(
            self.recipe, layout, source, normalisation.rows(rows),
            (from_module(self.start(row)) for row in range(len(self.models))[rows]), self.examples.labels,
            self.masks[rows], self.models[rows], self.seed, self.image_shape, self.steps,
        )  # fmt: skip

    def source(self) -> Resident | BetonSource:
        """The images on the device, or FFCV's reader where they would take too much of its memory."""
        images, beton = self.examples.images, self.examples.beton
        if beton is None or choose_source(images.nbytes, self.device, self.execution.resident_share) == "resident":
            return Resident(images, self.device)
        return BetonSource(Path(beton), self.device, self.execution.ffcv_workers)

    def heads(self) -> HeadModels:
        """Train heads on the features of a backbone that no model changes."""
        backbone, head = _frozen(self.recipe, self.bench[0], self.n_classes, self.shape, self.device)
        features = backbone.features(self.examples.images)
        names = [name for name in plain_state(backbone.net) if name.startswith(f"{head.name}.")]

        def stacked(rows: slice) -> dict[str, Tensor]:
            starts = [from_module(self.start(row, names)) for row in range(len(self.models))[rows]]
            return train_stack(
                self.recipe, head.logits, lambda index, _: rows_at(features, index), starts, names, self.labels,
                self.masks[rows], self.models[rows], self.seed, self.image_shape, self.steps,
            )  # fmt: skip

        return HeadModels(backbone, head, self.in_parts(self.execution.stack, stacked))

    def inputs_of_all(self, source: Resident, normalisation: Normalisation) -> Tensor | None:
        """The network's inputs for all images, where every model sees the same ones each time and they fit."""
        if self.recipe.augmentations or from_subsets(self.recipe) or source.images.numel() > READY_PIXELS:
            return None
        return normalisation(source.images[None].float().div_(255))[0]

    def start(self, row: int, names: list[str] | None = None) -> State:
        """The state that a model starts from: a pure function of the recipe, the seed and the model's number.

        names: only these, where others are not needed.
        """
        network, net, purpose = self.recipe.network, self.bench[0], (self.seed, int(self.models[row]))
        stored = _stored(network, self.shape, self.n_classes) if network.init != "random" else {}
        wanted = list(plain_state(net)) if names is None else names
        stack = _stack(network, self.shape, self.n_classes)
        if stack:
            drawn = stack.initial(generator("initialisation", *purpose))
            random = to_module({name: torch.from_numpy(value) for name, value in drawn.items()})
        else:
            missing = [name for name in wanted if name not in stored]
            random = random_state(net, lambda name: generator("initialisation", *purpose, name), missing)
        return {name: stored.get(name, random.get(name)) for name in wanted}  # type: ignore[misc]

    def in_parts(self, launch: int, train: Part) -> dict[str, Tensor]:
        """Train rows in launches of at most that many, halved where memory does not suffice."""
        parts, at = [], 0
        while at < len(self.models):
            rows = slice(at, min(at + launch, len(self.models)))
            try:
                parts.append(train(rows))
            except (RuntimeError, MemoryError) as error:
                if rows.stop - rows.start == 1 or self.steps is not None or not out_of_memory(error):
                    raise
                reason, halved = str(error).split("\n")[0], (rows.stop - rows.start) // 2
                log.warning(
                    "out of memory with %d models together, going on with %d: %s",
                    rows.stop - rows.start,
                    halved,
                    reason,
                )
                launch = halved
                continue
            at = rows.stop
        log.info(
            "%s: %d models, %d at a time on %s, peak memory %.0f MB",
            self.recipe.network.kind, len(self.models), launch, self.device, peak_memory(self.device) / 2**20,
        )  # fmt: skip
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@lru_cache(maxsize=4)
def _stack(network: Network, shape: Shape, n_classes: int) -> StackedNetwork | None:
    make = architecture_of(network.kind).stack
    return make(shape, network.sizes, n_classes) if make else None


def _native(recipe: Recipe, shape: Shape, n_classes: int, execution: Execution) -> Layout | None:
    """How compiled code sees the recipe's network, where there is code for it and this machine can run it."""
    stack = _stack(recipe.network, shape, n_classes)
    if not execution.native or stack is None or recipe.network.trainable != "all":
        return None
    layout = layout_of(stack, shape) if available_device(execution.device).type == "cpu" else None
    return layout if layout and native_library() else None


def _evaluator(net: Net, stack: StackedNetwork | None, layout: Layout | None) -> Evaluator:
    if layout:
        return native_evaluator(layout)
    return stack_evaluator(stack) if stack else module_evaluator(net)


@lru_cache(maxsize=2)
def _stored(network: Network, shape: Shape, n_classes: int) -> State:
    """The weights that a network's `init` names; their digest is one of its settings, so the cache is never stale."""
    return stored_state(_shapes(network, shape, n_classes), network.init, network.kind)


def _shapes(network: Network, shape: Shape, n_classes: int) -> Net:
    """The network without any values: names and shapes of its tensors."""
    with torch.device("meta"):
        return architecture_of(network.kind).build(shape, network.sizes, n_classes)


def _frozen(
    recipe: Recipe, net: Net, n_classes: int, shape: Shape, device: torch.device
) -> tuple[Backbone, StackedHead]:
    """The backbone that all models share, and their heads."""
    layer = net.head_layer()
    any_head = {name: torch.zeros_like(value) for name, value in plain_state(net).items()}
    state = {**any_head, **_stored(recipe.network, shape, n_classes)}
    return Backbone(recipe, net, state, device), StackedHead(net.head_name, layer)
