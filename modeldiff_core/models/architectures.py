"""The architectures by name: as torch modules, and as stacks where there is one."""

from collections.abc import Callable
from dataclasses import dataclass

from modeldiff_core.models.efficientnet import EfficientNetLite0
from modeldiff_core.models.nets import Net, Shape
from modeldiff_core.models.resnet import ResNet
from modeldiff_core.models.resnet9 import WIDTHS as RESNET9_WIDTHS
from modeldiff_core.models.resnet9 import ResNet9
from modeldiff_core.models.small import MLP, ConvNet
from modeldiff_core.models.stacks import StackedConvNet, StackedMLP, StackedNetwork, cnn_stages, lenet_stages

Widths = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """How to build a network for images of a shape; builders raise ConfigError for images that it cannot take.

    widths: those taken if none are given, empty where an architecture has no choice. any_depth: the number of widths
    is free. stack: the same network for many models at once.
    """

    build: Callable[[Shape, Widths, int], Net]
    widths: Widths = ()
    any_depth: bool = False
    stack: Callable[[Shape, Widths, int], StackedNetwork] | None = None


ARCHITECTURES = {
    "mlp": Architecture(MLP, (64,), any_depth=True, stack=StackedMLP),
    "cnn": Architecture(
        lambda shape, widths, n_classes: ConvNet(cnn_stages(shape, widths, n_classes)),
        (16, 32),
        any_depth=True,
        stack=lambda shape, widths, n_classes: StackedConvNet(cnn_stages(shape, widths, n_classes)),
    ),
    "lenet": Architecture(
        lambda shape, _, n_classes: ConvNet(lenet_stages(shape, n_classes)),
        stack=lambda shape, _, n_classes: StackedConvNet(lenet_stages(shape, n_classes)),
    ),
    "resnet9": Architecture(ResNet9, RESNET9_WIDTHS),
    "resnet18": Architecture(lambda shape, _, n_classes: ResNet("resnet18", shape, n_classes)),
    "resnet50": Architecture(lambda shape, _, n_classes: ResNet("resnet50", shape, n_classes)),
    "efficientnet_lite0": Architecture(lambda shape, _, n_classes: EfficientNetLite0(shape, n_classes)),
}
"""Names that recipe.network.kind may take; ``settings.Network`` lists the same."""
