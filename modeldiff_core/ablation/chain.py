"""Ablated copies of plain chains of layers, an order of magnitude faster: the second layer is linear in the gates.

A ReLU network without branches: z₁ = L₁(x) is the same for all copies. Between two layers each channel is treated alone
(pooling, ReLU), so that gates may be applied after it: a₁(g) = g·f(z₁) + (1 − g)·f(r), and

    L₂(a₁(g)) = b + Σ_c L₂,c(f(r_c)) + Σ_c g_c·[L₂,c(f(z₁,c)) − L₂,c(f(r_c))].

The brackets are computed once, and the second layer of all copies is one matrix product with the gates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.ablation.subject import Probes, Subject
from modeldiff_core.models.small import MLP, ConvNet

BLOCK = 2**20
"""Floats of the second layer's outputs, over copies and targets, that are worked on at once: they stay in the cache."""
COPIES = 64
"""Copies that are worked on at once where there are as many: a product with few rows would be bound by memory."""
SMALL = 16
"""Most pixels of images whose convolution is computed as one matrix product."""


@dataclass(frozen=True)
class Link:
    """A layer of a chain.

    then: what each of its channels goes through before the next layer: pooling and ReLU, ReLU, or nothing.
    position: of its components among the subject's layers, None if it has none.
    """

    module: nn.Conv2d | nn.Linear
    then: str
    position: int | None


def chain_of(subject: Subject) -> list[Link] | None:
    """Return the layers of a network that is a plain chain with all its components at outputs; None for any other."""
    if any(layer.place != "output" for layer in subject.components.layers):
        return None
    net = subject.net
    positions = {layer.module: at for at, layer in enumerate(subject.components.layers)}
    if type(net) is MLP or type(net) is ConvNet:
        named = [(name, module) for name, module in net.named_children() if isinstance(module, nn.Conv2d | nn.Linear)]
        return [
            Link(module, "" if name == net.head_name else _then(module), positions.get(name)) for name, module in named
        ]
    return None


def _then(module: nn.Module) -> str:
    return "pool" if isinstance(module, nn.Conv2d) else "relu"


