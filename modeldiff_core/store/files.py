"""Arrays in files that other tools wrote: .npy, .npz, .zarr, .safetensors and .pt, read without running code in them.

Arrays are read in parts where the format allows it (all but .npz).
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
EXISTING_FILE = "an existing file"
LEAST_CHUNK = 64
"""Values of a chunk from which on it is not by chance that all of them are the fill value."""

Part = tuple[slice, ...]


@dataclass(frozen=True)
class FileArray:
    """An array in a file.

    Attributes:
        shape: Its shape.
        read: Reads one part, given as a slice for each axis.
        source: The file and the array's name in it, for messages.
        fill: What parts that were never written read as, where the format says it.
        unwritten: Ranges [first, end) of rows of which the format shows that some part was never written.
    """

    shape: tuple[int, ...]
    read: Callable[[Part], Shaped[np.ndarray, "..."]]
    source: str
    fill: float | None = None
    unwritten: tuple[tuple[int, int], ...] = ()

    def rows(self, start: int, stop: int) -> Shaped[np.ndarray, "rows ..."]:
        """Return rows start..stop−1 along the first axis."""
        return self.read((slice(start, stop), *(slice(None) for _ in self.shape[1:])))

    def whole(self) -> Shaped[np.ndarray, "..."]:
        """Return the complete array."""
        return self.read(tuple(slice(None) for _ in self.shape))


@contextmanager
def opened(source: str, key: str, settings: StoreSettings) -> Iterator[dict[str, FileArray]]:
    """Yield the arrays of a file or zarr folder at a path or an fsspec URL; they can be read inside the block only.

    Args:
        source: A path or an fsspec URL.
        key: The configuration key that named the file, for errors.
        settings: Settings of the store with whose endpoint, region and profile an s3:// URL is opened.

    Raises:
        ConfigError: As ``open_arrays`` and ``fetched`` do.
        StoreError: If the URL cannot be reached.
    """
    with fetched(source, key, settings) as path:
        yield open_arrays(path, key, source)


@contextmanager
def fetched(source: str, key: str, settings: StoreSettings) -> Iterator[Path]:
    """Yield a local path of a file or folder that is named by a path or an fsspec URL.

    Remote files are copied to a temporary folder, which is removed at the end of the block.

    Args:
        source: A path or an fsspec URL.
        key: The configuration key that named the file, for errors.
        settings: Settings of the store with whose endpoint, region and profile an s3:// URL is opened.

    Raises:
        ConfigError: If nothing exists at the URL; names `key`.
        StoreError: If the URL cannot be reached.
    """
    if "://" not in source or source.startswith(("file://", "local://")):
        yield Path(source.split("://", 1)[-1]).expanduser()
        return
    parent, _, name = source.rstrip("/").rpartition("/")
    remote = ObjectStore(replace(settings, root=parent))
    with tempfile.TemporaryDirectory(prefix="modeldiff-") as folder:
        local = Path(folder) / name
        recursive = Path(name).suffix == ".zarr"
        try:
            remote.attempt(
                "fetched",
                name,
                lambda: remote.fs.get(remote.path(name), str(local), recursive=recursive),
                FileNotFoundError,
            )
        except FileNotFoundError as error:
            raise ConfigError(key, EXISTING_FILE, source) from error
        yield local


def open_arrays(path: Path, key: str, source: str | None = None) -> dict[str, FileArray]:
    """Return the arrays of a file by name; the array of a .npy file and a bare .zarr array have an empty name.

    Args:
        path: The local file or folder.
        key: The configuration key that named the file, for errors.
        source: The name by which the user knows the file, if it is not this path.

    Raises:
        ConfigError: For a file that does not exist, has another format, is truncated, or holds anything but numbers.
            No pickled object is ever loaded.
    """
    shown = source or str(path)
    opener = OPENERS.get(path.suffix)
    if opener is None:
        raise ConfigError(key, f"a file that ends in {FORMATS}", shown)
    if not path.exists():
        raise ConfigError(key, EXISTING_FILE, shown)
    try:
        arrays = opener(path)
    except (ValueError, TypeError, KeyError, EOFError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise ConfigError(key, f"a readable {path.suffix} file of arrays", shown, _first_line(error)) from error
    except (pickle.UnpicklingError, AttributeError) as error:
        raise ConfigError(
            key, "a file of tensors alone, which opens with weights_only", shown, _first_line(error)
        ) from error
    for array in arrays.values():
        if array.read(tuple(slice(0, 0) for _ in array.shape)).dtype.kind not in "buif":
            raise ConfigError(key, "numbers or booleans", array.source)
    return {name: replace(array, source=array.source.replace(str(path), shown)) for name, array in arrays.items()}


def only_array(arrays: dict[str, FileArray], names: tuple[str, ...], key: str) -> FileArray:
    """Return the first array with one of these names, or the only array of the file.

    Raises:
        ConfigError: If there are several arrays and none has such a name; lists the names of all.
    """
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

    content = zarr.open(path, mode="r")
    if isinstance(content, zarr.Array):
        return {"": _of_zarr(content, path, str(path))}
    return {name: _of_zarr(array, path, f"{path}: {name}") for name, array in content.arrays()}


def _of_zarr(array: Any, path: Path, source: str) -> FileArray:
    """Return a zarr array with its fill value and the rows of its chunks that are not there.

    Chunks of fewer than LEAST_CHUNK values count as written: zarr leaves out those that hold nothing but the fill
    value, as a few entries of a mask may well do.
    """
    found, fill = _of_array(array, source), array.fill_value
    fill = float(fill) if isinstance(fill, bool | int | float | np.number | np.bool_) else None
    chunk = array.shards or array.chunks
    if not array.shape or int(np.prod(chunk)) < LEAST_CHUNK:
        return replace(found, fill=fill)
    counts = [-(-size // step) for size, step in zip(array.shape, chunk, strict=True)]
    folder = path / array.path
    missing = {at[0] for at in np.ndindex(*counts) if not (folder / array.metadata.encode_chunk_key(at)).exists()}
    ranges = [(row * chunk[0], min((row + 1) * chunk[0], array.shape[0])) for row in sorted(missing)]
    return replace(found, fill=fill, unwritten=tuple(ranges))


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
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # files of the format before torch 1.6 cannot be mapped
        content = torch.load(path, map_location="cpu", weights_only=True)
    named = content if isinstance(content, dict) else {"": content}
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
