"""ResNet-18 and ResNet-50 for ImageNet-sized images (He et al., 2016), with torchvision's layers and names.

A bottleneck halves the resolution in its 3×3 convolution, as torchvision's does.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.models.nets import Head, Net, Shape, at_least

WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages; a bottleneck gives four times as many."""


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """relu(f(x) + shortcut(x)), where f is convolutions with batch normalization and ReLU between them."""

    def __init__(self, inputs: int, convolutions: list[nn.Conv2d], stride: int) -> None:
        super().__init__()
        self.depth = len(convolutions)
        for i, convolution in enumerate(convolutions, 1):
            self.add_module(f"conv{i}", convolution)
            self.add_module(f"bn{i}", nn.BatchNorm2d(convolution.out_channels))
        outputs = convolutions[-1].out_channels
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs half_h half_w"]:
        shortcut: Tensor = self.downsample(x)
        for i in range(1, self.depth + 1):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x))
            if i < self.depth:
                x = x.relu()
        return (x + shortcut).relu()


def basic(inputs: int, width: int, stride: int) -> Block:
    """Two 3×3 convolutions."""
    return Block(inputs, [_conv(inputs, width, 3, stride), _conv(width, width, 3)], stride)


def bottleneck(inputs: int, width: int, stride: int) -> Block:
    """1×1, 3×3 and 1×1 convolutions; the last one gives four times the width."""
    return Block(inputs, [_conv(inputs, width, 1), _conv(width, width, 3, stride), _conv(width, 4 * width, 1)], stride)


class ResNet(Net):
    """7×7 convolution with stride 2, 3×3 max pooling with stride 2, four stages, global average."""

    initialisation = "kaiming"
    head_name = "fc"
    last_block = ("layer4",)

    def __init__(self, kind: str, image_shape: Shape, n_classes: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        at_least(32, image_shape, kind)
        make, depths, expansion = {
            "resnet18": (basic, (2, 2, 2, 2), 1),
            "resnet50": (bottleneck, (3, 4, 6, 3), 4),
        }[kind]
        self.conv1 = nn.Conv2d(image_shape[2], widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        sizes = (widths[0], *(width * expansion for width in widths))
        for i, ((inputs, outputs), width, depth) in enumerate(zip(pairwise(sizes), widths, depths, strict=True), 1):
            stride = 1 if i == 1 else 2
            rest = [make(outputs, width, 1) for _ in range(depth - 1)]
            self.add_module(f"layer{i}", nn.Sequential(make(inputs, width, stride), *rest))
        self.fc = Head(sizes[-1], n_classes)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = F.max_pool2d(self.bn1(self.conv1(images)).relu(), 3, 2, 1)
        for i in range(1, 5):
            x = self.get_submodule(f"layer{i}")(x)
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits
