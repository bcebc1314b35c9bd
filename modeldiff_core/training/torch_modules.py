"""What algorithms of any torch module share: its import path, its code, a check of its logits, its states."""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from modeldiff_core.errors import ConfigError, meant
from modeldiff_core.models import ARCHITECTURES, architecture_of
from modeldiff_core.training.functions.source import describe


def network_maker(path: str) -> Any:
    """Return what an import path, ``module:name``, names; raises ConfigError with the reason where there is nothing."""
    expected = "a torch.nn.Module by its import path, module:name, or an architecture by its name"
    if ":" not in path:
        if path not in ARCHITECTURES.names():
            raise ConfigError("recipe.network", expected, path, meant(path, ARCHITECTURES.names()))
        return architecture_of(path)
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise ConfigError("recipe.network", expected, path, f"{type(error).__name__}: {error}") from error
    return found


def named(module: Any, name: str, base: type, key: str) -> Any:
    """Return a class of a module by its name; raises ConfigError with the name that was probably meant."""
    known = [
        n for n, cls in vars(module).items() if isinstance(cls, type) and issubclass(cls, base) and cls is not base
    ]
    if name not in known:
        raise ConfigError(f"recipe.{key}", f"a class of {module.__name__}", name, meant(name, known))
    return getattr(module, name)


def made(make: Any, positional: tuple[Any, ...], arguments: Mapping[str, object], key: str) -> Any:
    """Return what `make` gives; raises ConfigError, by the key of the recipe, for arguments that it does not take."""
    try:
        return make(*positional, **arguments)
    except (TypeError, ValueError) as error:
        name = getattr(make, "__name__", str(make))
        raise ConfigError(f"recipe.{key}", f"arguments of {name}", dict(arguments), str(error)) from error


def optimizer_of(recipe: Any, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer that a recipe names, with its arguments."""
    cls = named(torch.optim, recipe.optimizer, torch.optim.Optimizer, "optimizer")
    optimizer: torch.optim.Optimizer = cls(parameters, **recipe.optimizer_arguments)
    return optimizer


def code_of(path: str) -> dict[str, Any]:
    """Return what is known of the code of the network at an import path."""
    found = describe(network_maker(path))
    modules, parts = [path.partition(":")[0]], dict(found.sources)
    return {"source": found.source, "modules": modules, "parts": parts, "libraries": dict(found.libraries)}


def checked_module(net: object, path: str) -> nn.Module:
    """Return a network; raises ConfigError if it is none."""
    if not isinstance(net, nn.Module):
        raise ConfigError("recipe.network", "what makes a torch.nn.Module", path, f"It made a {type(net)}")
    return net


def check_logits(net: nn.Module, path: str, inputs: Tensor, wanted: str, n_classes: int, one: str) -> None:
    """Raise ConfigError for a network that does not give a logit for each class of such inputs.

    Args:
        net: The network.
        path: Its name in the recipe.
        inputs: Some inputs, which hold no information.
        wanted: Inputs in words, with their shape and type.
        n_classes: Number of classes.
        one: One input in words, such as "an image".

    """
    try:
        with torch.no_grad():
            found = net(inputs)
    except Exception as error:  # whatever a network of a user's own raises
        said = f"{type(error).__name__}: {error}"
        raise ConfigError("recipe.network", f"a network for {wanted}", path, said) from error
    if not isinstance(found, Tensor) or found.shape != (len(inputs), n_classes):
        got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ConfigError("recipe.network", f"a network with {n_classes} logits {one}", f"{path}: {got}")


def state_of(net: nn.Module) -> dict[str, np.ndarray]:
    """Return the state of a network as arrays."""
    return {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}


def state_as(net: nn.Module, state: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Return a state of arrays as tensors in the types of a network's own, on its device."""
    own = net.state_dict()
    return {
        name: torch.from_numpy(np.array(value)).to(own[name].device, own[name].dtype) for name, value in state.items()
    }


def stacked(states: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return states side by side: each array with an axis of models in front."""
    return {name: np.stack([state[name] for state in states]) for name in states[0]}


def as_floats(states: Mapping[str, np.ndarray]) -> dict[str, Float[np.ndarray, "models ..."]]:
    """Return states as float32 arrays, to be stored."""
    return {name: np.ascontiguousarray(value, np.float32) for name, value in states.items()}


@torch.no_grad()
def logits_of_states(
    net: nn.Module, states: Mapping[str, np.ndarray], batches: Callable[[], Iterable[Tensor]]
) -> Float[np.ndarray, "models targets classes"]:
    """Return the float32 logits of a network with each of several states.

    Args:
        net: The network, in evaluation mode on its device.
        states: Arrays [models, ...] by the names of its state; they take the types of its own.
        batches: Gives its inputs, from the first batch to the last.

    """
    out = []
    for row in range(len(next(iter(states.values())))):
        state = state_as(net, {name: value[row] for name, value in states.items()})
        out.append(torch.cat([functional_call(net, state, (batch,)).float().cpu() for batch in batches()]))
    return torch.stack(out).numpy()
