"""The algorithm ``kind: sgd``: a recipe for a network, trained on many subsets in the fastest way it allows."""

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
from modeldiff_core.training.cohort import Cohort
from modeldiff_core.training.descent import network_inputs
from modeldiff_core.training.devices import available_device, fast_arithmetic, out_of_memory, peak_memory
from modeldiff_core.training.features import Backbone, is_frozen
from modeldiff_core.training.ffcv_source import BetonSource, choose_source
from modeldiff_core.training.gradients import TorchModels, head_modules, network_modules
from modeldiff_core.training.native import Layout, layout_of, native_evaluator, native_library, train_native
from modeldiff_core.training.normalization import (
    Normalization,
    check_channels,
    fixed_normalization,
    from_subsets,
    normalization_of,
)
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

PRECOMPUTED_PIXELS = 2**26
"""Maximum of pixels that are kept as float32 network inputs (256 MB), so that a batch only has to be gathered."""

TrainRows = Callable[[slice], dict[str, Tensor]]
"""Trains the models of some rows and returns their states [models, ...]."""


class Sgd(Recipe):
    """A recipe with its trainer, which stacks models where the network allows it."""

    def check(self, image_shape: Shape, n_classes: int) -> None:
        """Raise ConfigError for images that the augmentations, constants, network or stored weights do not accept."""
        draws_per_image(self.augmentations, image_shape)
        check_channels(self, image_shape[2])
        shape = shape_after(self.augmentations, image_shape)
        net = network_shapes(self.network, shape, n_classes)
        if self.network.init != "random":
            stored_state(net, self.network.init, self.network.kind)

    def check_size(self, image_shape: Shape, n_classes: int, size: int) -> None:
        """Raise ConfigError if batches of a subset of `size` examples do not suit the network."""
        shape = shape_after(self.augmentations, image_shape)
        check_batches(self, network_shapes(self.network, shape, n_classes), size)

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
        """Train in launches of at most ``execution.stack`` models, as ``Algorithm.train`` describes.

        Args:
            examples: The training set.
            n_classes: Number of classes.
            masks: Examples that each model sees, the same number for all.
            models: Number of each model.
            seed: Seed of the algorithm.
            execution: How to compute.
            steps: Steps after which each model stops, for measurements; a launch that does not fit the memory then
                raises instead of being halved.

        Raises:
            ConfigError: If the masks leave different numbers of examples in, or none.
        """
        sizes = masks.sum(1)
        if len(set(sizes.tolist())) != 1 or not sizes[0]:
            raise ConfigError("masks", "rows that leave the same number of examples in, one or more", sizes.tolist())
        height, width, channels = examples.images.shape[1:]
        labels = torch.from_numpy(examples.labels).to(available_device(execution.device))
        cohort = Cohort(labels, masks, models, seed, (height, width, channels), steps)
        job = _Job(self, examples, n_classes, execution, cohort)
        with fast_arithmetic(job.device):
            return job.heads() if is_frozen(self, cohort.image_shape) else job.networks()

    def stackable(self, image_shape: Shape) -> bool:
        """Return whether several models can be trained in one launch."""
        return architecture_of(self.network.kind).stack is not None or is_frozen(self, image_shape)

    def is_native(self, image_shape: Shape, n_classes: int, execution: Execution) -> bool:
        """Return whether models are trained in compiled code, one by one, whatever the stack."""
        return _native(self, shape_after(self.augmentations, image_shape), n_classes, execution) is not None

    def load(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: Shape,
        n_classes: int,
        execution: Execution,
    ) -> NetworkModels | HeadModels:
        """Return the networks with stored weights."""
        device = available_device(execution.device)
        state = {name: torch.from_numpy(np.array(value)).to(device) for name, value in weights.items()}
        shape = shape_after(self.augmentations, image_shape)
        net, _ = workbench(self.network, shape, n_classes, device, False)
        if is_frozen(self, image_shape):
            return HeadModels(*frozen_backbone(self, net, n_classes, shape, device), state)
        stored = from_subsets(self)
        constants = Normalization(state.pop(MEAN), state.pop(SCALE)) if stored else fixed_normalization(self, device)
        evaluator = _evaluator(net, _stack(self.network, shape, n_classes), _native(self, shape, n_classes, execution))
        return NetworkModels(self, evaluator, state, constants)

    def torch_models(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: Shape,
        n_classes: int,
        execution: Execution,
    ) -> TorchModels:
        """Return the networks with stored weights as torch modules."""
        models = self.load(weights, image_shape, n_classes, execution)
        return (
            head_modules(models) if isinstance(models, HeadModels) else network_modules(models, image_shape, n_classes)
        )


