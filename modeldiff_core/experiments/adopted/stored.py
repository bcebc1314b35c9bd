"""Margins and datamodels found in a store by their key, whoever made them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.plan import Reference
from modeldiff_core.responses.responses import FOLDER
from modeldiff_core.stages.matrix import matrix_reference
from modeldiff_core.store import MarginMatrix, ObjectStore, read_record, read_tensors

Kind = Literal["margins", "datamodels"]


@dataclass(frozen=True)
class Stored:
    """A complete matrix of margins, or complete datamodels. name: of the algorithm, for people. models: 0 if unknown.

    training: identity of what it belongs to; record: the content of the object that makes it complete.
    """

    kind: Kind
    name: str
    reference: Reference
    models: int
    n_train: int
    n_targets: int
    training: Mapping[str, Any]
    record: Mapping[str, Any]

    @property
    def left_out(self) -> int:
        """Models of the matrix that were screened out."""
        return len(self.record.get("left_out", ()))

    @property
    def folder(self) -> str:
        """The training's folder."""
        return self.reference.key.rsplit("/", 1)[0]


def find_stored(store: ObjectStore, given: str, key: str, *, any_responses: bool = False) -> Stored:
    """Return what is stored at a key: of a matrix, of datamodels, or of the folder of a training that has only one of
    them.

    key: the configuration key, for messages. any_responses: whether responses other than a training's will do, such as
    a network's outputs under ablation. Raises ConfigError if nothing complete is stored there, or several do.
    """
    place = re.sub(r"(/record\.json|\.json|\.[0-9a-f]{8}\.zarr)$", "", given.strip("/"))
    folder, _, last = place.rpartition("/")
    if not last.startswith(("margins-", "datamodels-")):
        folder, place = place, _only(store, place, key)
        last = place.rsplit("/", 1)[-1]
    try:
        if any_responses and folder.startswith(f"{FOLDER}/"):
            training = {"algorithm_name": folder.rsplit("/", 1)[-1], "identity": {}}
        else:
            training = read_record(store, f"{folder}/training.json")
        return (_margins if last.startswith("margins-") else _datamodels)(store, place, training)
    except FileNotFoundError as error:
        raise ConfigError(key, "margins or datamodels that are complete in the store", given, str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedObject(f"{store.url(place)}: its record lacks a field ({error!r})") from error


def _only(store: ObjectStore, folder: str, key: str) -> str:
    """Return the one complete matrix of a training's folder, or without any the one set of datamodels."""
    names = store.sizes(folder)
    matrices = [
        name.removesuffix(".json")
        for name in names
        if name.startswith(f"{folder}/margins-") and name.endswith(".json") and name.count("/") == folder.count("/") + 1
    ]
    fits = [
        name.removesuffix("/record.json")
        for name in names
        if name.startswith(f"{folder}/datamodels-") and name.endswith("/record.json")
    ]
    found = matrices or fits
    if len(found) != 1:
        hint = f"There are {', '.join(sorted(found))}" if found else "The folder holds neither"
        raise ConfigError(key, "the key of one matrix of margins or of datamodels", folder, hint)
    return found[0]


def _margins(store: ObjectStore, place: str, training: Mapping[str, Any]) -> Stored:
    record = MarginMatrix.open(store, place).record
    identity = record["identity"]["training"]
    choices = record.get("screening", {}).get("choices")
    reference = matrix_reference(place.rsplit("/", 1)[0], identity, record["models"], choices)
    if reference.key != place:
        raise DamagedObject(f"{store.url(reference.record)}: its record belongs to {reference.key}")
    sizes = record["models"], record["n_train"], record["n_targets"]
    return Stored("margins", training["algorithm_name"], reference, *sizes, identity, record)


def _datamodels(store: ObjectStore, place: str, training: Mapping[str, Any]) -> Stored:
    record = read_record(store, f"{place}/record.json")
    reference = Reference(place, record["digest"], f"{place}/record.json")
    if not place.endswith(f"-{record['digest'][:8]}"):
        raise DamagedObject(f"{store.url(reference.record)}: its record belongs to {record['digest'][:8]}")
    first = read_tensors(store, record["blocks"][0], {"datamodels": record["digest"]})
    n_train = first.arrays["weights"].shape[1]
    return Stored(
        "datamodels", training["algorithm_name"], reference, 0, n_train, record["targets"], training["identity"], record
    )
