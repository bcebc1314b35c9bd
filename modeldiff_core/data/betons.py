"""Examples in one FFCV file (a beton), for images that a device's memory cannot hold.

FFCV is optional. Everything that this package asks of it comes through `ffcv_module`.
"""

import importlib
import importlib.util
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Shaped

from modeldiff_core.data.examples import Examples
from modeldiff_core.data.memory import room_for
from modeldiff_core.errors import ConfigError, DataError

JPEG_QUALITY = 95
IMAGE, LABEL, POSITION = "image", "label", "position"
OWN = {IMAGE: ("RGBImageField", "NDArrayField"), LABEL: ("IntField",), POSITION: ("IntField",)}
"""Fields of every beton and what FFCV may store them as; metadata columns are arrays beside them."""

NAME_BYTES = 16
"""Longest name of a field in the format."""

PACKAGES = {"ffcv": "ffcv", "PIL": "pillow", "cv2": "opencv-python", "numba": "numba", "setuptools": "setuptools"}
"""What FFCV 1.0.2 imports, and the package that brings it."""

INSTALL = (
    "On Debian or Ubuntu: apt-get install libopencv-dev libturbojpeg0-dev pkg-config, then "
    "pip install 'modeldiff-platform[ffcv]'; or keep the images resident on the device"
)


def ffcv_module(name: str) -> ModuleType:
    """Import a module of FFCV, such as ``writer``, without changing torch's number of threads.

    Raises ConfigError that says which packages are missing and how to install them.
    """
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError("ffcv", "the optional packages of FFCV", f"no {', '.join(missing)}", INSTALL)
    import torch

    threads = torch.get_num_threads()
    try:
        importlib.import_module("ffcv")
        compiler = importlib.import_module("ffcv.pipeline.compiler").Compiler
        module = importlib.import_module(f"ffcv.{name}")
    except (ImportError, OSError) as error:
        raise ConfigError("ffcv", "an FFCV that can be loaded", str(error), INSTALL) from error
    finally:
        torch.set_num_threads(threads)
    # FFCV sets torch's threads too, at import and again from a thread of its own at no known time.
    compiler.set_num_threads = classmethod(_set_numba_threads)
    return module


def _set_numba_threads(compiler: Any, threads: int) -> None:
    import numba

    compiler.num_threads = threads
    numba.set_num_threads(threads)


