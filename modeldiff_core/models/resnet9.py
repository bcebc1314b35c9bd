"""The nine-layer ResNet of fast CIFAR training, in KakaoBrain's variant: the architecture of the SGD study."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.models.nets import Head, Net, Shape, at_least

WIDTHS = (64, 128, 256, 128)
"""Channels of the published network: 2,274,880 parameters for 3 channels and 10 classes."""
SCALE = 0.2
"""Logits are multiplied by this, and the head has no bias."""


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


class Residual(nn.Sequential):
    """x + f(x), where f is two layers that keep the number of channels."""

    def __init__(self, channels: int) -> None:
        super().__init__(ConvNorm(channels, channels), ConvNorm(channels, channels))

    def forward(self, input: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "..."]:  # noqa: A002
        change: Tensor = self[1](self[0](input))
        return input + change


class ResNet9(Net):
    """3×3 to 64 channels, 5×5 with stride 2 to 128, residual, 3×3 to 256, pool, residual, 3×3 to 128, global max."""

    last_block = ("residual2", "last")

    def __init__(self, image_shape: Shape, widths: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        at_least(12, image_shape, "resnet9")
        first, second, third, fourth = widths
        self.first = ConvNorm(image_shape[2], first)
        self.second = ConvNorm(first, second, 5, 2, 2)
        self.residual1 = Residual(second)
        self.third = ConvNorm(second, third)
        self.residual2 = Residual(third)
        self.last = ConvNorm(third, fourth, padding=0)
        self.add_module("head", Head(fourth, n_classes, bias=False, scale=SCALE))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = self.residual1(self.second(self.first(images)))
        x = self.residual2(F.max_pool2d(self.third(x), 2))
        logits: Tensor = self.head_layer()(F.adaptive_max_pool2d(self.last(x), 1).flatten(1))
        return logits