@torch.no_grad()
def chain_outputs(
    subject: Subject, links: Sequence[Link], probes: Probes, gates: Float[Tensor, "rows components"], memory: int
) -> Float[Tensor, "rows targets"]:
    """Return the outputs of all rows of gates on all targets, of blocks of targets that take at most `memory` bytes."""
    first = next(at for at, link in enumerate(links) if link.position is not None)
    alone = _first_layer(links[: first + 1], probes.inputs[:1])
    features = _apply(links[first + 1].module, _after(links[first], alone)).numel() if links[first + 1 :] else 1
    step = max(1, min(memory // (8 * features * alone.shape[1]), BLOCK // (features * COPIES), len(probes)))
    blocks, launch = list[Tensor](), _Launch(gates, min(BLOCK, memory // 16), {})
    for at in range(0, len(probes), step):
        rows = slice(at, at + step)
        some, own = probes.rows(rows), subject.rows(rows)
        z = _first_layer(links[: first + 1], some.inputs)
        if links[first + 1 :]:
            blocks.append(_block(own, links[first:], z, some, launch))
        else:
            every = _gate(own, links[first], z[None].expand(len(gates), *z.shape), gates)
            blocks.append(probes.read(every, some.labels).float())
    return torch.cat(blocks, 1)


def _first_layer(links: Sequence[Link], inputs: Tensor) -> Tensor:
    """Return the last link's output before pooling and ReLU; no copy differs up to there."""
    x = inputs.permute(0, 2, 3, 1).flatten(1) if isinstance(links[0].module, nn.Linear) else inputs
    for link in links[:-1]:
        x = _after(link, _apply(link.module, x))
    return _apply(links[-1].module, x)


@dataclass(frozen=True)
class _Launch:
    """The gates of all rows, the floats that the second layer's outputs may be at once, and convolutions as products.

    products: by the position of a layer, where its images are so small that a convolution is slower.
    """

    gates: Tensor
    floats: int
    products: dict[int, tuple[Tensor, Tensor, tuple[int, ...]]]


def _block(subject: Subject, links: Sequence[Link], z: Tensor, probes: Probes, launch: _Launch) -> Tensor:
    """Return the outputs of some targets.

    links: from the first that has components. z: what that one gives.
    """
    parts, base, shape = _second_layer(subject, links[0], links[1].module, z)
    own = launch.gates[:, _within(subject, links[0])]
    copies = max(1, launch.floats // parts.shape[1])
    out = []
    for rows, some in zip(own.split(copies), launch.gates.split(copies), strict=True):
        y = torch.addmm(base, rows, parts).view(-1, *shape)
        if links[1].then == "pool":
            y = _pooled(y).movedim(-1, 2)
        x = _gate(subject, links[1], y.relu_() if links[1].then else y, some)
        for position, link in enumerate(links[2:]):
            x = _gate(subject, link, _further(launch, position, link, x), some)
        out.append(probes.read(x, probes.labels).float())
    return torch.cat(out)


def _further(launch: _Launch, position: int, link: Link, x: Tensor) -> Tensor:
    """Return a later layer's activations [copies, targets, channels, ...] from those before it."""
    flat = x.flatten(0, 1)
    if isinstance(link.module, nn.Conv2d) and link.then == "pool" and x.shape[-1] * x.shape[-2] <= SMALL:
        if position not in launch.products:
            launch.products[position] = _as_product(link.module, x.shape[2:])
        weight, bias, shape = launch.products[position]
        y = torch.addmm(bias, flat.flatten(1), weight).view(len(flat), *shape)
        after = _pooled(y).relu_().movedim(-1, 1)
    else:
        after = _after(link, _apply(link.module, flat))
    return after.view(*x.shape[:2], *after.shape[1:])


def _as_product(module: nn.Conv2d, shape: torch.Size) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Return a convolution of images of that shape as a matrix and a bias, with the four pooled pixels first."""
    inputs = shape.numel()
    nothing = _pooled_first(module(torch.zeros(1, 1, *shape, device=module.weight.device)[0])[None])[0, :, 0]
    single = module(torch.eye(inputs, device=module.weight.device).view(inputs, *shape))
    single = _pooled_first(single[None])[0].movedim(1, 0)
    return (single - nothing).flatten(1), nothing.flatten(), tuple(nothing.shape)


def _pooled(y: Tensor) -> Tensor:
    """Return the largest of the four pixels [n, 4, ...] of each square."""
    return torch.maximum(torch.maximum(y[:, 0], y[:, 1]), torch.maximum(y[:, 2], y[:, 3]))


def _second_layer(
    subject: Subject, link: Link, module: nn.Conv2d | nn.Linear, z: Tensor
) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Return what each component of the first layer adds to the second, what is there without them, and the shape.

    The two have shapes [components, features] and [features]; the features are [targets, outputs], or for a
    convolution [4, targets, height, width, outputs], the four pixels that are pooled first.
    """
    fill = _fill_after(subject, link)
    there = _after(link, z)
    gone = torch.zeros_like(there) if fill is None else fill.expand_as(there)
    difference = there if fill is None else there - gone
    base = _apply(module, gone)
    targets, components = there.shape[:2]
    if isinstance(module, nn.Linear):
        scale = getattr(module, "scale", 1.0)
        weight = module.weight.view(module.out_features, components, -1) * scale
        parts = torch.einsum("tcs,ocs->cto", difference.reshape(targets, components, -1), weight)
        return parts.reshape(components, -1), base.flatten(), tuple(base.shape)
    # One product for each component: patches of its own channel [pixels, kernel] with its part of the weight.
    assert not isinstance(module.padding, str)
    unfold = partial(F.unfold, padding=module.padding, stride=module.stride, dilation=module.dilation)
    patches = unfold(difference, module.kernel_size).view(targets, components, -1, *base.shape[2:])
    patches = _pooled_first(patches.transpose(0, 1)).flatten(1, 4)
    weight = module.weight.permute(1, 2, 3, 0).reshape(components, -1, module.out_channels)
    base = _pooled_first(base[None])[0]
    return torch.bmm(patches, weight).flatten(1), base.flatten(), tuple(base.shape)


def _pooled_first(x: Tensor) -> Tensor:
    """Return [n, targets, channels, height, width] as [n, 4, targets, half height, half width, channels]."""
    height, width = x.shape[-2] // 2, x.shape[-1] // 2
    pairs = x[..., : 2 * height, : 2 * width].reshape(*x.shape[:3], height, 2, width, 2)
    return pairs.permute(0, 4, 6, 1, 3, 5, 2).flatten(1, 2)


def _gate(subject: Subject, link: Link, x: Tensor, gates: Tensor) -> Tensor:
    """Return a layer's activations [copies, targets, channels, ...] with its components switched."""
    if link.position is None:
        return x
    gate = gates[:, None, _within(subject, link)]
    factor = gate.view(*gate.shape, *[1] * (x.dim() - 3))
    fill = _fill_after(subject, link)
    return x * factor if fill is None else x * factor + fill * (1 - factor)


def _fill_after(subject: Subject, link: Link) -> Tensor | None:
    """Return the fill of a layer after pooling and ReLU; one that is the same at all positions needs no pooling."""
    assert link.position is not None
    fill = subject.fills[link.position]
    if fill is None:
        return None
    return _after(link, fill) if fill.shape[-1] > 1 or link.then != "pool" else fill.relu()


def _within(subject: Subject, link: Link) -> slice:
    assert link.position is not None
    return subject.components.within(link.position)


def _after(link: Link, z: Tensor) -> Tensor:
    """Return what pooling and ReLU make of a layer's output."""
    if link.then == "pool":
        z = F.max_pool2d(z, 2)
    return z.relu() if link.then else z


def _apply(module: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = module(x.flatten(1) if isinstance(module, nn.Linear) else x)
    return out
