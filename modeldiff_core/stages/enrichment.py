"""Stage: what the subpopulations at the ends of one direction share."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.data import Known, nothing_known
from modeldiff_core.data.kinds import PICTURES
from modeldiff_core.data.known import noun_of
from modeldiff_core.plan import Array, Label, Reference, Step, Tensors, refer
from modeldiff_core.stages.directions import FOLDER, Pair
from modeldiff_core.stages.matrix_free import MatrixFree
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors, write_tensors
from modeldiff_core.study import Training
from modeldiff_core.subpopulations import MeanImage, Shared, SharedFacts, families, furthest, in_words, shared
from modeldiff_core.subpopulations.enrichment import CLASS
from modeldiff_core.subpopulations.shared import IMAGE

VERSION = 3
PARTS = ("targets", "train")
SIGNS = ("positive", "negative")
STORED = {"mean": "mean_image", "difference": "difference", "error": "error"}
"""Names of a mean image's arrays, as they are stored."""
NOTHING_KNOWN = "Nothing is known of these examples: neither labels nor metadata nor images were given."


@dataclass(frozen=True)
class Ends:
    """The two ends of a direction, among the test examples by projection and among the training examples by weight.

    share: of all examples that make an end. fingerprint: of everything that is known of the examples.
    """

    directions: Reference
    fingerprint: str
    side: str
    index: int
    share: float

    @property
    def reference(self) -> Reference:
        """Where what they share is stored."""
        identity = {
            "version": VERSION,
            "directions": self.directions.digest,
            "fingerprint": self.fingerprint,
            "side": self.side,
            "index": self.index,
            "share": self.share,
        }
        return refer(FOLDER, "subpopulations", identity, record="{key}.safetensors")

    def shapes(self, examples: Mapping[str, Known]) -> dict[str, tuple[int, ...]]:
        """Return the stored mean images, their differences and errors, by name. examples: by part."""
        known = {part: of.images.shape[1:] for part, of in examples.items() if of.images is not None}
        return {f"{part}.{sign}.{name}": s for part, s in known.items() for sign in SIGNS for name in STORED.values()}

    def describe(self, store: ObjectStore, examples: Mapping[str, Known], classes: tuple[str, ...]) -> None:
        """Store enrichments, contrasts of statistics and mean images of both ends. examples: by part."""
        found = read_tensors(store, self.directions.record, {"directions": self.directions.digest}).arrays
        along = {
            "targets": found[f"{self.side}.projections"][:, self.index],
            "train": found[f"{self.side}.directions"][self.index],
        }
        arrays: dict[str, np.ndarray] = {}
        facts: dict[str, Any] = {}
        for part in PARTS:
            for sign, factor in zip(SIGNS, (1, -1), strict=True):
                members = furthest(factor * along[part], self.share)
                end = shared(examples[part], members, classes)
                facts[f"{part}.{sign}"] = _facts(end, examples[part])
                image = _blank(examples[part]) if end is None else end.image
                if image is not None:
                    arrays |= {f"{part}.{sign}.{name}": a.astype(np.float32) for name, a in _arrays(image).items()}
        content = TensorObject(arrays, {"subpopulations": self.reference.digest}, facts)
        write_tensors(store, self.reference.record, content)


@dataclass(frozen=True)
class Description:
    """The ends of a direction of a study, whose training knows the examples."""

    pair: Pair | MatrixFree
    training: Training
    side: str
    index: int
    share: float

    @property
    def ends(self) -> Ends:
        """The ends by themselves."""
        return Ends(self.pair.directions, self.training.fingerprint, self.side, self.index, self.share)

    @property
    def reference(self) -> Reference:
        """Where what they share is stored."""
        return self.ends.reference

    def step(self, name: str, label: Label) -> Step:
        """Return the step that describes them."""
        data = self.training.load()
        height, width, channels = data.image_shape
        axes = {"height": height, "width": width, "channels": channels}
        arrays = tuple(
            Array(f"{part}.{sign}.{stored}", axes)
            for part in PARTS
            for sign in SIGNS
            for stored in ("difference", "error")
            if data.kind == PICTURES
        )
        made = Tensors(self.reference, {"subpopulations": self.reference.digest}, arrays)
        return Step(name, made, describe, self, (self.pair.directions,), label)


