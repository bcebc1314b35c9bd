"""Stage: take margins and masks, or attributions, that were made elsewhere into a store.

What is adopted becomes a training that nothing here can train: ``trainings/<dataset>.adopted-<digest8>``, whose
identity is the digest of the adopted numbers with the names given to them. The same numbers from another format of
file make the same training.
"""

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
from jaxtyping import Float

from modeldiff_core.data import Dataset
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.margins import adopt_margins
from modeldiff_core.experiments.adopted.orientation import is_transposed
from modeldiff_core.experiments.adopted.pairs import open_pair
from modeldiff_core.experiments.adopted.training import VERSION, Adopted, check_size, check_sizes, finite, is_sound
from modeldiff_core.plan import Reference, refer
from modeldiff_core.stages.blocks import block_key
from modeldiff_core.stages.regress import FIELDS, read_blocks
from modeldiff_core.store import ObjectStore, TensorObject, write_record, write_tensors
from modeldiff_core.store.files import FileArray, only_array, opened
from modeldiff_core.study import load_dataset
from modeldiff_core.study.adopted import Adoption

PART = 1 << 24
"""Most numbers held at a time (64 MiB of float32)."""
PUBLISHED = {"weight": "weights", "bias": "bias", "lam": "lambdas"}
"""Our names for the entries of a published dictionary."""


def adopt(store: ObjectStore, asked: Adoption) -> Reference:
    """Adopt what the request names; gives the place of the matrix or of the datamodels.

    Files are given as paths or fsspec URLs. What was adopted before stays; if it is damaged it is written again.
    Margins are kept as float32, masks as bits, attributions as float32 [targets, train]. Raises ConfigError for files
    that cannot be read, shapes that do not fit together or to the dataset, masks other than 0 and 1, values that are
    not finite, and an orientation that is not known.
    """
    given = [key for key in ("folder", "masks", "margins", "scores") if getattr(asked, key) is not None]
    if given not in (["folder"], ["masks", "margins"], ["scores"]):
        raise ConfigError("folder, masks, margins, scores", "folder, or masks with margins, or scores", given)
    if asked.orientation and not asked.scores:
        raise ConfigError("orientation", "scores, which it applies to", given, "Margins are [models, targets]")
    if asked.split is not None and asked.folder is None:
        raise ConfigError("split", "a folder in the layout of COAR's public code", given)
    if asked.against is not None and asked.scores is None:
        raise ConfigError("against", "scores that are to predict these margins", given)
    data = None if asked.dataset is None else load_dataset(asked.dataset)
    names: dict[str, object] = {"kind": "unnamed"}
    if asked.dataset is not None and data is not None:
        names = {"kind": asked.dataset.kind, "fingerprint": data.fingerprint}
    with ExitStack() as files:
        if asked.scores:
            arrays = files.enter_context(opened(asked.scores, "scores", store.settings))
            return _adopt_scores(store, asked, names, arrays, data)
        return adopt_margins(store, asked, names, open_pair(asked, store.settings, files, PART), data)


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
        weights.shape,
        stated,
        {name: array.shape for name, array in columns.items()},
        None if data is None else (len(data.test), len(data.train)),
    )
    n_targets, n_train = weights.shape[::-1] if turned else weights.shape
    check_sizes(data, n_train, n_targets, "scores", "scores")
    size = max(1, PART // n_train)
    blocks = [(start, min(start + size, n_targets)) for start in range(0, n_targets, size)]

    def block(start: int, stop: int) -> Float[np.ndarray, "targets train"]:
        read = weights.read((slice(None), slice(start, stop))).T if turned else weights.rows(start, stop)
        return finite(weights, read, np.arange(start, stop), "scores", "target")

    sha, largest = hashlib.sha256(), 0.0
    for start, stop in blocks:
        values = block(start, stop)
        sha.update(values.tobytes())
        largest = max(largest, float(np.abs(values).max()))
    check_size(largest, "scores", weights.source)
    vectors = {name: np.ascontiguousarray(array.whole(), np.float32) for name, array in columns.items()}
    sums = {f"{name}_sha256": hashlib.sha256(vector.tobytes()).hexdigest() for name, vector in vectors.items()}
    content = {"train": n_train, "targets": n_targets, "weights_sha256": sha.hexdigest(), **sums}
    training = Adopted(asked.name, dataset, content)
    identity = {"version": VERSION, "training": training.identity}
    reference = refer(training.prefix, "datamodels", identity, record="{key}/record.json")
    if not is_sound(store, reference, lambda: read_blocks(store, reference)):
        training.write(store)
        missing = np.full(n_targets, np.nan, np.float32)
        missing_bias = {"bias": np.zeros(n_targets, np.float32)}
        for start, stop in blocks:
            filled = {name: (missing_bias | vectors).get(name, missing)[start:stop] for name in FIELDS[1:]}
            whole = TensorObject({"weights": block(start, stop), **filled}, {"datamodels": reference.digest}, {})
            write_tensors(store, block_key(reference, start, stop), whole)
        record = {
            "digest": reference.digest,
            "training": training.identity,
            "targets": n_targets,
            "train": n_train,
            "given": ["weights", *sorted(vectors)],
            "blocks": [block_key(reference, *part) for part in blocks],
        }
        write_record(store, reference.record, record)
    return reference
