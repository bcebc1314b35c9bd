"""What every architecture has in common: an ordinary torch module with a linear head."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from modeldiff_core.errors import ConfigError

Shape = tuple[int, int, int]
"""Height, width and channels."""


class Head(nn.Linear):
    """The last layer: logits = scale·(Wx + b)."""

    def __init__(self, features: int, n_classes: int, *, bias: bool = True, scale: float = 1.0) -> None:
        super().__init__(features, n_classes, bias=bias)
        self.scale = scale

    def forward(self, input: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:  # noqa: A002
        logits: Tensor = super().forward(input)
        return logits if self.scale == 1 else logits * self.scale


class Net(nn.Module):
    """A network that takes images [batch, channels, height, width] and ends in a head.

    head_name: its last layer. last_block: names of the modules before it that count as the last block.
    initialisation: 'uniform' in ±1/√fan_in for weights and biases, or 'kaiming' (normal with variance 2/fan_out for
    convolutions; He et al., 2015).
    """

    head_name: str = "head"
    last_block: tuple[str, ...] = ()
    initialisation: Literal["uniform", "kaiming"] = "uniform"

    def head_layer(self) -> Head:
        """Return the last layer."""
        layer = self.get_submodule(self.head_name)
        assert isinstance(layer, Head)
        return layer

    def trained_names(self, trainable: Literal["all", "last_block", "head"]) -> list[str]:
        """Names of the parameters that training changes."""
        modules = {"all": ("",), "last_block": (*self.last_block, self.head_name), "head": (self.head_name,)}[trainable]
        return [name for name, _ in self.named_parameters() if any(not m or name.startswith(f"{m}.") for m in modules)]

    def train_only(self, names: list[str]) -> None:
        """Training mode for the layers that own these parameters, evaluation mode for every other."""
        self.eval()
        for name in names:
            self.get_submodule(name.rpartition(".")[0]).train()


def at_least(pixels: int, image_shape: Shape, kind: str) -> None:
    """Raise ConfigError for images with a side shorter than that."""
    if min(image_shape[:2]) < pixels:
        raise ConfigError(
            "recipe.network.kind",
            f"an architecture for {image_shape[0]}×{image_shape[1]} images ({kind} takes {pixels}×{pixels} or more)",
            kind,
            "A `resize` in recipe.augmentations makes images larger",
        )
