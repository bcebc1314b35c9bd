"""``modeldiff data build``: read a dataset, check it, and write what is known about it."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from modeldiff_core.data import SOURCES, Dataset
from modeldiff_core.data.found_files import JPEG_SUFFIXES
from modeldiff_core.data.inventory import table_lines
from modeldiff_core.data.manifest import MANIFEST, checksums, manifest, sha256, write_manifest
from modeldiff_core.data.memory import MEMORY_SHARE, fits_memory
from modeldiff_core.data.progress import watched_by
from modeldiff_core.data.sources import FileSource
from modeldiff_core.errors import ConfigError
from modeldiff_core.settings import Settings, build_settings, config_error
from modeldiff_core.study.build import check_data, load_dataset
from modeldiff_core.study.config import DatasetConfig
from modeldiff_platform.flows.cli.compose import composed

NAMED = 8
"""Most classes that a sentence names."""


class BuildSettings(Settings):
    """What the build writes, and where; see conf/data/build.yaml."""

    out: str = Field(min_length=1)
    beton: Literal["auto", True, False] = "auto"
    memory_share: Annotated[float, Field(gt=0, le=1)] = MEMORY_SHARE
    jpeg: bool = False


def build(overrides: Sequence[str]) -> int:
    """Load and check a dataset, say what it holds, and write its manifest, and betons where they are of use."""
    content = composed(overrides, "+data=build")
    try:
        config = DatasetConfig.model_validate(content["dataset"])
    except ValidationError as error:
        raise config_error(error, prefix="dataset.") from error
    try:
        settings = BuildSettings.model_validate(content["data"])
    except ValidationError as error:
        raise config_error(error, prefix="data.") from error
    source = build_settings(SOURCES.get(config.kind), config.options(), "dataset")
    out = _folder(settings.out)
    with _progress():
        dataset = load_dataset(config)
        check_data(config, dataset)
        files = source.files() if isinstance(source, FileSource) else []
        sums = checksums(files)
    record = manifest(dataset, config.kind, config.model_dump(exclude={"kind"}), sums)
    print(_line(record))
    for line in table_lines(dataset.inventory):
        print(line)
    for remark in dataset.inventory.remarks:
        print(f"modeldiff: warning: {remark}", file=sys.stderr)
    if said := _relabeled(out, dataset.classes):
        print(f"modeldiff: warning: {said}", file=sys.stderr)
    # A folder without a manifest is unfinished: an earlier one must not vouch for betons that are being replaced.
    (out / MANIFEST).unlink(missing_ok=True)
    betons = _write_betons(dataset, out, settings) if _betons_wanted(dataset, files, settings) else {}
    path = write_manifest({**record, "betons": betons}, out)
    print(f"Manifest: {path}")
    return 0


def _folder(out: str) -> Path:
    folder = Path(out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):  # now, not after an hour of decoding
            pass
    except OSError as error:
        raise ConfigError("data.out", "a folder that can be written", out, str(error)) from error
    return folder


def _relabeled(out: Path, classes: Sequence[str]) -> str:
    """Return a warning if the folder's earlier build gave the same classes other labels; nothing if it did not."""
    try:
        before = json.loads((out / MANIFEST).read_text("utf-8"))["classes"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if before == list(classes) or sorted(map(str, before)) != sorted(classes):
        return ""
    return (
        f"{out / MANIFEST} had the classes in the order {_shortly(before)}, and now has them in the order "
        f"{_shortly(classes)}: labels are others, and so is every key of what is trained; dataset.class_order chooses"
    )


def _shortly(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")


def _betons_wanted(dataset: Dataset, files: Sequence[Path], settings: BuildSettings) -> bool:
    """Return whether to write betons; FFCV is optional, so where the choice is ours its absence is reported, not an
    error.
    """
    if settings.beton != "auto":
        return settings.beton
    size = dataset.train.images.nbytes + dataset.test.images.nbytes
    if fits_memory(size, settings.memory_share) and not any(p.suffix.lower() in JPEG_SUFFIXES for p in files):
        return False
    from modeldiff_core.data.betons import ffcv_module

    try:
        ffcv_module("writer")
    except ConfigError as error:
        print(f"modeldiff: no betons are written: {error}", file=sys.stderr)
        return False
    return True


def _write_betons(dataset: Dataset, out: Path, settings: BuildSettings) -> dict[str, str]:
    from modeldiff_core.data.betons import write_beton

    written = {}
    for name, examples in (("train", dataset.train), ("test", dataset.test)):
        path = out / f"{name}.beton"
        try:
            write_beton(examples, path, jpeg=settings.jpeg)
        except ConfigError as error:
            key = "data.jpeg" if error.key == "jpeg" else "data.beton"
            raise ConfigError(key, error.expected, error.got, error.hint) from error
        written[path.name] = sha256(path)
        print(f"Beton: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return written


def _line(record: Mapping[str, Any]) -> str:
    shape = "×".join(map(str, record["image_shape"]))
    columns = ", ".join(record["splits"]["train"]["metadata"]) or "none"
    return f"{record['kind']}: {shape} pixels, metadata: {columns}, fingerprint {record['fingerprint'][:8]}"


@contextmanager
def _progress() -> Iterator[None]:
    """Yield a bar for each long reading, on a terminal only."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def show(what: str, done: int, total: int) -> None:
            # The test images follow the training images under the same words.
            if not bars.tasks or bars.tasks[-1].description != what or bars.tasks[-1].finished:
                bars.add_task(what, total=total)
            bars.update(bars.tasks[-1].id, completed=done)

        with watched_by(show):
            yield
