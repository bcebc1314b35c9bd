"""Vision transformers with patches of 16×16 pixels (Dosovitskiy et al., 2021); ViT-B/16 is the width 768."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.models.nets import Head, Net, Shape, at_least

PATCH, DEPTH, HEAD_WIDTH = 16, 12, 64


class Attention(nn.Module):
    """Multi-head self-attention; `in_proj` gives queries, keys and values, `out_proj` joins the heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        batch, tokens, width = x.shape
        parts = self.in_proj(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        shares = (query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1)
        joined: Tensor = self.out_proj((shares @ value).transpose(1, 2).reshape(batch, tokens, width))
        return joined


class EncoderBlock(nn.Module):
    """Attention and an MLP of four times the width, each after a normalization and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.self_attention = Attention(width, heads)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        x = x + self.self_attention(self.ln_1(x))
        out: Tensor = x + self.linear2(F.gelu(self.linear1(self.ln_2(x))))
        return out


class ViT(Net):
    """Patches and a class token through twelve blocks; the head reads the class token."""

    def __init__(self, image_shape: Shape, widths: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        at_least(PATCH, image_shape, "vit_b16")
        height, wide, channels = image_shape
        width = widths[0]
        heads = max(1, width // HEAD_WIDTH)
        self.conv_proj = nn.Conv2d(channels, width, PATCH, PATCH)
        self.class_token = Embedded(1, width)
        self.positions = Embedded((height // PATCH) * (wide // PATCH) + 1, width)
        self.layers = nn.Sequential(*(EncoderBlock(width, heads) for _ in range(DEPTH)))
        self.ln = nn.LayerNorm(width, eps=1e-6)
        self.head = Head(width, n_classes)
        self.last_block = (f"layers.{DEPTH - 1}", "ln")

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        patches = self.conv_proj(images).flatten(2).transpose(1, 2)
        token = self.class_token.weight.expand(len(patches), 1, -1)
        x = torch.cat([token, patches], 1) + self.positions.weight
        logits: Tensor = self.head(self.ln(self.layers(x))[:, 0])
        return logits


class Embedded(nn.Module):
    """Vectors that are learned: a parameter `weight` [count, width]."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count, width))
