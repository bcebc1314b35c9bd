"""Batch normalization as a pure function: the running statistics after a batch are a result, not a side effect."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modeldiff_core.errors import ConfigError

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
KEY = "recipe.network.kind"


class PureBatchNorm(nn.Module):
    """nn.BatchNorm1d, 2d or 3d with the same names and numbers, which torch.func can differentiate and map over.

    In training mode it normalizes by the batch's statistics,

        mean = Σ_i u_i·x_i / Σ_i u_i,    variance = Σ_i u_i·(x_i − mean)² / Σ_i u_i,

    over examples and pixels, and leaves in `after` the running statistics r ← (1 − m)·r + m·s, s being the mean or the
    variance times c/(c − 1), c the number of pixels. A second call before `after` is emptied goes on from it. u_i is 1,
    or with `example_weights` the example's weight: what an example's absence changes in the statistics is then a part
    of its derivative. Where all weights are equal both give the same values.
    """

    def __init__(self, layer: BatchNorm, key: str = KEY) -> None:
        super().__init__()
        if layer.momentum is None or not layer.affine or not layer.track_running_stats:
            raise ConfigError(key, "batch normalization with running statistics", str(layer))
        self.eps, self.momentum = layer.eps, float(layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", layer.running_mean)
        self.register_buffer("running_var", layer.running_var)
        self.example_weights: Tensor | None = None
        self.after: dict[str, Tensor] = {}
        self.training = layer.training

    def forward(self, x: Float[Tensor, "batch channels *pixels"]) -> Float[Tensor, "batch channels *pixels"]:
        """Return the normalized batch."""
        if self.training:
            mean, variance = self._statistics(x)
        else:
            mean, variance = self.running_mean, self.running_var
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return x * _over_pixels(scale, x) + _over_pixels(shift, x)

    def _statistics(self, x: Tensor) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
        weights, inside = self.example_weights, tuple(range(2, x.ndim))
        if weights is None:
            mean, variance = x.mean((0, *inside)), x.var((0, *inside), correction=0)
        else:
            share = weights / weights.sum()
            mean = share @ _mean(x, inside)
            variance = share @ _mean((x - _over_pixels(mean, x)).square(), inside)
        pixels = x.numel() // x.shape[1]
        unbiased = variance * (pixels / (pixels - 1))
        m = self.momentum
        before = self.after or {"running_mean": self.running_mean, "running_var": self.running_var}
        self.after = {
            "running_mean": (1 - m) * before["running_mean"] + m * mean,
            "running_var": (1 - m) * before["running_var"] + m * unbiased,
        }
        return mean, variance


def make_pure(
    net: nn.Module, kinds: tuple[type[nn.Module], ...] = (nn.BatchNorm2d,), key: str = KEY
) -> dict[str, PureBatchNorm]:
    """Replace the batch normalizations of a network and return the new layers by name; their modes stay as they are.

    Args:
        net: The network, which is changed.
        kinds: Classes of batch normalization that are replaced.
        key: What chose the network, for errors.

    Raises:
        ConfigError: For layers that keep statistics in other ways or draw at random.

    """
    layers: dict[str, PureBatchNorm] = {}
    made: dict[nn.Module, PureBatchNorm] = {}
    places = list(net.named_modules(remove_duplicate=False))
    for name, layer in places:
        if isinstance(layer, kinds):
            if layer not in made:
                made[layer] = layers[name] = PureBatchNorm(layer, key)  # type: ignore[arg-type]
        elif isinstance(layer, nn.modules.batchnorm._NormBase | nn.modules.dropout._DropoutNd):
            raise ConfigError(
                key,
                f"layers that are functions of their inputs and weights, and {', '.join(k.__name__ for k in kinds)}",
                f"{name}: {type(layer).__name__}",
                "Metagradients cannot be taken through this network",
            )
    for name, layer in places:
        if layer in made:
            net.set_submodule(name, made[layer])
    return layers


def _over_pixels(values: Float[Tensor, " channels"], x: Tensor) -> Tensor:
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def _mean(x: Tensor, axes: tuple[int, ...]) -> Float[Tensor, "batch channels"]:
    return x.mean(axes) if axes else x
