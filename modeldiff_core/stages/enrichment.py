"""Stage: what the subpopulations at the ends of one direction share."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.stages.directions import FOLDER, Pair
from modeldiff_core.stages.references import Reference, open_store, refer
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors, write_tensors
from modeldiff_core.study import Training
from modeldiff_core.subpopulations import Shared, furthest, in_words, shared

VERSION = 1
PARTS = ("targets", "train")
SIGNS = ("positive", "negative")


@dataclass(frozen=True)
class Description:
    """The two ends of a direction, among the test examples by projection and among the training examples by weight.

    share: of all examples that make an end.
    """

    pair: Pair
    training: Training
    side: str
    index: int
    share: float

    @property
    def reference(self) -> Reference:
        """Where what they share stands."""
        identity = {
            "version": VERSION, "directions": self.pair.directions.digest, "fingerprint": self.training.fingerprint,
            "side": self.side, "index": self.index, "share": self.share,
        }  # fmt: skip
        return refer(FOLDER, "subpopulations", identity, record="{key}.safetensors")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a worker in another process."""
        return {
            "pair": self.pair.to_json(), "training": self.training.to_json(), "side": self.side, "index": self.index,
            "share": self.share,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Description":
        """What to_json gave."""
        pair, training = Pair.from_json(content["pair"]), Training.from_json(content["training"])
        return cls(pair, training, content["side"], content["index"], content["share"])


@dataclass(frozen=True)
class EndDescription:
    """One end as it was stored: facts are plain values (size, matched, words, enrichments, statistics)."""

    facts: dict[str, Any]
    mean_image: Float[np.ndarray, "height width channels"]
    difference: Float[np.ndarray, "height width channels"]
    error: Float[np.ndarray, "height width channels"]


def describe(store: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    """Store enrichments, contrasts of statistics and mean images of both ends, of test and of training examples."""
    objects, spec = open_store(store), Description.from_json(description)
    directions = read_tensors(objects, spec.pair.directions.record, {"directions": spec.pair.directions.digest}).arrays
    task = spec.training.task()
    classes = spec.training.load().classes
    values = {
        "targets": (task.targets, directions[f"{spec.side}.projections"][:, spec.index]),
        "train": (task.train, directions[f"{spec.side}.directions"][spec.index]),
    }
    arrays: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {}
    for part in PARTS:
        examples, along = values[part]
        for sign, factor in zip(SIGNS, (1, -1), strict=True):
            found = shared(examples, furthest(factor * along, spec.share), classes)
            facts[f"{part}.{sign}"] = _facts(found)
            blank = np.zeros(examples.images.shape[1:])
            images = (blank,) * 3 if found is None else (found.mean_image, found.difference, found.error)
            for name, image in zip(("mean_image", "difference", "error"), images, strict=True):
                arrays[f"{part}.{sign}.{name}"] = image.astype(np.float32)
    write_tensors(
        objects, spec.reference.record, TensorObject(arrays, {"subpopulations": spec.reference.digest}, facts)
    )
    return spec.reference.to_json()


def _facts(found: Shared | None) -> dict[str, Any]:
    if found is None:
        return {"size": 0, "matched": True, "words": in_words(None), "enrichments": [], "statistics": []}
    return {
        "size": int(found.members.sum()),
        "matched": found.matched,
        "words": in_words(found),
        "enrichments": [asdict(e) for e in found.enrichments],
        "statistics": [asdict(s) for s in found.statistics],
    }


def read_description(store: ObjectStore, spec: Description) -> dict[str, dict[str, EndDescription]]:
    """Stored descriptions by part (targets, train) and sign (positive, negative), checked."""
    content = read_tensors(store, spec.reference.record, {"subpopulations": spec.reference.digest})
    facts: Any = content.facts

    def end(key: str) -> EndDescription:
        images = (content.arrays[f"{key}.{name}"] for name in ("mean_image", "difference", "error"))
        return EndDescription(facts[key], *images)

    return {part: {sign: end(f"{part}.{sign}") for sign in SIGNS} for part in PARTS}