def write_beton(examples: Examples, path: Path, *, jpeg: bool = False) -> None:
    """Write examples in their order: the file is there whole or not at all.

    Three channels are stored as FFCV's RGBImageField, raw or as JPEG of quality 95; any other number of channels as
    its NDArrayField, which has no JPEG. Raw pixels, labels and metadata come back exactly. What a model sees of a JPEG
    beton is what `read_beton` gives, not what was written. One image is held in memory at a time, so that the images
    may be a memory map.

    Raises ConfigError for JPEG of images without three channels, and without FFCV; DataError for no examples and for a
    metadata column whose name (15 ASCII characters) or type (Python objects) the format cannot hold.
    """
    if not len(examples):
        raise DataError(f"{path}: no examples to write")
    shape = examples.images.shape[1:]
    if jpeg and shape[2] != 3:
        raise ConfigError("jpeg", "images of 3 channels", shape[2], "Write them raw, which is exact.")
    for name, column in examples.metadata.items():
        if not name.isascii() or not 0 < len(name) < NAME_BYTES or name in OWN:
            raise DataError(f"{path}: metadata {name!r}: a beton's columns have names of 1 to 15 ASCII characters")
        if column.ndim != 1:
            raise DataError(f"{path}: metadata {name!r}: a beton holds one value an example, not masks")
        if column.dtype.hasobject:
            raise DataError(f"{path}: metadata {name!r}: holds Python objects; use numbers or fixed-width text")
    fields = ffcv_module("fields")
    image = (
        fields.RGBImageField(write_mode="jpg" if jpeg else "raw", jpeg_quality=JPEG_QUALITY)
        if shape[2] == 3
        else fields.NDArrayField(np.dtype(np.uint8), shape)
    )
    columns = {name: fields.NDArrayField(column.dtype, (1,)) for name, column in examples.metadata.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        _write(examples, Path(draft), {IMAGE: image, LABEL: fields.IntField(), POSITION: fields.IntField(), **columns})
        with Path(draft).open("rb") as file:
            os.fsync(file.fileno())
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _write(examples: Examples, draft: Path, fields: Mapping[str, Any]) -> None:
    """FFCV's DatasetWriter without its worker processes, whose errors it waits for forever."""
    format_ = ffcv_module("writer")
    largest = max(examples.images[0].nbytes, *(column.itemsize for column in examples.metadata.values()), 1)
    # JPEG can be larger than the pixels by its header alone, hence the factor.
    page = max(format_.MIN_PAGE_SIZE, 1 << (2 * largest - 1).bit_length())
    writer = format_.DatasetWriter(str(draft), fields, page_size=page, num_workers=1)
    writer.num_samples = len(examples)
    writer.prepare()
    rows = np.zeros(len(examples), writer.metadata_type)
    try:
        allocator = format_.MemoryAllocator(str(draft), writer.data_region_start, page)
        with allocator:
            for position, label in enumerate(examples.labels.tolist()):
                columns = [column[position : position + 1] for column in examples.metadata.values()]
                sample = (np.asarray(examples.images[position]), label, position, *columns)
                format_.handle_sample(sample, position, rows.dtype.names, rows, allocator, fields)
        writer.metadata_sm.buf[: rows.nbytes] = rows.tobytes()
        writer.finalize(allocator.allocations)
    finally:
        writer.metadata_sm.close()
        writer.metadata_sm.unlink()


@dataclass(frozen=True)
class Beton:
    """A file that was checked to be whole: FFCV's reader of it, and each field's table."""

    path: Path
    reader: Any

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        field = self.reader.handlers[IMAGE]
        if hasattr(field, "shape"):
            height, width, channels = (int(size) for size in field.shape)
            return height, width, channels
        first = self.table(IMAGE)[0]
        return int(first["height"]), int(first["width"]), 3

    def __len__(self) -> int:
        return int(self.reader.num_samples)

    def table(self, name: str) -> Shaped[np.ndarray, " examples"]:
        """Return the field's values, or where they lie in the file."""
        table: np.ndarray = self.reader.metadata[f"f{self.reader.field_names.index(name)}"]
        return table


def open_beton(path: Path) -> Beton:
    """Read a beton's tables and check that all that they point to is there.

    Raises DataError for a file that is missing, cut short or none of `write_beton`'s; ConfigError without FFCV.
    """
    format_ = ffcv_module("reader")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        reader = format_.Reader(str(path))
        kinds = {name: type(field).__name__ for name, field in reader.handlers.items()}
    except Exception as error:
        raise DataError(f"{path}: not a readable beton ({type(error).__name__}: {error})") from error
    columns = {kind for name, kind in kinds.items() if name not in OWN}
    if (
        not OWN.keys() <= kinds.keys()
        or any(kinds[name] not in OWN[name] for name in OWN)
        or columns - {"NDArrayField"}
    ):
        raise DataError(f"{path}: a beton with other fields ({kinds}) than write_beton's; write it with that")
    stored = len(reader.field_names) - 2
    table, end = reader.alloc_table, int(reader.header["alloc_table_ptr"])
    n = int(reader.num_samples)
    if (
        not n
        or len(reader.metadata) != n
        or len(table) != stored * n
        or int((table["ptr"] + table["size"]).max()) > end
    ):
        raise DataError(f"{path}: cut short: {n} examples promised by its header")
    beton = Beton(path, reader)
    if (beton.table(POSITION) != np.arange(n)).any():
        raise DataError(f"{path}: its examples are not in their order; write it with write_beton")
    places = beton.table(IMAGE)
    if places.dtype.names and any(len(np.unique(places[side])) > 1 for side in ("height", "width")):
        raise DataError(f"{path}: images of several sizes; resize them before write_beton")
    return beton


def read_beton(path: Path) -> Examples:
    """All examples of a beton in memory: what a loader of that beton gives, pixel for pixel.

    Raises DataError, naming the file and the image, for one that is damaged; ConfigError without FFCV.
    """
    beton = open_beton(path)
    file = np.memmap(path, np.uint8, "r")
    sizes = dict(zip(beton.reader.alloc_table["ptr"].tolist(), beton.reader.alloc_table["size"].tolist(), strict=True))
    decode = ffcv_module("libffcv").imdecode
    height, width, channels = beton.image_shape
    images = room_for((len(beton), height, width, channels))
    places = beton.table(IMAGE)
    for position, place in enumerate(places):
        at = int(place["data_ptr"] if places.dtype.names else place)
        stored = file[at : at + sizes[at]]
        if places.dtype.names and place["mode"] == 0:
            if decode(stored, images[position], height, width, height, width):
                raise DataError(f"{path}: image {position} is not a readable JPEG")
        else:
            images[position] = stored.reshape(height, width, channels)
    columns = {}
    for name in beton.reader.field_names:
        if name not in OWN:
            dtype = beton.reader.handlers[name].dtype
            raw = [file[at : at + dtype.itemsize] for at in beton.table(name).tolist()]
            columns[name] = np.concatenate(raw).view(dtype)
    return Examples(images, beton.table(LABEL).astype(np.int64), columns)
