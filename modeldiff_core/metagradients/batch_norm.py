"""Batch normalization as a pure function: the running statistics after a batch are a result, not a side effect."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modeldiff_core.errors import ConfigError


class PureBatchNorm(nn.Module):
    """nn.BatchNorm2d with the same names and numbers, which torch.func can differentiate and map over.

    In training mode it normalizes by the batch's statistics,

        mean = Σ_i u_i·x_i / Σ_i u_i,    variance = Σ_i u_i·(x_i − mean)² / Σ_i u_i,

    over examples and pixels, and leaves in `after` the running statistics r ← (1 − m)·r + m·s, s being the mean or the
    variance times c/(c − 1), c the number of pixels. u_i is 1, or with `example_weights` the example's weight: what an
    example's absence changes in the statistics is then a part of its derivative. Where all weights are equal both give
    the same values.
    """

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        super().__init__()
        if layer.momentum is None or not layer.affine or not layer.track_running_stats:
            raise ConfigError("recipe.network.kind", "batch normalization with running statistics", str(layer))
        self.eps, self.momentum = layer.eps, float(layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", layer.running_mean)
        self.register_buffer("running_var", layer.running_var)
        self.example_weights: Tensor | None = None
        self.after: dict[str, Tensor] = {}
        self.training = layer.training

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return the normalized batch."""
        if self.training:
            mean, variance = self._statistics(x)
        else:
            mean, variance = self.running_mean, self.running_var
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def _statistics(self, x: Tensor) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
        weights = self.example_weights
        if weights is None:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
        else:
            share = weights / weights.sum()
            mean = share @ x.mean((2, 3))
            variance = share @ (x - mean[:, None, None]).square().mean((2, 3))
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        unbiased = variance * (pixels / (pixels - 1))
        m = self.momentum
        self.after = {
            "running_mean": (1 - m) * self.running_mean + m * mean,
            "running_var": (1 - m) * self.running_var + m * unbiased,
        }
        return mean, variance


def make_pure(net: nn.Module) -> dict[str, PureBatchNorm]:
    """Replace the batch normalizations of a network and return the new layers by name; their modes stay as they are.

    Raises ConfigError for layers that keep statistics in other ways or draw at random.
    """
    layers: dict[str, PureBatchNorm] = {}
    for name, layer in list(net.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            layers[name] = PureBatchNorm(layer)
        elif isinstance(layer, nn.modules.batchnorm._NormBase | nn.modules.dropout._DropoutNd):
            raise ConfigError(
                "recipe.network.kind",
                "layers that are functions of their inputs and weights, and BatchNorm2d",
                f"{name}: {type(layer).__name__}",
                "Metagradients cannot be taken through this network",
            )
    for name, layer in layers.items():
        net.set_submodule(name, layer)
    return layers
