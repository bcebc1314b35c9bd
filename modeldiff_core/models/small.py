"""The small architectures as torch modules; `stacks` has the same networks with a leading `models` axis."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.models.nets import Head, Net, Shape
from modeldiff_core.models.stacks import ConvStages


class MLP(Net):
    """Fully connected layers '0', '1', ... with ReLU between them, on pixels in the order height, width, channels."""

    def __init__(self, image_shape: Shape, widths: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        sizes = (int(np.prod(image_shape)), *widths)
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            self.add_module(str(i), nn.Linear(inputs, outputs))
        self.head_name = str(len(widths))
        self.add_module(self.head_name, Head(sizes[-1], n_classes))
        self.last_block = (str(len(widths) - 1),)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = images.permute(0, 2, 3, 1).flatten(1)
        for name, layer in self.named_children():
            x = layer(x) if name == self.head_name else layer(x).relu()
        return x


class ConvNet(Net):
    """Convolutions with ReLU and 2×2 max pooling after each, fully connected layers with ReLU, and the head.

    The small CNN has 3×3 convolutions of the given widths (padding 1) and no hidden layer. LeNet-5 (LeCun et al.,
    1998), with ReLU and max pooling, has 5×5 convolutions to 6 channels (padding 2) and 16, and layers of 120 and 84.
    """

    def __init__(self, stages: ConvStages) -> None:
        super().__init__()
        self.stages = stages
        for i, (inputs, outputs, padding) in enumerate(stages.convolutions):
            self.add_module(f"conv{i}", nn.Conv2d(inputs, outputs, stages.kernel, padding=padding))
        for i, (inputs, outputs) in enumerate(stages.hidden):
            self.add_module(f"hidden{i}", nn.Linear(inputs, outputs))
        self.add_module("head", Head(stages.head[0], stages.head[1]))
        *_, last, _ = (name for name, _ in self.named_children())
        self.last_block = (last,)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = images
        for i in range(len(self.stages.convolutions)):
            x = F.max_pool2d(self.get_submodule(f"conv{i}")(x), 2).relu()
        x = x.flatten(1)
        for i in range(len(self.stages.hidden)):
            x = self.get_submodule(f"hidden{i}")(x).relu()
        logits: Tensor = self.head_layer()(x)
        return logits
