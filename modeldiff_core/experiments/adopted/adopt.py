"""Stage: take margins and masks, or attributions, that were made elsewhere into a store.

What is adopted becomes a training that nothing here can train: ``trainings/<dataset>.adopted-<digest8>``, whose
identity is the digest of the adopted numbers with the names given to them. The same numbers from another format of
file make the same training.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.data import Dataset
from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.experiments.adopted.orientation import is_transposed
from modeldiff_core.identity import short_digest
from modeldiff_core.plan import Reference, refer
from modeldiff_core.stages.blocks import block_key
from modeldiff_core.stages.matrix import matrix_reference
from modeldiff_core.stages.regress import FIELDS, read_blocks
from modeldiff_core.store import (
    MarginMatrix,
    ObjectStore,
    Shard,
    TensorObject,
    read_record,
    write_matrix,
    write_record,
    write_tensors,
)
from modeldiff_core.store.files import FileArray, only_array, opened
from modeldiff_core.store.verify import check_matrix
from modeldiff_core.study import load_dataset
from modeldiff_core.study.adopted import Adoption

VERSION = 1
PART = 1 << 24
"""Most numbers held at a time (64 MiB of float32)."""
PUBLISHED = {"weight": "weights", "bias": "bias", "lam": "lambdas"}
"""Our names for the entries of a published dictionary."""


@dataclass(frozen=True)
class Adopted:
    """An adopted training: names for people, and the checksums and sizes of what was adopted."""

    name: str
    dataset: Mapping[str, object]
    content: Mapping[str, object]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides every number of it."""
        return {"version": VERSION, "adopted": {"name": self.name, "dataset": self.dataset, **self.content}}

    @property
    def prefix(self) -> str:
        """Its folder in a store."""
        return f"trainings/{self.dataset['kind']}.adopted-{short_digest(self.identity)}"

    def write(self, store: ObjectStore) -> None:
        """Put training.json."""
        record = {"identity": self.identity, "algorithm_name": self.name, "dataset": self.dataset}
        write_record(store, f"{self.prefix}/training.json", record)


def adopt(store: ObjectStore, asked: Adoption) -> Reference:
    """Adopt what the request names; gives the place of the matrix or of the datamodels.

    Files stand at paths or fsspec URLs. What was adopted before stays; if it is damaged it is written again.
    Margins are kept as float32, masks as bits, attributions as float32 [targets, train]. Raises ConfigError for files
    that cannot be read, shapes that do not fit together or to the dataset, masks other than 0 and 1, values that are
    not finite, and an orientation that is not known.
    """
    given = [key for key in ("folder", "masks", "margins", "scores") if getattr(asked, key) is not None]
    if given not in (["folder"], ["masks", "margins"], ["scores"]):
        raise ConfigError("folder, masks, margins, scores", "folder, or masks with margins, or scores", given)
    if asked.orientation and not asked.scores:
        raise ConfigError("orientation", "scores to which it applies", given, "Margins are [models, targets]")
    data = None if asked.dataset is None else load_dataset(asked.dataset)
    names: dict[str, object] = {"kind": "unnamed"}
    if asked.dataset is not None and data is not None:
        names = {"kind": asked.dataset.kind, "fingerprint": data.fingerprint}
    sources = {key: str(getattr(asked, key)) for key in given}
    if asked.folder is not None:
        sources = {name: f"{asked.folder.rstrip('/')}/{name}.npy" for name in ("masks", "margins", "_completed")}
    with ExitStack() as files:
        arrays = {
            name: files.enter_context(opened(source, name if name in given else "folder", store.settings))
            for name, source in sources.items()
        }
        if asked.scores:
            return _adopt_scores(store, asked, names, arrays["scores"], data)
        return _adopt_margins(store, asked.name, names, _pair(arrays), data)


