"""The weights that a network starts from: random ones, a file's, or a package's."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from modeldiff_core.errors import ConfigError
from modeldiff_core.models.architectures import ARCHITECTURES, architecture_of
from modeldiff_core.models.nets import Net

State = dict[str, Tensor]
"""Parameters and statistics of one network by name, without batch normalization's counters."""

KEY = "recipe.network.init"


def plain_state(net: nn.Module) -> State:
    """Return the parameters and running statistics of a network; counters of batches decide nothing."""
    return {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}


def random_state(net: Net, generator: Callable[[str], np.random.Generator], names: list[str]) -> State:
    """Random values for the named tensors, each from its own generator, so that one can be drawn without the others.

    Batch normalization starts at weight 1, bias 0, mean 0, variance 1, layer normalization alike; for the rest see
    ``Net.initialisation``.
    """
    state = {}
    for name in names:
        layer = net.get_submodule(name.rpartition(".")[0])
        kind = name.rpartition(".")[2]
        tensor = net.get_parameter(name) if kind in ("weight", "bias") else net.get_buffer(name)
        if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm):
            state[name] = torch.full(tensor.shape, 1.0 if kind in ("weight", "running_var") else 0.0)
        else:
            state[name] = torch.from_numpy(_values(net, layer, kind, tuple(tensor.shape), generator(name)))
    return state


def _values(
    net: Net, layer: nn.Module, kind: str, shape: tuple[int, ...], generator: np.random.Generator
) -> Float[np.ndarray, "..."]:
    weight = layer.get_parameter("weight")
    if net.initialisation == "kaiming" and isinstance(layer, nn.Conv2d) and kind == "weight":
        fan_out = weight.shape[0] // layer.groups * weight[0, 0].numel()
        return (generator.standard_normal(shape, np.float32) * np.float32((2 / fan_out) ** 0.5)).astype(np.float32)
    bound = weight[0].numel() ** -0.5
    return generator.uniform(-bound, bound, shape).astype(np.float32)


def stored_state(net: Net, init: str, kind: str) -> State:
    """Return the weights that `init` names ('imagenet', or a file) for this network.

    A file is safetensors (by its ending), or anything that torch.load takes with weights_only: tensors by name, at the
    top or under 'state_dict'. A head for another number of classes is left out, so that it starts at random.
    Raises ConfigError for a file that is missing or of another format, and for weights of another architecture.
    """
    path = imagenet_file(kind) if init == "imagenet" else Path(init).expanduser()
    found = {
        name: value.float() for name, value in read_state(path).items() if not name.endswith("num_batches_tracked")
    }
    wanted = plain_state(net)
    head = [name for name in wanted if name.startswith(f"{net.head_name}.")]
    if any(name not in found or found[name].shape != wanted[name].shape for name in head):
        for name in head:
            wanted.pop(name)
            found.pop(name, None)
    for name in sorted(wanted.keys() | found.keys()):
        shapes = [tuple(state[name].shape) if name in state else "nothing" for state in (wanted, found)]
        if shapes[0] != shapes[1]:
            expected = f"weights of {kind} for these images ({name}: {shapes[0]})"
            raise ConfigError(KEY, expected, f"{path} ({name}: {shapes[1]})")
    return {name: found[name] for name in wanted}


def read_state(path: Path, key: str = KEY, advice: str = "") -> Mapping[str, Tensor]:
    """Return the named tensors of a file; nothing that it holds is executed.

    Args:
        path: The file.
        key: The configuration key that names it, for errors.
        advice: What to do about a file that only running it could read; the reader's own words if not given.

    """
    if not path.is_file():
        expected = "random, imagenet, or a file with weights" if key == KEY else "a file with weights"
        raise ConfigError(key, expected, str(path))
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ConfigError(
                key, "a file in the format of its name, safetensors", str(path), f"{error}. Pickles end in .pt or .pth"
            ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = advice or str(error).split("\n")[0]
        raise ConfigError(key, "a state dict that torch.load reads with weights_only", str(path), reason) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError(key, "a state dict: tensors by name", str(path))
    return content


def imagenet_file(kind: str) -> Path:
    """Return the file in which the package with an architecture's ImageNet weights keeps them."""
    name = architecture_of(kind).imagenet
    if not name:
        packaged = ", ".join(other for other in ARCHITECTURES.names() if architecture_of(other).imagenet)
        expected, hint = f"random or a file (imagenet: only {packaged})", f"Weights of {kind} can be given as a file"
        raise ConfigError(KEY, expected, "imagenet", hint)
    package = importlib.util.find_spec(name)
    folders = (package.submodule_search_locations or []) if package else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("models/*.pth"))]
    if not files:
        expected, hint = f"the package {name.replace('_', '-')}", "pip install 'modeldiff-platform[pretrained]'"
        raise ConfigError(KEY, expected, "no such package", hint)
    return files[0]
