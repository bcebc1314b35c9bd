"""Arrays in files that other tools wrote: .npy, .npz, .zarr, .safetensors and .pt, opened so that nothing in them runs.

They are read by parts where the format allows it (all but .npz).
"""

import pickle
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from modeldiff_core.errors import ConfigError
from modeldiff_core.store.objects import ObjectStore, StoreSettings

FORMATS = ".npy, .npz, .zarr, .safetensors or .pt"
THERE = "a file that is there"

Part = tuple[slice, ...]


@dataclass(frozen=True)
class FileArray:
    """An array in a file. source: the file, and the array's name in it, for messages."""

    shape: tuple[int, ...]
    read: Callable[[Part], Shaped[np.ndarray, "..."]]
    source: str

    def rows(self, start: int, stop: int) -> Shaped[np.ndarray, "rows ..."]:
        """Rows start..stop−1 along the first axis."""
        return self.read((slice(start, stop), *(slice(None) for _ in self.shape[1:])))

    def whole(self) -> Shaped[np.ndarray, "..."]:
        """All of it."""
        return self.read(tuple(slice(None) for _ in self.shape))


@contextmanager
def opened(source: str, key: str, settings: StoreSettings) -> Iterator[dict[str, FileArray]]:
    """The arrays of a file, or of a zarr folder, at a path or an fsspec URL, as long as the block lasts.

    key, and what is raised: see ``open_arrays`` and ``fetched``.
    """
    with fetched(source, key, settings) as path:
        yield open_arrays(path, key, source)


@contextmanager
def fetched(source: str, key: str, settings: StoreSettings) -> Iterator[Path]:
    """The path of a file or folder at a path or an fsspec URL, as long as the block lasts.

    What is not on this machine is copied to a temporary folder first. settings: of the store whose endpoint, region
    and profile an s3:// URL is reached with. Raises ConfigError, naming the configuration key, for a URL at which
    nothing is; StoreError if the place cannot be reached.
    """
    if "://" not in source or source.startswith(("file://", "local://")):
        yield Path(source.split("://", 1)[-1]).expanduser()
        return
    parent, _, name = source.rstrip("/").rpartition("/")
    there = ObjectStore(replace(settings, root=parent))
    with tempfile.TemporaryDirectory(prefix="modeldiff-") as folder:
        to = Path(folder) / name
        recursive = Path(name).suffix == ".zarr"
        try:
            there.attempt(
                "fetched", name, lambda: there.fs.get(there.path(name), str(to), recursive=recursive), FileNotFoundError
            )
        except FileNotFoundError as error:
            raise ConfigError(key, THERE, source) from error
        yield to


def open_arrays(path: Path, key: str, source: str | None = None) -> dict[str, FileArray]:
    """The arrays of a file by their names; the one array of a .npy file or of a .zarr array has an empty name.

    key: the configuration key that named the file; source: how, if not by this path. Raises ConfigError for a file
    that is not there, of another format, cut short, or that holds anything but numbers: no pickled object is ever
    loaded.
    """
    said = source or str(path)
    opener = OPENERS.get(path.suffix)
    if opener is None:
        raise ConfigError(key, f"a file that ends in {FORMATS}", said)
    if not path.exists():
        raise ConfigError(key, THERE, said)
    try:
        found = opener(path)
    except (ValueError, TypeError, KeyError, EOFError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise ConfigError(key, f"a readable {path.suffix} file of arrays", said, _first_line(error)) from error
    except (pickle.UnpicklingError, AttributeError) as error:
        raise ConfigError(
            key, "a file of tensors alone, which opens with weights_only", said, _first_line(error)
        ) from error
    for array in found.values():
        if array.read(tuple(slice(0, 0) for _ in array.shape)).dtype.kind not in "buif":
            raise ConfigError(key, "numbers or booleans", array.source)
    return {name: replace(array, source=array.source.replace(str(path), said)) for name, array in found.items()}


def only_array(arrays: dict[str, FileArray], names: tuple[str, ...], key: str) -> FileArray:
    """The array of one of these names, or the only one there is; raises ConfigError that lists the names there are."""
    for name in names:
        if name in arrays:
            return arrays[name]
    if len(arrays) != 1:
        raise ConfigError(key, f"a file with an array named {' or '.join(names)}, or with one alone", sorted(arrays))
    return next(iter(arrays.values()))


def _npy(path: Path) -> dict[str, FileArray]:
    return {"": _of_array(np.load(path, mmap_mode="r", allow_pickle=False), str(path))}


def _npz(path: Path) -> dict[str, FileArray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: _of_array(archive[name], f"{path}: {name}") for name in archive.files}


def _zarr(path: Path) -> dict[str, FileArray]:
    import zarr

    found = zarr.open(path, mode="r")
    if isinstance(found, zarr.Array):
        return {"": _of_array(found, str(path))}
    return {name: _of_array(array, f"{path}: {name}") for name, array in found.arrays()}


def _safetensors(path: Path) -> dict[str, FileArray]:
    from safetensors import SafetensorError, safe_open

    def reader(name: str) -> Callable[[Part], np.ndarray]:
        return lambda part: _numpy(file.get_slice(name)[part])

    try:
        file: Any = safe_open(path, framework="pt")
        return {
            name: FileArray(tuple(file.get_slice(name).get_shape()), reader(name), f"{path}: {name}")
            for name in file.keys()  # noqa: SIM118 - not a mapping
        }
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _pt(path: Path) -> dict[str, FileArray]:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # files of the format before torch 1.6 cannot be mapped
        found = torch.load(path, map_location="cpu", weights_only=True)
    named = found if isinstance(found, dict) else {"": found}
    if not named or not all(isinstance(tensor, torch.Tensor) for tensor in named.values()):
        raise ValueError("neither a tensor nor a dictionary of tensors")

    def reader(tensor: torch.Tensor) -> Callable[[Part], np.ndarray]:
        return lambda part: _numpy(tensor[part])

    return {
        str(name): FileArray(tuple(tensor.shape), reader(tensor), f"{path}: {name}") for name, tensor in named.items()
    }


def _numpy(tensor: Any) -> Shaped[np.ndarray, "..."]:
    import torch

    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy())


def _of_array(array: Any, source: str) -> FileArray:
    return FileArray(tuple(array.shape), lambda part: np.asarray(array[part]), source)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


OPENERS: dict[str, Callable[[Path], dict[str, FileArray]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".zarr": _zarr,
    ".safetensors": _safetensors,
    ".pt": _pt,
    ".pth": _pt,
}