class _Job:
    """One call of ``Sgd.train``: a cohort and its trainers."""

    def __init__(
        self, recipe: Recipe, examples: Examples, n_classes: int, execution: Execution, cohort: Cohort
    ) -> None:
        self.recipe, self.examples, self.n_classes = recipe, examples, n_classes
        self.execution, self.cohort, self.device = execution, cohort, cohort.device
        self.shape = shape_after(recipe.augmentations, cohort.image_shape)
        self.bench = workbench(recipe.network, self.shape, n_classes, self.device, execution.compiled)

    def networks(self) -> NetworkModels:
        """Train whole networks, or the layers of them that the recipe names."""
        recipe, net = self.recipe, self.bench[0]
        check_batches(recipe, net, int(self.cohort.masks[0].sum()))
        normalization = normalization_of(recipe, self.examples.images, self.cohort.masks, self.device)
        source = self.source()
        stack = _stack(recipe.network, self.shape, self.n_classes)
        # torch trains on examples with a beton wherever their images are, so that both places give the same bits.
        in_memory = self.examples.beton is None
        layout = _native(recipe, self.shape, self.n_classes, self.execution) if in_memory else None
        evaluator = _evaluator(net, stack, layout)
        if layout:
            state = self.in_parts(len(self.cohort), self.natively(layout, source, normalization))
            return NetworkModels(recipe, evaluator, state, normalization)
        trained = net.trained_names(recipe.network.trainable)

        def single(rows: slice) -> dict[str, Tensor]:
            constants, start = normalization.of(rows.start), self.start(rows.start)
            state = train_single(recipe, self.bench, source, constants, start, self.cohort.rows(rows))
            return {name: value[None] for name, value in (from_module(state) if stack else state).items()}

        precomputed = self.inputs_of_all(source, normalization) if isinstance(source, Resident) else None
        side_by_side = (
            None if stack else SideBySide(network_shapes(recipe.network, self.shape, self.n_classes), trained)
        )

        def logits(parameters: dict[str, Tensor], images: Tensor) -> Tensor:
            if stack:
                return stack.logits(parameters, images)
            assert side_by_side is not None
            batch_logits, statistics = side_by_side.logits(parameters, images)
            parameters.update(statistics)
            return batch_logits

        def stacked(rows: slice) -> dict[str, Tensor]:
            assert isinstance(source, Resident)
            constants = normalization.rows(rows)

            def inputs(index: Tensor, draws: Tensor) -> Tensor:
                if precomputed is not None:
                    return rows_at(precomputed, index)
                return network_inputs(recipe, constants, rows_at(source.images, index).float(), draws)

            starts = [self.start(row) for row in range(len(self.cohort))[rows]]
            starts = [from_module(start) for start in starts] if stack else starts
            return train_stack(recipe, logits, inputs, starts, trained, self.cohort.rows(rows))

        wide = stack is not None or self.execution.stack_batch_norm
        launch = self.execution.stack if wide and isinstance(source, Resident) else 1
        state = self.in_parts(launch, lambda rows: single(rows) if rows.stop - rows.start == 1 else stacked(rows))
        return NetworkModels(recipe, evaluator, state, normalization)

    def natively(self, layout: Layout, source: Resident | BetonSource, normalization: Normalization) -> TrainRows:
        """Return the function that trains some of the models in compiled code."""

        def train(rows: slice) -> dict[str, Tensor]:
            starts = (from_module(self.start(row)) for row in range(len(self.cohort))[rows])
            return train_native(self.recipe, layout, source, normalization.rows(rows), starts, self.cohort.rows(rows))

        return train

    def source(self) -> Resident | BetonSource:
        """Return the images on the device, or FFCV's reader where they would take too much of its memory."""
        images, beton = self.examples.images, self.examples.beton
        if beton is None or choose_source(images.nbytes, self.device, self.execution.resident_share) == "resident":
            return Resident(images, self.device)
        return BetonSource(Path(beton), self.device, self.execution.ffcv_workers)

    def heads(self) -> HeadModels:
        """Train heads on the features of a frozen backbone."""
        backbone, head = frozen_backbone(self.recipe, self.bench[0], self.n_classes, self.shape, self.device)
        features = backbone.features(self.examples.images)
        names = [name for name in plain_state(backbone.net) if name.startswith(f"{head.name}.")]

        def inputs(index: Tensor, _: Tensor) -> Tensor:
            return rows_at(features, index)

        def stacked(rows: slice) -> dict[str, Tensor]:
            starts = [from_module(self.start(row, names)) for row in range(len(self.cohort))[rows]]
            return train_stack(self.recipe, head.logits, inputs, starts, names, self.cohort.rows(rows))

        return HeadModels(backbone, head, self.in_parts(self.execution.stack, stacked))

    def inputs_of_all(self, source: Resident, normalization: Normalization) -> Tensor | None:
        """Return the network's inputs for all images if all models and epochs share them and they fit, else None."""
        if self.recipe.augmentations or from_subsets(self.recipe) or source.images.numel() > PRECOMPUTED_PIXELS:
            return None
        return normalization(source.images[None].float().div_(255))[0]

    def start(self, row: int, names: list[str] | None = None) -> State:
        """Return a model's initial state, a pure function of the recipe, the seed and the model's number.

        Args:
            row: Row of the model in the cohort.
            names: Tensors that are wanted; None for all.
        """
        purpose = (self.cohort.seed, int(self.cohort.models[row]))
        return initial_state(self.recipe.network, self.bench[0], (self.shape, self.n_classes), purpose, names)

    def in_parts(self, launch: int, train: TrainRows) -> dict[str, Tensor]:
        """Train all models in launches of at most `launch`, which is halved where memory does not suffice."""
        parts, at, models = [], 0, len(self.cohort)
        while at < models:
            rows = slice(at, min(at + launch, models))
            count = rows.stop - rows.start
            try:
                parts.append(train(rows))
            except (RuntimeError, MemoryError) as error:
                if count == 1 or self.cohort.steps is not None or not out_of_memory(error):
                    raise
                launch, reason = count // 2, str(error).split("\n")[0]
                log.warning("out of memory with %d models together, going on with %d: %s", count, launch, reason)
                continue
            at = rows.stop
        kind, memory = self.recipe.network.kind, peak_memory(self.device) / 2**20
        message = "%s: %d models, %d at a time on %s, peak memory %.0f MB"
        log.info(message, kind, models, launch, self.device, memory)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def initial_state(
    network: Network, net: Net, sizes: tuple[Shape, int], purpose: tuple[int, int], names: list[str] | None = None
) -> State:
    """Return a network's state before training, a pure function of the recipe, the seed and the model's number.

    Args:
        network: The architecture and what it starts from.
        net: The module, for names and shapes.
        sizes: Shape of the network's images, and number of classes.
        purpose: Seed of the algorithm and number of the model.
        names: Tensors that are wanted; None for all.
    """
    stored = _stored(network, *sizes) if network.init != "random" else {}
    wanted = list(plain_state(net)) if names is None else names
    stack = _stack(network, *sizes)
    if stack:
        drawn = stack.initial(generator("initialisation", *purpose))
        random = to_module({name: torch.from_numpy(value) for name, value in drawn.items()})
    else:
        missing = [name for name in wanted if name not in stored]
        random = random_state(net, lambda name: generator("initialisation", *purpose, name), missing)
    return {name: stored.get(name, random.get(name)) for name in wanted}  # type: ignore[misc]


