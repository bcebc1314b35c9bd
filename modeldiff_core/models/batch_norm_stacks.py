"""Networks with batch normalization side by side: each model has its own batch and running statistics.

Every layer between two convolutions treats a channel by itself. So K networks are one network with K times as many
channels, whose convolutions are grouped (group = model), and batch normalization takes each model's statistics from
that model's own batch.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from modeldiff_core.models.nets import Head, Net
from modeldiff_core.models.stacks import Parameters, StackedHead


class _Features(Head):
    """In the place of a head: gives what the head would be given."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def forward(self, input: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:  # noqa: A002
        return input


class SideBySide:
    """K networks of one module's architecture; parameters and running statistics are its own with `models` in front.

    net: names, shapes and layers only; it is changed. trained: names of the parameters that training changes; layers
    that own none of them are in evaluation mode, so with no names at all every layer is.
    """

    def __init__(self, net: Net, trained: Sequence[str]) -> None:
        self.head = StackedHead(net.head_name, net.head_layer())
        self.statistics = [
            f"{layer}.{name}"
            for layer, module in net.named_modules()
            if isinstance(module, nn.BatchNorm2d)
            for name in ("running_mean", "running_var")
        ]
        self.convolutions = [(layer, layer.groups) for layer in net.modules() if isinstance(layer, nn.Conv2d)]
        net.train_only(list(trained))
        net.set_submodule(net.head_name, _Features())
        self.body = net

    def logits(
        self, parameters: Parameters, images: Float[Tensor, "models batch height width channels"]
    ) -> tuple[Float[Tensor, "models batch classes"], Parameters]:
        """Logits of each network on its own batch, and the running statistics [models, channels] after it.

        A layer in training mode normalizes by its batch and moves its statistics as torch does, r ← (1 − m)·r + m·s, s
        being the batch's mean or its unbiased variance; those given are left as they are. In evaluation mode it
        normalizes by the statistics given.
        """
        if images.device.type != "cpu":
            return self._grouped(parameters, images)
        # A CPU is busy with one model's convolutions, and keeps their results in its cache.
        parts = [
            self._grouped({name: value[row : row + 1] for name, value in parameters.items()}, images[row : row + 1])
            for row in range(len(images))
        ]
        statistics = {name: torch.cat([after[name] for _, after in parts]) for name in self.statistics}
        return torch.cat([logits for logits, _ in parts]), statistics

    def _grouped(
        self, parameters: Parameters, images: Float[Tensor, "models batch height width channels"]
    ) -> tuple[Float[Tensor, "models batch classes"], Parameters]:
        models = len(images)
        for layer, groups in self.convolutions:
            layer.groups = groups * models
        head = {name: value for name, value in parameters.items() if name.rpartition(".")[0] == self.head.name}
        flat = {name: _channels_last(value.flatten(0, 1)) for name, value in parameters.items() if name not in head}
        # torch moves running statistics in place: what it is given are copies.
        after = {name: flat[name].clone() for name in self.statistics}
        x = images.permute(1, 2, 3, 0, 4).flatten(3).permute(0, 3, 1, 2)
        features = functional_call(self.body, {**flat, **after}, (x,)).unflatten(1, (models, -1)).transpose(0, 1)
        layout = {name: value.transpose(1, 2) if value.ndim == 3 else value[:, None] for name, value in head.items()}
        return self.head.logits(layout, features), {
            name: value.unflatten(0, (models, -1)) for name, value in after.items()
        }


def _channels_last(value: Tensor) -> Tensor:
    """Return a copy laid out like in modules trained alone: the layout decides which of equal pixels pooling takes."""
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