@dataclass(frozen=True)
class EndDescription:
    """One end as it was stored: facts are plain values (size, matched, words, enrichments, statistics, place)."""

    facts: dict[str, Any]
    image: MeanImage | None


def describe(store: ObjectStore, spec: Description) -> None:
    """Describe both ends of a study's direction, of test and of training examples."""
    task = spec.training.task()
    examples = {"targets": task.targets.known, "train": task.train.known}
    spec.ends.describe(store, examples, spec.training.load().classes)


def read_description(store: ObjectStore, ends: Ends) -> dict[str, dict[str, EndDescription]]:
    """Stored descriptions by part (targets, train) and sign (positive, negative), checked."""
    content = read_tensors(store, ends.reference.record, {"subpopulations": ends.reference.digest})
    facts: Any = content.facts

    def end(key: str) -> EndDescription:
        images = {name: content.arrays.get(f"{key}.{stored}") for name, stored in STORED.items()}
        known = {name: image for name, image in images.items() if image is not None}
        return EndDescription(facts[key], MeanImage(**known) if known else None)

    return {part: {sign: end(f"{part}.{sign}") for sign in SIGNS} for part in PARTS}


Described = dict[str, dict[str, EndDescription]]
"""What the ends of a direction share, by part and sign."""


def over_all_lists(found: Sequence[Described]) -> list[Described]:
    """Return the descriptions of a report with words and ``p_report`` corrected over all lists of the report.

    ``p_report`` accompanies every ``p_adjusted``, which is corrected within one list.
    """
    facts = [end.facts for one in found for ends in one.values() for end in ends.values()]
    lists = families(None if not end["size"] else SharedFacts.restored(end) for end in facts)
    return [
        {
            part: {sign: replace(end, facts=_corrected(end.facts, lists)) for sign, end in ends.items()}
            for part, ends in one.items()
        }
        for one in found
    ]


def _corrected(facts: Mapping[str, Any], lists: int) -> dict[str, Any]:
    if not facts["size"]:
        return dict(facts)
    words = facts["words"]
    if words != [NOTHING_KNOWN]:
        words = in_words(SharedFacts.restored(facts), lists)

    def corrected(one: Mapping[str, Any]) -> dict[str, Any]:
        own = one.get("column") == CLASS
        return {**one, "p_report": one["p_adjusted"] if own else min(1.0, one["p_adjusted"] * lists)}

    place = facts.get("place")
    return {
        **facts,
        "words": words,
        "enrichments": [corrected(one) for one in facts["enrichments"]],
        "statistics": [corrected(one) for one in facts["statistics"]],
        "place": None if place is None else corrected(place),
    }


def _arrays(image: MeanImage) -> dict[str, Float[np.ndarray, "height width channels"]]:
    return {stored: getattr(image, name) for name, stored in STORED.items()}


def _blank(examples: Known) -> MeanImage | None:
    """Return the image of an end without members."""
    if examples.images is None:
        return None
    blank = np.zeros(examples.images.shape[1:])
    return MeanImage(blank, blank, blank)


def _facts(found: Shared | None, examples: Known) -> dict[str, Any]:
    if found is None:
        nothing: dict[str, Any] = {"enrichments": [], "statistics": [], "place": None}
        return {"size": 0, "matched": True, "words": in_words(None, noun=noun_of(examples)), **nothing}
    return {
        "size": int(found.members.sum()),
        "matched": found.matched,
        "words": [NOTHING_KNOWN] if nothing_known(examples) else in_words(found),
        "enrichments": [asdict(e) for e in found.enrichments],
        "statistics": [asdict(s) for s in found.statistics],
        "place": None if found.place is None else asdict(found.place),
        **({} if found.noun == IMAGE else {"noun": found.noun}),
    }
