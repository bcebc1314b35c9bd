"""How a network is trained: the settings that make up the algorithm's identity."""

from dataclasses import dataclass
from typing import Literal

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.augmentations import Augmentation


@dataclass(frozen=True)
class Network:
    """The architecture.

    kind: 'mlp' (fully connected, ReLU) or 'cnn' (3×3 convolutions with ReLU and 2×2 max pooling after each).
    widths: hidden units of each layer, or channels of each convolution; a linear layer to the classes follows.
    """

    kind: Literal["mlp", "cnn"] = "mlp"
    widths: tuple[int, ...] = (64,)

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ConfigError("recipe.network.widths", "at least one width of 1 or more", list(self.widths))


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent on the cross-entropy of a subset.

    epochs, batch_size: passes over the subset; the last batch of a pass may be smaller.
    learning_rate: its peak; momentum: heavy ball (v ← μv + g, w ← w − ηv); weight_decay: added to g as decay·w.
    label_smoothing: share of the target spread over all classes.
    schedule: 'constant', 'cosine' (peak → 0) or 'triangular' (0 → peak at `peak` of the steps → 0).
    mean, scale: pixels enter the network as (pixel/255 − mean)/scale, constants that no data decides.
    augmentations: applied to training images in this order, never at evaluation.
    """

    network: Network = Network()
    epochs: int = 15
    batch_size: int = 50
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0005
    label_smoothing: float = 0.0
    schedule: Literal["constant", "cosine", "triangular"] = "triangular"
    peak: float = 0.2
    mean: float = 0.5
    scale: float = 0.5
    augmentations: tuple[Augmentation, ...] = ()

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("learning_rate", self.learning_rate > 0, "more than 0"),
            ("momentum", 0 <= self.momentum < 1, "a number in [0, 1)"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "a number in [0, 1)"),
            ("peak", 0 < self.peak < 1, "a number in (0, 1)"),
            ("scale", self.scale > 0, "more than 0"),
        ):
            if not holds:
                raise ConfigError(f"recipe.{name}", expected, getattr(self, name))
