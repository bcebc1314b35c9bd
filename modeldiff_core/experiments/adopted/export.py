"""Stage: write margins and masks, or datamodels, out of a store into files that other tools read."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.adopt import PUBLISHED
from modeldiff_core.experiments.adopted.stored import Stored, find_stored
from modeldiff_core.experiments.components.memory_maps import write_maps
from modeldiff_core.stages.regress import FIELDS, read_blocks
from modeldiff_core.stages.screening import undefined_examples
from modeldiff_core.store import MarginMatrix, ObjectStore
from modeldiff_core.store.matrices import COLUMNS
from modeldiff_core.study.adopted import Export


def export(store: ObjectStore, asked: Export) -> list[Path]:
    """Write what is stored at a key; gives the files.

    Margins: to a folder in the layout of the public ``datamodels`` package (masks.npy bool [models, train],
    margins.npy float32 [models, targets], _completed.npy, which leaves out diverged models), or to an .npz of the
    models that did not diverge. With `split` the folder has the layout of COAR's public code (SPLIT_margins.npy in
    float16), and the matrix may be that of any responses. Datamodels: weights [targets, train] to .npy, all arrays to
    .safetensors; `published` writes weight [train, targets], bias and lam, as the published dictionaries have them.
    Weights of training examples that every model had, or none, are NaN.

    Raises ConfigError for a place that is taken or an ending that does not suit, DamagedObject for what does not match
    its checksum.
    """
    to = Path(asked.to).expanduser()
    if to.exists():
        raise ConfigError("to", "a path that does not exist yet", str(to))
    if not to.parent.is_dir():
        raise ConfigError("to", "a path in a folder that exists", str(to))
    stored = find_stored(store, asked.key, "key", any_responses=True)
    endings = {
        "margins": ("", ".npz"),
        "datamodels": (".safetensors",) if asked.published else (".npy", ".safetensors"),
    }
    if to.suffix not in endings[stored.kind]:
        expected = " or ".join(ending or "no ending (a folder)" for ending in endings[stored.kind])
        raise ConfigError("to", f"{expected} for {stored.kind}", str(to))
    if asked.split is not None and (stored.kind == "datamodels" or to.suffix):
        raise ConfigError("split", "margins that are written to a folder", asked.split)
    if stored.kind == "datamodels":
        return _datamodels(store, stored, to, asked.published)
    if asked.published:
        raise ConfigError("published", "false for margins", True)
    matrix = MarginMatrix.open(store, stored.reference.key)
    if asked.split is not None:
        return write_maps(matrix, to, asked.split)
    return _archive(matrix, to) if to.suffix else _layout(matrix, stored, to)


def _layout(matrix: MarginMatrix, stored: Stored, to: Path) -> list[Path]:
    to.mkdir()
    files = [to / f"{name}.npy" for name in ("masks", "margins", "_completed")]
    np.save(files[0], matrix.masks())
    margins = np.lib.format.open_memmap(files[1], mode="w+", dtype=np.float32, shape=(stored.models, stored.n_targets))
    for start in range(0, stored.n_targets, COLUMNS):
        stop = min(start + COLUMNS, stored.n_targets)
        margins[:, start:stop] = matrix.margins(start, stop)
    margins.flush()
    np.save(files[2], matrix.valid())
    return files


def _archive(matrix: MarginMatrix, to: Path) -> list[Path]:
    valid = matrix.valid()
    np.savez(to, masks=matrix.masks()[valid], margins=matrix.margins()[valid])
    return [to]


def _datamodels(store: ObjectStore, stored: Stored, to: Path, published: bool) -> list[Path]:
    fitted = read_blocks(store, stored.reference)
    given = stored.record.get("given", FIELDS)
    arrays = {name: np.ascontiguousarray(getattr(fitted, name)) for name in FIELDS if name in given}
    if "matrix" in stored.record:
        matrix = MarginMatrix.open(store, stored.record["matrix"]["key"])
        arrays["weights"][:, list(undefined_examples([matrix.record]))] = np.nan
    if published:
        arrays = {name: arrays[ours] for name, ours in PUBLISHED.items() if ours in arrays}
        arrays["weight"] = np.ascontiguousarray(arrays["weight"].T)
    if to.suffix == ".npy":
        np.save(to, arrays["weights"])
    else:
        save_file(arrays, to)
    return [to]