@lru_cache(maxsize=4)
def _stack(network: Network, shape: Shape, n_classes: int) -> StackedNetwork | None:
    make = architecture_of(network.kind).stack
    return make(shape, network.sizes, n_classes) if make else None


def _native(recipe: Recipe, shape: Shape, n_classes: int, execution: Execution) -> Layout | None:
    """Return the layout of the recipe's network if compiled code for it exists and runs on this machine, else None."""
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
    """Return the weights that a network's `init` names; their digest is a setting, so the cache is never stale."""
    return stored_state(network_shapes(network, shape, n_classes), network.init, network.kind)


def network_shapes(network: Network, shape: Shape, n_classes: int) -> Net:
    """Return the network without values: names and shapes of its tensors."""
    with torch.device("meta"):
        return architecture_of(network.kind).build(shape, network.sizes, n_classes)


def frozen_backbone(
    recipe: Recipe, net: Net, n_classes: int, shape: Shape, device: torch.device
) -> tuple[Backbone, StackedHead]:
    """Return the backbone that all models share, and the stack of their heads."""
    layer = net.head_layer()
    any_head = {name: torch.zeros_like(value) for name, value in plain_state(net).items()}
    state = {**any_head, **_stored(recipe.network, shape, n_classes)}
    return Backbone(recipe, net, state, device), StackedHead(net.head_name, layer)
