"""Networks whose output is what a transformation changes: an image with it minus the same image without it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modeldiff_core.ablation import Probes
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import plain
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.models import Net
from modeldiff_core.plan import Reference
from modeldiff_core.responses.networks import REFERENCE, Network, Opened, TrainedNetwork
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution
from modeldiff_core.transformations import TransformationTest, build_on

PREFIX = "net."
"""What the names of a network's modules begin with inside ``Paired``."""


class Paired(nn.Module):
    """A network on pairs of images: logits [batch, 2, classes] of images [batch, 2, channels, height, width]."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.head_name = f"{PREFIX}{net.head_name}"

    def forward(self, pairs: Float[Tensor, "batch pair channels height width"]) -> Float[Tensor, "batch pair classes"]:
        logits: Tensor = self.net(pairs.flatten(0, 1))
        return logits.view(*pairs.shape[:2], -1)


@dataclass(frozen=True)
class EffectNetwork(Network):
    """A trained network and a transformation at its largest intensity.

    Targets are the test images of other classes than the transformation's; an output is that of the class with the
    transformation minus without, such as the change of the margin of the class that a watermark stands for.
    """

    base: TrainedNetwork
    test: TransformationTest
    kind: Literal["effect"] = "effect"

    @property
    def identity(self) -> Mapping[str, Any]:
        test = plain(self.test)
        assert isinstance(test, dict)
        return {"kind": self.kind, "base": self.base.identity, "test": {n: v for n, v in test.items() if n != "name"}}

    @property
    def needs(self) -> tuple[Reference, ...]:
        return self.base.needs

    def structure(self) -> nn.Module:
        net = self.base.structure()
        assert isinstance(net, Net)
        return Paired(net)

    def eligible(self) -> Int[np.ndarray, " images"]:
        """Return the positions of the test images of other classes."""
        return np.flatnonzero(self.base.training.task().targets.labels != self.target_class)

    @property
    def target_class(self) -> int:
        """The class whose output is taken; raises ConfigError for a transformation of all classes."""
        if self.test.target_class is None:
            raise ConfigError("effect.target_class", "the class whose output the transformation changes", None)
        return self.test.target_class

    def open(self, store: ObjectStore, targets: int, output: str, execution: Execution) -> Opened:
        opened = self.base.open(store, targets, output, execution)
        assert isinstance(opened.net, Net)
        assert opened.prepare is not None
        examples = self.base.training.task().targets
        return Opened(
            Paired(opened.net).eval(),
            opened.prepare,
            self.pairs(opened, self.eligible()[:targets], output),
            opened.reference[:REFERENCE, None].expand(-1, 2, *[-1] * (examples.images.ndim - 1)),
        )

    def pairs(self, opened: Opened, chosen: Int[np.ndarray, " chosen"], output: str) -> Probes:
        """Return some test images as targets."""
        shown = self.base.training.task().targets.select(chosen)
        changed = build_on(self.test, shown)(shown.images, self.test.intensities[-1])
        assert opened.prepare is not None
        inputs = torch.stack([opened.prepare(changed), opened.prepare(shown.images)], 1)
        labels = torch.full((len(chosen),), self.target_class, device=inputs.device)
        function = OUTPUTS.get(output)

        def read(logits: Tensor, own: Tensor) -> Tensor:
            return function(logits[..., 0, :], own) - function(logits[..., 1, :], own)

        return Probes(inputs, labels, read)
