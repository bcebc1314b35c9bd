"""Dropout as a pure function of the number of the step."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modeldiff_core.identity import generator

KINDS = {nn.Dropout: 0, nn.Dropout1d: 1, nn.Dropout2d: 2, nn.Dropout3d: 3}
"""Layers that are replaced, and how many last axes of theirs share a draw."""


class PureDropout(nn.Module):
    """Dropout whose draws depend on (seed, model, step, layer, call) alone, so that a step is the same each time.

    Has the distribution of nn.Dropout, and other draws than torch's generator gives in an ordinary training.
    """

    def __init__(self, layer: nn.modules.dropout._DropoutNd, stream: tuple[int, int], place: int) -> None:
        super().__init__()
        self.p, self.shared, self.training = layer.p, KINDS[type(layer)], layer.training
        self.stream, self.place = stream, place
        self.number, self.calls = -1, 0

    def begin(self, number: int) -> None:
        """Get ready for the forward pass of a step."""
        self.number, self.calls = number, 0

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the inputs, in training mode with a share p of them set to 0 and the others divided by 1 − p."""
        if not self.training or not self.p:
            return x
        shape = (*x.shape[: x.ndim - self.shared], *(1,) * self.shared)
        draws = generator("dropout", *self.stream, self.number, self.place, self.calls).random(shape)
        self.calls += 1
        kept = torch.from_numpy(draws >= self.p).to(x.device)
        return x * (kept / (1 - self.p) if self.p < 1 else kept).to(x.dtype)


def make_pure_dropout(net: nn.Module, stream: tuple[int, int]) -> list[PureDropout]:
    """Replace the dropout layers of a network, and return the new ones.

    Args:
        net: The network, which is changed.
        stream: Seed of the algorithm and number of the model.
    """
    made: dict[nn.Module, PureDropout] = {}
    for name, layer in list(net.named_modules(remove_duplicate=False)):
        if type(layer) in KINDS:
            made.setdefault(layer, PureDropout(layer, stream, len(made)))
            net.set_submodule(name, made[layer])
    return list(made.values())
