"""Stages: an edit of a network by ablating components, beside other ways to choose them; and the edited network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from modeldiff_core.ablation import Aim, Choosing, Probes, Subject, ablated_outputs, edited_state, limited_loss_set
from modeldiff_core.ablation.edits import in_order, welch_scores
from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.experiments.components.baselines import FOLDER
from modeldiff_core.experiments.components.edit_pictures import said_of
from modeldiff_core.experiments.components.edit_settings import EditConfig
from modeldiff_core.experiments.components.scores import ALONE, FITTED, ComponentScores, attributions
from modeldiff_core.identity import generator
from modeldiff_core.plan import Label, Record, Reference, Step, Tensors, refer
from modeldiff_core.plan.products import read_digested
from modeldiff_core.responses import Ablated
from modeldiff_core.responses.networks import Opened, TrainedNetwork, image_probes
from modeldiff_core.responses.stored_networks import StoredNetwork
from modeldiff_core.store import ObjectStore, write_record
from modeldiff_core.training import Execution

VERSION = 2  # 2: sets by likelihood with exchanges, random orders, pictures
CHOSEN_BY = FITTED, ALONE, "gradient_parameter"
"""Attributions that sets are chosen by, beside random ones."""
RANDOM_SETS = 20
STATE = "state."
CLOSE = 1e-4
"""Difference of an edited network's outputs from those that were recorded, relative to the largest."""


def check_edits(edits: Sequence[EditConfig], examples: Examples, attributed: int) -> None:
    """Raise ConfigError for edits of one name, without examples to choose on, or without any to measure on."""
    names = [asked.name for asked in edits]
    if len(set(names)) < len(names):
        raise ConfigError("edits", "edits with distinct names", names)
    for asked in edits:
        targets, reference = asked.members(examples)
        for name, part in (("targets", targets), ("reference", reference)):
            if part[:attributed].sum() < 1:
                expected = f"one of the {attributed} attributed examples or more"
                raise ConfigError(f"edits.{asked.name}.{name}", expected, getattr(asked, name))
        if not reference[attributed:].any():
            hint = "An edit is measured on examples that did not choose it"
            raise ConfigError("attributed", f"fewer than the {len(examples)} targets", attributed, hint)


@dataclass(frozen=True)
class Edit:
    """An edit of one network; its attributions are those that `scores` compares."""

    ablated: Ablated
    scores: ComponentScores
    asked: EditConfig

    @property
    def reference(self) -> Reference:
        """Where what it did is recorded."""
        asked = self.asked.model_dump(mode="json", exclude={"name"})
        return refer(FOLDER, "edit", {"version": VERSION, "scores": self.scores.reference.digest, "asked": asked})

    @property
    def edited(self) -> Tensors:
        """Where the edited network's weights are."""
        return Tensors.of(FOLDER, "edited", {"version": VERSION, "edit": self.reference.digest})

    def steps(self, words: str, label: Label) -> tuple[Step, Step]:
        """Return the step that chooses and measures, and the one that writes the edited network."""
        choose = Step(
            f"{words} edit", Record(self.reference), make_edit, self, (self.scores.reference,), label, on_device=True
        )
        write = Step(
            f"{words} edited network",
            self.edited,
            write_edited,
            self,
            (self.reference,),
            label,
            on_device=True,
            check=check_edited,
        )
        return choose, write

    def read(self, store: ObjectStore) -> dict[str, Any]:
        """Return the record, checked."""
        return read_digested(store, self.reference)

    def examples(self) -> Examples:
        """Return the test examples of the network."""
        network = self.ablated.network
        if not isinstance(network, TrainedNetwork | StoredNetwork):
            raise ConfigError("edits", "a network that takes images", network.kind)
        return network.training.task().targets


def make_edit(store: ObjectStore, spec: Edit, execution: Execution) -> None:
    """Choose the components by each attribution and write what their ablation does to examples not used for it.

    By Welch's score: the first k of the order, for growing k. By the limited loss: one set each, and its first k.
    Random sets have the size of the regression's set by the limited loss, and as many random orders give a mean for
    each k. Accuracy is the share of outputs above 0.
    """
    subject, opened = spec.ablated.open(store, execution)
    chooses = _Choice(spec, opened)
    outcome = _Outcome(subject, spec, opened)
    found = {name: values for name, values in attributions(store, spec.scores).items() if name in CHOSEN_BY}
    components, most = len(spec.ablated.components), min(spec.asked.most, len(spec.ablated.components) - 1)
    curves, limited = dict[str, Any](), dict[str, Any]()
    aim = Aim(spec.asked.aim == "raise", spec.asked.limit, most)
    for name, values in found.items():
        order = in_order(welch_scores(values[chooses.targets], values[chooses.reference]), aim.raises)
        curves[name] = outcome.curve([order[:most].tolist()])
        chosen = limited_loss_set(chooses.of(subject, values), aim)
        mask = spec.ablated.components.kept(chosen)
        limited[name] = {"components": chosen, **outcome.one(mask), "path": outcome.curve([chosen])}
    edited = limited[FITTED]["components"]
    size, rng = max(1, len(edited)), generator("random sets", spec.scores.seed)
    drawn = [rng.permutation(components).tolist() for _ in range(RANDOM_SETS)]
    curves["random"] = outcome.curve([one[:most] for one in drawn])
    rows = np.stack([spec.ablated.components.kept(one[:size]) for one in drawn])
    record = {
        "digest": spec.reference.digest,
        "before": outcome.one(np.ones(components, dtype=bool)),
        "chosen_on": {"targets": len(chooses.targets), "reference": len(chooses.reference)},
        "measured_on": outcome.counts,
        "curves": curves,
        "limited": limited,
        "random": {"size": size, **outcome.of(rows)},
        "pictures": said_of(
            subject, outcome.probes, spec.ablated.components.kept(edited), outcome.split, outcome.positions.tolist()
        ),
    }
    write_record(store, spec.reference.record, record)


