"""Networks of the tests, and the plain loop that ablations are held against."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from modeldiff_core.ablation import Components, Probes
from modeldiff_core.margins import correct_class_margin
from modeldiff_core.models import architecture_of

SHAPE = (8, 8, 1)


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Return a network with random weights, its batch normalization with statistics of its own."""
    torch.manual_seed(seed)
    net = make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return net.eval().requires_grad_(False)


def small(kind: str, widths: tuple[int, ...]) -> nn.Module:
    return seeded(lambda: architecture_of(kind).build(SHAPE, widths, 10))


class Residual(nn.Module):
    """A stem, and a block whose shortcut goes around the first components."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (x + self.bn(self.conv(x))).relu()
        return self.head(x.mean((2, 3)))


class Attentive(nn.Module):
    """torch's own transformer layer on the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x[:, 0]).mean(1))


def probes(count: int = 12, seed: int = 1) -> Probes:
    torch.manual_seed(seed)
    return Probes(torch.randn(count, 1, 8, 8), torch.randint(0, 10, (count,)), correct_class_margin)


def plain_loop(
    net: nn.Module, components: Components, asked: Probes, masks: np.ndarray, keep_bias: bool = False
) -> np.ndarray:
    """Return the outputs of copies whose weights are set to zero one by one."""
    out = []
    for mask in masks:
        one = copy.deepcopy(net)
        for at, layer in enumerate(components.layers):
            for component in np.flatnonzero(~mask[components.within(at)]):
                for part in layer.slices:
                    if not (part.bias and keep_bias):
                        own = slice(int(component) * layer.size, (int(component) + 1) * layer.size)
                        one.get_parameter(part.parameter).data.movedim(part.axis, 0)[own] = 0
        torch.backends.mha.set_fastpath_enabled(False)
        out.append(asked.read(one(asked.inputs), asked.labels).detach().numpy())
        torch.backends.mha.set_fastpath_enabled(True)
    return np.stack(out)
