"""Stage: the components of A that carry an effect, what their ablation removes in A, and the same components in B."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from modeldiff_core.ablation import Aim, Choosing, Probes, ablated_outputs, limited_loss_set
from modeldiff_core.designs import LeaveOneOut
from modeldiff_core.experiments.components.baselines import FOLDER
from modeldiff_core.identity import generator
from modeldiff_core.plan import Label, Record, Reference, Step, refer
from modeldiff_core.plan.products import read_digested
from modeldiff_core.responses import Ablated
from modeldiff_core.responses.effect_networks import EffectNetwork
from modeldiff_core.responses.networks import Opened
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.stages.regression import Regression
from modeldiff_core.store import ObjectStore, write_record
from modeldiff_core.training import Execution

VERSION = 2  # 2: sets by likelihood with exchanges
RANDOM_SETS = 20
EMPHASIS = 0.2
"""Weight of an image's effect beside a clean image."""
Masks = Bool[np.ndarray, "rows components"]
Outputs = Float[np.ndarray, "rows images"]


@dataclass(frozen=True)
class Named:
    """The components of A's network that are named for an effect.

    ablated: the networks of A and of B, with the effect as their output. regressions: theirs.
    """

    ablated: tuple[Ablated, Ablated]
    regressions: tuple[Regression, Regression]
    limit: float
    most: int
    wished: float
    seed: int

    @property
    def reference(self) -> Reference:
        """Where the record is."""
        identity = {
            "version": VERSION,
            "ablated": [one.digest for one in self.ablated],
            "datamodels": [one.reference.digest for one in self.regressions],
            "limit": self.limit,
            "most": self.most,
            "wished": self.wished,
            "seed": self.seed,
        }
        return refer(FOLDER, "named", identity)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        needs = tuple(one.reference for one in self.regressions)
        return Step(name, Record(self.reference), name_components, self, needs, label, on_device=True)

    def read(self, store: ObjectStore) -> dict[str, Any]:
        """Return the record, checked."""
        return read_digested(store, self.reference)


def name_components(store: ObjectStore, spec: Named, execution: Execution) -> None:
    """Choose A's components on the attributed images and write what their ablation does on the others.

    The set is that of the limited loss whose targets' outputs are −|effect|: what brings the effects nearest to zero
    and spares the clean images, whose attributions are those of leave-one-out; it ends where the wished share is gone.
    In B the same components are ablated; a random set has as many. The share removed is
    1 − Σ|effect without them|/Σ|effect|.
    """
    sides = [_Side(store, ablated, execution) for ablated in spec.ablated]
    a, weights = sides[0], read_datamodels(store, spec.regressions[0]).weights
    components = len(spec.ablated[0].components)
    clean = a.clean(LeaveOneOut(components).masks(range(components + 1)), chooses=True)

    def outputs(masks: Masks) -> Outputs:
        return np.concatenate([-np.abs(a.effects(masks, chooses=True)), a.clean(masks, chooses=True)], axis=1)

    whole = a.effects(np.ones((1, components), dtype=bool), chooses=True)[0]
    choosing = Choosing(outputs, -np.sign(whole)[:, None] * weights, (clean[:1] - clean[1:]).T)
    enough = -(1 - spec.wished) * float(np.abs(whole).mean())
    chosen = limited_loss_set(choosing, Aim(True, spec.limit, spec.most, enough, EMPHASIS))
    rng = generator("random components", spec.seed)
    random = [rng.permutation(components)[: max(1, len(chosen))].tolist() for _ in range(RANDOM_SETS)]
    kept = spec.ablated[0].components.kept
    every = np.ones((1, components), dtype=bool)
    record: dict[str, Any] = {
        "digest": spec.reference.digest,
        "components": chosen,
        "names": [spec.ablated[0].components.named(one) for one in chosen],
        "weights": {
            side: [float(value) for value in read_datamodels(store, regression).weights.mean(0)]
            for side, regression in zip("ab", spec.regressions, strict=True)
        },
        "random": a.outcome(np.stack([kept(one) for one in random])),
    }
    for words, side in zip("ab", sides, strict=True):
        record[words] = {"before": side.one(every), "after": side.one(kept(chosen)[None])}
    write_record(store, spec.reference.record, record)


class _Side:
    """One algorithm's network, with the images that choose and those that measure."""

    def __init__(self, store: ObjectStore, ablated: Ablated, execution: Execution) -> None:
        self.subject, opened = ablated.open(store, execution)
        network, count = ablated.network, ablated.targets
        assert isinstance(network, EffectNetwork)
        later = network.eligible()[count:]
        self.pairs = {True: opened.probes, False: network.pairs(opened, later, ablated.output)}
        labels = torch.from_numpy(network.base.training.task().targets.labels)
        chose = network.eligible()[:count]
        self.plain = {
            chooses: self._plain(opened, self.pairs[chooses], labels[torch.from_numpy(at)], ablated)
            for chooses, at in ((True, chose), (False, later))
        }

    def _plain(self, opened: Opened, pairs: Probes, labels: torch.Tensor, ablated: Ablated) -> Probes:
        """Return the same images without the transformation, under their own labels."""
        from modeldiff_core.margins import OUTPUTS

        function = OUTPUTS.get(ablated.output)
        both = pairs.inputs[:, 1:].expand(-1, 2, *[-1] * (pairs.inputs.dim() - 2))
        return Probes(both, labels.to(both.device), lambda logits, own: function(logits[..., 1, :], own))

    def effects(self, masks: Masks, *, chooses: bool) -> Outputs:
        """Return the effects of all images."""
        return ablated_outputs(self.subject, self.pairs[chooses], masks)

    def clean(self, masks: Masks, *, chooses: bool) -> Outputs:
        """Return the outputs of the images themselves."""
        return ablated_outputs(self.subject, self.plain[chooses], masks)

    def outcome(self, masks: Masks) -> dict[str, list[float]]:
        """Return the mean size of the effects and the accuracy, of the images that measure, for each row."""
        effects, clean = self.effects(masks, chooses=False), self.clean(masks, chooses=False)
        return {"effect": np.abs(effects).mean(1).tolist(), "accuracy": (clean > 0).mean(1).tolist()}

    def one(self, mask: Masks) -> dict[str, float]:
        """Return them for one row."""
        return {name: values[0] for name, values in self.outcome(mask).items()}
