"""The network that checkpoints fit: an import path, an architecture that ships, or a module of this process."""

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.checkpoints.settings import NetworkConfig
from modeldiff_core.training import Execution
from modeldiff_core.training.functions import describe
from modeldiff_core.training.gradients import TorchModels, modules_of
from modeldiff_core.training.modules import TorchRecipe

HERE = "here"
"""What a study calls a network that only this process knows."""

_here: dict[str, nn.Module] = {}


def network_of(given: Any) -> dict[str, Any]:
    """Return `network`, `arguments` and `source` of a network that Python code gives.

    A class or function of a module goes by its import path, any other by itself in this process. It is known by the
    lines of the classes of all its layers and by how it prints.

    Args:
        given: A module, a class of modules, or a function without arguments that makes one; or an import path.

    Raises:
        ConfigError: For anything else.

    """
    if isinstance(given, str):
        return {"network": given}
    if callable(given) and not isinstance(given, nn.Module):
        described = describe(given)
        if described.importable:
            return {"network": described.path}
        given = given()
    if not isinstance(given, nn.Module):
        expected = "a torch.nn.Module, what makes one without arguments, or its import path"
        raise ConfigError("network", expected, type(given).__name__)
    source = _lines(given)
    _here[source] = copy.deepcopy(given)
    return {"network": HERE, "source": source}


def with_source(config: NetworkConfig) -> NetworkConfig:
    """Return settings with the digest of the network's lines; raises ConfigError where there is no such network."""
    if config.network == HERE or ":" not in config.network:
        return config
    recipe = _recipe(config)
    return config.model_copy(update={"source": str(recipe.code()["source"])})


def build(config: NetworkConfig, image_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Return a network of its own in evaluation mode; raises ConfigError where it cannot be made."""
    if config.network == HERE:
        if config.source not in _here:
            hint = "Call compare_checkpoints again with the same network"
            raise ConfigError("network", "a network that this process was given", config.source[:8], hint)
        return copy.deepcopy(_here[config.source]).eval()
    try:
        with torch.random.fork_rng(devices=()):
            return _recipe(config).build(image_shape, n_classes).eval()
    except ConfigError as error:
        raise ConfigError(_key(error), error.expected, error.got, error.hint) from error


def inputs_of(config: NetworkConfig) -> Callable[[UInt8[np.ndarray, "n height width channels"]], Tensor]:
    """Return what makes a network's inputs from images: in their form, minus the mean, over the scale."""
    form = config.form.form()
    plain = config.mean == 0 and config.scale == 1
    mean, scale = (torch.tensor(value, dtype=torch.float32) for value in (config.mean, config.scale))
    if form.axes == "nchw" and (mean.ndim or scale.ndim):
        mean, scale = (value.reshape(-1, 1, 1) for value in (mean, scale))

    def prepare(images: UInt8[np.ndarray, "n height width channels"]) -> Tensor:
        found = torch.from_numpy(form.values(images))
        return found if plain else (found - mean) / scale

    return prepare


def check_network(net: nn.Module, inputs: Tensor, n_classes: int) -> None:
    """Raise ConfigError for a network that gives no finite logit for each class of such inputs."""
    expected = f"a network with {n_classes} logits for each of inputs {list(inputs.shape)} of {inputs.dtype}"
    try:
        with torch.no_grad():
            found = net(inputs)
    except Exception as error:  # whatever a network of a user's own raises
        said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        hint = "See network.form, or the images that Data was given"
        raise ConfigError("network", expected, said, hint) from error
    if not isinstance(found, Tensor) or tuple(found.shape) != (len(inputs), n_classes):
        got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ConfigError("network", expected, got)


@dataclass(frozen=True)
class OneNetwork:
    """The network as an algorithm whose checkpoints have gradients (``training.gradients.Differentiable``).

    Estimators ask it for modules alone: it has no training of its own.
    """

    net: nn.Module
    prepare: Callable[[np.ndarray], Tensor]

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Raise ConfigError unless the network has a logit for each class of such images."""
        check_network(self.net, self.prepare(np.zeros((2, *image_shape), np.uint8)), n_classes)

    def train(self, *given: Any) -> NoReturn:
        """Raise ConfigError: checkpoints come trained."""
        raise ConfigError("network", "an algorithm that trains models", "checkpoints, which were trained elsewhere")

    def load(self, *given: Any) -> NoReturn:
        """Raise ConfigError, as `train` does."""
        self.train(*given)

    def torch_models(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> TorchModels:
        """Return the models with these weights."""
        rows = range(len(next(iter(weights.values()))))
        states = [{name: torch.from_numpy(np.array(value[row])) for name, value in weights.items()} for row in rows]
        return modules_of(self.net, states, self.prepare)


def _recipe(config: NetworkConfig) -> TorchRecipe:
    try:
        return TorchRecipe(config.network, config.arguments)
    except ConfigError as error:
        raise ConfigError(_key(error), error.expected, error.got, error.hint) from error


def _key(error: ConfigError) -> str:
    return {"recipe.network_arguments": "network.arguments"}.get(error.key, "network.network")


def _lines(net: nn.Module) -> str:
    """Return a digest of the lines of all classes of a module's layers, and of how it prints."""
    sha = hashlib.sha256(repr(net).encode())
    for cls in sorted({type(one) for one in net.modules()}, key=lambda one: (one.__module__, one.__qualname__)):
        sha.update(f"\n{cls.__module__}.{cls.__qualname__} {describe(cls).source}".encode())
    return sha.hexdigest()
