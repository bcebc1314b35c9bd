"""State dicts of checkpoints: read without running anything, checked against a network, known by a digest."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modeldiff_core.errors import ConfigError
from modeldiff_core.models.initial import read_state

State = Mapping[str, np.ndarray]
"""Weights and buffers by name."""
WRAPPED = "module."
"""What torch's parallel wrappers put before every name."""
PICKLED = "save net.state_dict() with torch.save, or a file of safetensors; whole pickled objects are never opened"


def files_of(patterns: Sequence[str], key: str) -> tuple[str, ...]:
    """Return the files that paths name, and those that a pattern (``runs/a/*.pt``) does, in the order of their names.

    Raises:
        ConfigError: For a pattern without files, and for a file that there is not.
    """
    found: list[str] = []
    for pattern in patterns:
        path = Path(pattern).expanduser()
        own = [path] if path.is_file() else sorted(path.parent.glob(path.name))
        if not own:
            raise ConfigError(key, "files of state dicts", pattern, "There is no such file")
        found += map(str, own)
    if not found:
        raise ConfigError(key, "one checkpoint or more", list(patterns))
    return tuple(found)


def state_of(given: Any, key: str) -> State:
    """Return the state dict of a file, a module, or a state dict, as arrays on the CPU; halves become float32.

    Raises:
        ConfigError: For what is none of these, and for a pickle.
    """
    content: Mapping[str, Any]
    if isinstance(given, nn.Module):
        content = given.state_dict()
    elif isinstance(given, str | Path):
        content = read_state(Path(given).expanduser(), key, PICKLED)
    elif isinstance(given, Mapping) and given and all(isinstance(one, Tensor) for one in given.values()):
        content = given
    else:
        raise ConfigError(key, "modules, state dicts, or paths of files of state dicts", type(given).__name__)
    if content and all(name.startswith(WRAPPED) for name in content):
        content = {name.removeprefix(WRAPPED): value for name, value in content.items()}
    return {name: _array(value) for name, value in sorted(content.items())}


def _array(value: Tensor) -> np.ndarray:
    value = value.detach().cpu()
    plain = value.float() if value.is_floating_point() and value.dtype != torch.float64 else value
    return np.array(plain.numpy(), order="C")  # ascontiguousarray would give single numbers an axis


def digest_of(state: State) -> str:
    """Return a digest of all names, types, shapes and values."""
    sha = hashlib.sha256()
    for name in sorted(state):
        array = np.asarray(state[name])
        sha.update(f"{name}\n{array.dtype.str}\n{array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def check_fits(state: State, net: nn.Module, key: str, what: str) -> None:
    """Raise ConfigError, in one line, for a state dict that the network cannot take or that is not finite."""
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    missing, more = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    other = [name for name in sorted(wanted.keys() & state.keys()) if wanted[name] != state[name].shape]
    expected = f"weights of the network, {type(net).__name__}"
    said = []
    if missing:
        said.append(f"{_few(missing)} missing")
    if more:
        said.append(f"{_few(more)} unexpected")
    if other:
        shapes = (f"{name} is {list(state[name].shape)} instead of {list(wanted[name])}" for name in other[:2])
        said.append("; ".join(shapes) + (f" and {len(other) - 2} more" if len(other) > 2 else ""))
    if said:
        raise ConfigError(key, expected, what, "; ".join(said))
    for name, array in state.items():
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise ConfigError(key, "finite weights", what, f"{bad:,} of {array.size:,} values of {name} are not finite")


def check_distinct(states: Mapping[str, Sequence[str]], names: Mapping[str, Sequence[str]]) -> None:
    """Raise ConfigError for the same weights twice, and for sides of unequal number.

    Args:
        states: Digests of each side.
        names: What each of them is called.

    """
    seen: dict[str, str] = {}
    for side in ("a", "b"):
        for digest, name in zip(states[side], names[side], strict=True):
            if digest in seen:
                raise ConfigError(
                    f"{side}.checkpoints",
                    "checkpoints of different trainings, each once",
                    name,
                    f"It has the same weights as {seen[digest]}",
                )
            seen[digest] = f"{name} of {side}"
    if len(states["a"]) != len(states["b"]):
        raise ConfigError(
            "b.checkpoints",
            f"as many checkpoints as of a, {len(states['a'])}",
            len(states["b"]),
            "They are compared and exchanged in pairs: leave some out of the longer side",
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
