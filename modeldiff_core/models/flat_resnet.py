"""The residual network of COAR's public code for CIFAR-10: one stage of four basic blocks of one width."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.models.nets import Head, Net, Shape, at_least
from modeldiff_core.models.resnet import basic

BLOCKS = 4
POOLED = 8
"""Side of the squares that the last pooling averages over."""


class FlatResNet(Net):
    """3×3 convolution, four basic blocks at full resolution, 8×8 average pooling; 9 convolutions of one width."""

    initialisation = "kaiming"
    head_name = "linear"

    def __init__(self, image_shape: Shape, widths: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        at_least(POOLED, image_shape, "flat_resnet")
        height, width, channels = image_shape
        self.conv1 = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer = nn.Sequential(*(basic(widths[0], widths[0], 1) for _ in range(BLOCKS)))
        self.linear = Head(widths[0] * (height // POOLED) * (width // POOLED), n_classes)
        self.last_block = (f"layer.{BLOCKS - 1}",)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = self.layer(self.bn1(self.conv1(images)).relu())
        logits: Tensor = self.linear(F.avg_pool2d(x, POOLED).flatten(1))
        return logits