@dataclass(frozen=True)
class _Pair:
    """Masks and margins in files, and which of their rows hold finished models."""

    masks: FileArray
    margins: FileArray
    rows: np.ndarray

    def parts(self) -> Iterator[Shard]:
        """Yield the finished models by parts of at most PART margins, checked."""
        size = max(1, PART // max(self.margins.shape[1], self.masks.shape[1]))
        done = 0
        for start in range(0, self.masks.shape[0], size):
            rows = self.rows[(self.rows >= start) & (self.rows < start + size)]
            if not len(rows):
                continue
            masks = _zeros_and_ones(self.masks, self.masks.rows(start, start + size)[rows - start], rows)
            margins = _finite(
                self.margins, self.margins.rows(start, start + size)[rows - start], rows, "margins", "model"
            )
            yield Shard(done, masks, margins, np.zeros(len(rows), dtype=bool))
            done += len(rows)


def _pair(arrays: Mapping[str, dict[str, FileArray]]) -> _Pair:
    """Return the two matrices, whose sizes fit."""
    masks, margins = (only_array(arrays[key], (key,), key) for key in ("masks", "margins"))
    completed = arrays["_completed"][""] if "_completed" in arrays else None
    for key, array, axes in (("masks", masks, "[models, train]"), ("margins", margins, "[models, targets]")):
        if len(array.shape) != 2 or 0 in array.shape:
            raise ConfigError(key, f"a matrix {axes}", f"{array.source}: shape {array.shape}")
    if masks.shape[0] != margins.shape[0]:
        hint = "The margins look transposed" if masks.shape[0] == margins.shape[1] else ""
        raise ConfigError("margins", f"a row for each of the {masks.shape[0]} masks", margins.shape, hint)
    rows = np.arange(masks.shape[0])
    if completed is not None:
        if completed.shape != (masks.shape[0],):
            raise ConfigError("folder", f"_completed of shape {(masks.shape[0],)}", completed.shape)
        rows = np.flatnonzero(completed.whole())
        if not len(rows):
            raise ConfigError("folder", "models that are completed", f"{completed.source}: none is")
    return _Pair(masks, margins, rows)


def _adopt_margins(
    store: ObjectStore, name: str, dataset: Mapping[str, object], pair: _Pair, data: Dataset | None
) -> Reference:
    n_train, n_targets, models = pair.masks.shape[1], pair.margins.shape[1], len(pair.rows)
    check_sizes(data, n_train, n_targets, "masks", "margins")
    masks, margins = hashlib.sha256(), hashlib.sha256()
    for part in pair.parts():
        masks.update(np.packbits(part.masks, axis=1).tobytes())
        margins.update(part.margins.tobytes())
    content = {
        "models": models, "train": n_train, "targets": n_targets, "masks_sha256": masks.hexdigest(),
        "margins_sha256": margins.hexdigest(),
    }  # fmt: skip
    training = Adopted(name, dataset, content)
    reference = matrix_reference(training.prefix, training.identity, models)
    if not _sound(store, reference, lambda: check_matrix(MarginMatrix.open(store, reference.key))):
        training.write(store)
        identity = {"training": training.identity}
        write_matrix(store, reference.key, pair.parts(), models, n_train, n_targets, identity)
    return reference


def _adopt_scores(
    store: ObjectStore,
    asked: Adoption,
    dataset: Mapping[str, object],
    arrays: dict[str, FileArray],
    data: Dataset | None,
) -> Reference:
    published = "weight" in arrays
    weights = only_array(arrays, ("weight", "weights", "scores"), "scores")
    if len(weights.shape) != 2 or 0 in weights.shape:
        raise ConfigError("scores", "a matrix of targets and train", f"{weights.source}: shape {weights.shape}")
    columns = {PUBLISHED.get(name, name): a for name, a in arrays.items() if a is not weights}
    columns = {name: array for name, array in columns.items() if name in FIELDS}
    stated = asked.orientation or ("train_targets" if published else "targets_train" if "weights" in arrays else None)
    turned = is_transposed(
        weights.shape, stated, {name: array.shape for name, array in columns.items()},
        None if data is None else (len(data.test), len(data.train)),
    )  # fmt: skip
    n_targets, n_train = weights.shape[::-1] if turned else weights.shape
    check_sizes(data, n_train, n_targets, "scores", "scores")
    size = max(1, PART // n_train)
    blocks = [(start, min(start + size, n_targets)) for start in range(0, n_targets, size)]

    def block(start: int, stop: int) -> Float[np.ndarray, "targets train"]:
        read = weights.read((slice(None), slice(start, stop))).T if turned else weights.rows(start, stop)
        return _finite(weights, read, np.arange(start, stop), "scores", "target")

    sha = hashlib.sha256()
    for start, stop in blocks:
        sha.update(block(start, stop).tobytes())
    vectors = {name: np.ascontiguousarray(array.whole(), np.float32) for name, array in columns.items()}
    sums = {f"{name}_sha256": hashlib.sha256(vector.tobytes()).hexdigest() for name, vector in vectors.items()}
    content = {"train": n_train, "targets": n_targets, "weights_sha256": sha.hexdigest(), **sums}
    training = Adopted(asked.name, dataset, content)
    identity = {"version": VERSION, "training": training.identity}
    reference = refer(training.prefix, "datamodels", identity, record="{key}/record.json")
    if not _sound(store, reference, lambda: read_blocks(store, reference)):
        training.write(store)
        missing = np.full(n_targets, np.nan, np.float32)
        missing_bias = {"bias": np.zeros(n_targets, np.float32)}
        for start, stop in blocks:
            filled = {name: (missing_bias | vectors).get(name, missing)[start:stop] for name in FIELDS[1:]}
            whole = TensorObject({"weights": block(start, stop), **filled}, {"datamodels": reference.digest}, {})
            write_tensors(store, block_key(reference, start, stop), whole)
        record = {
            "digest": reference.digest, "training": training.identity, "targets": n_targets, "train": n_train,
            "given": ["weights", *sorted(vectors)], "blocks": [block_key(reference, *part) for part in blocks],
        }  # fmt: skip
        write_record(store, reference.record, record)
    return reference


def _sound(store: ObjectStore, reference: Reference, check: Callable[[], object]) -> bool:
    """Return whether what was adopted before is there and whole; if not, it is written again."""
    try:
        read_record(store, f"{reference.key.rsplit('/', 1)[0]}/training.json")
        check()
    except (DamagedObject, FileNotFoundError):
        return False
    return True


def check_sizes(data: Dataset | None, n_train: int, n_targets: int, train_key: str, targets_key: str) -> None:
    """Raise ConfigError for sizes that a dataset does not have; the targets are the first of its test examples."""
    if data is None:
        return
    if n_train != len(data.train):
        raise ConfigError(train_key, f"a column for each of the dataset's {len(data.train)} training examples", n_train)
    if n_targets > len(data.test):
        raise ConfigError(targets_key, f"at most the dataset's {len(data.test)} test examples", n_targets)


def _zeros_and_ones(array: FileArray, values: np.ndarray, rows: np.ndarray) -> Bool[np.ndarray, "models train"]:
    wrong = ~((values == 0) | (values == 1)).all(axis=1)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ConfigError(
            "masks", "0 and 1 alone", f"{array.source}: model {rows[at]} has {_odd(values[at])}",
            "Masks that are packed eight to a byte have to be unpacked first",
        )  # fmt: skip
    return np.asarray(values).astype(bool)


def _odd(row: np.ndarray) -> float:
    return float(row[(row != 0) & (row != 1)][0])


def _finite(
    array: FileArray, values: np.ndarray, rows: np.ndarray, key: str, what: str
) -> Float[np.ndarray, "rows columns"]:
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, np.float32)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        at = int(rows[int(np.argmin(finite))])
        raise ConfigError(key, "finite values within float32", f"{array.source}: {what} {at} holds others")
    return values