class _Choice:
    """The attributed examples that choose."""

    def __init__(self, spec: Edit, opened: Opened) -> None:
        count = len(opened.probes)
        targets, reference = spec.asked.members(spec.examples().first(count))
        self.targets = np.flatnonzero(targets)[: spec.asked.most_targets]
        self.reference, self.opened = np.flatnonzero(reference), opened

    def of(self, subject: Subject, values: Float[np.ndarray, "examples components"]) -> Choosing:
        """Return them with an attribution."""
        order = torch.from_numpy(np.concatenate([self.targets, self.reference])).to(subject.device)
        probes = self.opened.probes
        some = Probes(probes.inputs[order], probes.labels[order], probes.read)

        def outputs(masks: Bool[np.ndarray, "rows components"]) -> Float[np.ndarray, "rows examples"]:
            return ablated_outputs(subject, some, masks)

        return Choosing(outputs, values[self.targets], values[self.reference])


class _Outcome:
    """The examples that measure: the test examples after the attributed ones.

    Where none of these is a target, as when one prediction is to be mended, the targets are those that chose.
    """

    def __init__(self, subject: Subject, spec: Edit, opened: Opened) -> None:
        examples, count = spec.examples(), len(opened.probes)
        targets, reference = (np.flatnonzero(part) for part in spec.asked.members(examples))
        later, reference = targets[targets >= count], reference[reference >= count]
        targets = later if len(later) else targets[: spec.asked.most_targets]
        self.subject, self.split, self.kept = subject, len(targets), spec.ablated.components.kept
        self.positions = np.concatenate([targets, reference])
        some = examples.select(self.positions)
        assert opened.prepare is not None
        self.probes = image_probes(opened.prepare, some.images, some.labels, spec.ablated.output)
        self.counts = {"targets": len(targets), "reference": len(reference), "chose": not len(later)}

    def of(self, masks: Bool[np.ndarray, "rows components"]) -> dict[str, list[float]]:
        """Return accuracy and mean output of targets and reference, for each row."""
        outputs = ablated_outputs(self.subject, self.probes, masks)
        parts = {"targets": outputs[:, : self.split], "reference": outputs[:, self.split :]}
        found = {name: (part > 0).mean(1).tolist() for name, part in parts.items()}
        return found | {f"{name}_mean": part.mean(1).tolist() for name, part in parts.items()}

    def curve(self, orders: Sequence[Sequence[int]]) -> dict[str, list[Any]]:
        """Return sizes k, and what ablating the first k of an order does, mean over orders of one length."""
        most = len(orders[0])
        sizes = sorted({*(2**power for power in range(10) if 2**power < most), most} - {0})
        if not sizes:
            return {"sizes": []}
        rows = np.stack([self.kept(order[:size]) for size in sizes for order in orders])
        means = {name: np.reshape(values, (len(sizes), -1)).mean(1).tolist() for name, values in self.of(rows).items()}
        return {"sizes": sizes, **means}

    def one(self, mask: Bool[np.ndarray, " components"]) -> dict[str, float]:
        """Return them for one row."""
        return {name: values[0] for name, values in self.of(mask[None]).items()}


def write_edited(store: ObjectStore, spec: Edit, execution: Execution) -> None:
    """Write the state_dict of the network without the components that the regression chose by the limited loss."""
    subject, _ = spec.ablated.open(store, execution)
    chosen = spec.read(store)["limited"][FITTED]["components"]
    state = edited_state(subject, spec.ablated.components.kept(chosen))
    arrays = {f"{STATE}{name}": value.cpu().numpy() for name, value in state.items()}
    spec.edited.write(store, arrays, {"components": [spec.ablated.components.named(one) for one in chosen]})


def check_edited(store: ObjectStore, spec: Edit) -> None:
    """Raise DamagedObject if the stored network, loaded from its file, does not do what the record says of it."""
    subject, opened = spec.ablated.open(store, Execution())
    stored = {name.removeprefix(STATE): torch.from_numpy(value) for name, value in spec.edited.read(store).items()}
    subject.net.load_state_dict(stored)
    every = np.ones((1, len(spec.ablated.components)), dtype=bool)
    outcome = _Outcome(Subject(subject.net, subject.components, (None,) * len(subject.fills)), spec, opened)
    found, expected = outcome.one(every[0]), spec.read(store)["limited"][FITTED]
    scale = max([1.0, *(abs(expected[name]) for name in found)])
    wrong = [name for name in found if abs(found[name] - expected[name]) > CLOSE * scale]
    if wrong:
        key = spec.edited.reference.record
        said = f"{wrong[0]} {found[wrong[0]]:.4f}, recorded {expected[wrong[0]]:.4f}"
        raise DamagedObject(f"{store.url(key)}: the edited network gives {said}", keys=(key,))
