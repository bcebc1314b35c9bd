"""GPT-2 (Radford et al., 2019) with the names and shapes of its published weights."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Gpt2Sizes:
    """Blocks, width, heads, tokens that there are and tokens in a row; the published small model by default."""

    blocks: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 50257
    context: int = 1024


class Projection(nn.Module):
    """A linear layer whose weight is [inputs, outputs], as GPT-2's published weights have it."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        return x @ self.weight + self.bias


class CausalAttention(nn.Module):
    """Self-attention of each token to itself and to those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn, self.c_proj = Projection(width, 3 * width), Projection(width, width)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        batch, tokens, width = x.shape
        parts = self.c_attn(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = parts[0] @ parts[1].transpose(-2, -1) * (width // self.heads) ** -0.5
        later = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
        shares = scores.masked_fill(later, float("-inf")).softmax(-1)
        joined: Tensor = self.c_proj((shares @ parts[2]).transpose(1, 2).reshape(batch, tokens, width))
        return joined


class Mlp(nn.Module):
    """Two projections with GELU (its tanh form) between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc, self.c_proj = Projection(width, 4 * width), Projection(4 * width, width)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        out: Tensor = self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))
        return out


class Gpt2Block(nn.Module):
    """Attention and MLP, each after a normalization and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = CausalAttention(width, heads), Mlp(width)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Gpt2(nn.Module):
    """Logits of the next token at each position; the output weights are those of the token embedding."""

    def __init__(self, sizes: Gpt2Sizes) -> None:
        super().__init__()
        self.wte = nn.Embedding(sizes.vocabulary, sizes.width)
        self.wpe = nn.Embedding(sizes.context, sizes.width)
        self.h = nn.Sequential(*(Gpt2Block(sizes.width, sizes.heads) for _ in range(sizes.blocks)))
        self.ln_f = nn.LayerNorm(sizes.width)

    def forward(self, tokens: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens vocabulary"]:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.ln_f(self.h(self.wte(tokens) + self.wpe(positions)))
        logits: Tensor = x @ self.wte.weight.T
        return logits
