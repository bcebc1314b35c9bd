"""The transformer: embedding, blocks of attention and experts, output layer."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from modeldiff_core.training.moe.experts import Way, mixture
from modeldiff_core.training.moe.network import MoeNetwork
from modeldiff_core.training.moe.routing import Routing, route
from modeldiff_core.training.native.norms import root_mean_square_norm

ROTARY_BASE = 10_000.0
SHORT = 256
"""Longest context whose attention a CPU computes by its definition."""


@dataclass(frozen=True)
class Predicted:
    """What a network says of a batch: the logits of each next token, and each layer's routing."""

    logits: Float[Tensor, "sequences context vocabulary"]
    routings: tuple[Routing, ...]

    @property
    def balance(self) -> Float[Tensor, ""]:
        """The mean load-balance loss of the layers."""
        return torch.stack([routing.balance for routing in self.routings]).mean()

    @property
    def z(self) -> Float[Tensor, ""]:
        """The mean router-z loss of the layers."""
        return torch.stack([routing.z for routing in self.routings]).mean()


class Norm(nn.Module):
    """RMSNorm with a gain. compiled: whether compiled code may compute it, where there is any."""

    def __init__(self, width: int, compiled: bool) -> None:
        super().__init__()
        self.weight, self.compiled = nn.Parameter(torch.ones(width)), compiled

    def forward(self, x: Tensor) -> Tensor:
        if self.compiled:
            return root_mean_square_norm(x, self.weight)
        return F.rms_norm(x, self.weight.shape, self.weight)


class Attention(nn.Module):
    """Causal attention with normalized queries and keys, and rotary positions."""

    def __init__(self, network: MoeNetwork, way: Way) -> None:
        super().__init__()
        self.heads, self.size = network.heads, network.width // network.heads
        self.inner = nn.Parameter(torch.empty(network.width, 3 * network.width))
        self.outer = nn.Parameter(torch.empty(network.width, network.width))
        self.query, self.key = (Norm(self.size, way == "quickest") for _ in range(2))

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        sequences, context, width = x.shape
        parts = (x @ self.inner).view(sequences, context, 3, self.heads, self.size).unbind(2)
        query, key, value = (part.transpose(1, 2) for part in parts)
        query, key = turned(self.query(query), turns), turned(self.key(key), turns)
        seen = attended(query, key, value)
        return seen.transpose(1, 2).reshape(sequences, context, width) @ self.outer


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return causal attention; on a CPU and for short contexts by its definition, which is several times as quick."""
    context, size = query.shape[-2:]
    if query.device.type != "cpu" or context > SHORT:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    hidden = torch.full((context, context), -math.inf, dtype=query.dtype).triu(1)
    return ((query / math.sqrt(size)) @ key.transpose(-1, -2) + hidden).softmax(-1) @ value


class Experts(nn.Module):
    """A router and its experts."""

    def __init__(self, network: MoeNetwork, way: Way) -> None:
        super().__init__()
        self.active, self.normalized, self.way = network.active, network.gates == "normalized", way
        self.router = nn.Parameter(torch.empty(network.width, network.experts))
        self.inner = nn.Parameter(torch.empty(network.experts, network.width, 2 * network.hidden))
        self.outer = nn.Parameter(torch.empty(network.experts, network.hidden, network.width))

    def forward(self, x: Float[Tensor, "tokens width"]) -> tuple[Tensor, Routing]:
        with torch.autocast(x.device.type, enabled=False):  # the choice is made in full precision
            wide = x if x.dtype == torch.float64 else x.float()
            routing = route(wide @ self.router, self.active, self.normalized, self.way == "quickest")
        return mixture(x, self.inner, self.outer, routing, self.way), routing


class Block(nn.Module):
    """Attention, then experts, each on the normalized stream and added to it."""

    def __init__(self, network: MoeNetwork, way: Way) -> None:
        super().__init__()
        norms = (Norm(network.width, way == "quickest") for _ in range(2))
        self.before_attention, self.before_experts = norms
        self.attention, self.experts = Attention(network, way), Experts(network, way)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Routing]:
        x = x + self.attention(self.before_attention(x), turns)
        mixed, routing = self.experts(self.before_experts(x).flatten(0, 1))
        return x + mixed.view_as(x), routing


class MoeTransformer(nn.Module):
    """A mixture-of-experts transformer; its weights are drawn by `draw`.

    Args:
        network: Its shape.
        way: How its experts are computed.

    """

    def __init__(self, network: MoeNetwork, way: Way = "quickest") -> None:
        super().__init__()
        self.network = network
        self.embedding = nn.Parameter(torch.empty(network.vocabulary, network.width))
        self.blocks = nn.ModuleList(Block(network, way) for _ in range(network.layers))
        self.norm = Norm(network.width, way == "quickest")
        self.output = None if network.tied else nn.Parameter(torch.empty(network.vocabulary, network.width))
        self.cosines: Tensor
        self.sines: Tensor
        for name, turn in zip(("cosines", "sines"), rotary(network), strict=True):
            self.register_buffer(name, turn, persistent=False)

    def draw(self, seed: int) -> "MoeTransformer":
        """Draw all weights from a seed: normal, of variance 1 / (size of their input), residual ones / 2 L more."""
        drawn = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.ndim == 1:
                    weight.fill_(1.0)
                    continue
                inputs = self.network.width if name in ("embedding", "output") else weight.shape[-2]
                deep = math.sqrt(2 * self.network.layers) if name.endswith(".outer") else 1.0
                weight.copy_(torch.randn(weight.shape, generator=drawn) / (math.sqrt(inputs) * deep))
        return self

    def forward(self, tokens: Int[Tensor, "sequences context"]) -> Predicted:
        x, context = F.embedding(tokens, self.embedding), tokens.shape[1]
        turns, routings = (self.cosines[:context], self.sines[:context]), list[Routing]()
        for block in self.blocks:
            x, routing = block(x, turns)
            routings.append(routing)
        output = self.embedding if self.output is None else self.output
        return Predicted(self.norm(x) @ output.t(), tuple(routings))


def rotary(network: MoeNetwork) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [context, size of a head] of the turns of each position (Su et al. 2021)."""
    half = network.width // network.heads // 2
    rates = ROTARY_BASE ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.outer(torch.arange(network.context, dtype=torch.float64), rates).repeat(1, 2)
    return angles.cos().float(), angles.sin().float()


def turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Return vectors with each pair (i, i + half) turned by the angle of its position."""
    cosines, sines = (turn.to(x.dtype) for turn in turns)
    left, right = x.chunk(2, -1)
    return x * cosines + torch.cat((-right, left), -1) * sines
