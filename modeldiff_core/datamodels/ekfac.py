"""Influence of training examples on margins of one trained network, with an eigenvalue-corrected Kronecker curvature.

With m_t the margin of target t, ℓ_i the cross-entropy of training example i and θ the weights that minimize the mean
of ℓ, more weight on example i moves the margin by (Koh and Liang, 2017)

    X[t, i] = −∇m_tᵀ·(G + λ)⁻¹·∇ℓ_i,      G = mean_i J_iᵀ·(diag p_i − p_i·p_iᵀ)·J_i,

with J_i the derivatives of the logits and p_i the probabilities: n times the change at a weight of 1 more. G is the
Gauss-Newton matrix. It is taken block by block, one for each linear or convolutional layer, in the eigenbasis of
Kronecker factors: for a layer with inputs a (1 appended for the bias) and derivatives g by its outputs, Q_A and Q_G
hold the eigenvectors of the means of a·aᵀ and g·gᵀ, and G is diagonal there with the mean squares of Q_Gᵀ·g·aᵀ·Q_A
(EK-FAC: George et al., 2018, section 3; for influence Grosse et al., 2023, section 2.2). λ of a layer is `damping`
times the mean of its diagonal.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator

EXACT_CLASSES = 16
"""Most classes of which the curvature of the loss is taken exactly, by a backward pass for each."""
DRAWN = 4
"""Labels that are drawn from the predictions for each example where there are more."""
BATCH = 256
NUMBERS = 2**26
"""Most numbers in the gradients of one batch, and of the targets that are kept (256 MB each)."""


@dataclass(frozen=True)
class Labeled:
    """Inputs of a network with their labels. inputs: maps a slice of the examples to a batch of inputs."""

    inputs: Callable[[slice], Tensor]
    labels: Int[Tensor, " examples"]

    def batches(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield slices of at most `size` examples with their inputs and labels."""
        stop = len(self.labels) if stop is None else stop
        for at in range(start, stop, size):
            rows = slice(at, min(at + size, stop))
            yield rows, self.inputs(rows), self.labels[rows]


@dataclass
class _Layer:
    """A layer whose weights take part: what went in and what came back in the last pass.

    inputs: [batch, positions, in (+ 1)]; derivatives: [batch, positions, out].
    """

    module: nn.Linear | nn.Conv2d
    calls: int = 0
    inputs: Tensor = field(default_factory=lambda: torch.empty(0))
    derivatives: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def size(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    def take_in(self, module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        """Keep what a forward pass gives the layer, and ask for the derivatives by its outputs."""
        self.calls += 1
        x = given[0].detach()
        if isinstance(self.module, nn.Conv2d):
            conv = self.module
            x = _padded(x, conv)
            x = nn.functional.unfold(x, conv.kernel_size, conv.dilation, 0, conv.stride).transpose(1, 2)
        else:
            x = x.reshape(len(x), -1, x.shape[-1])
        if self.module.bias is not None:
            x = torch.cat([x, x.new_ones(*x.shape[:2], 1)], 2)
        self.inputs = x.clone() if x.data_ptr() == given[0].data_ptr() else x
        out.register_hook(self._take_back)

    def _take_back(self, gradient: Tensor) -> None:
        g = gradient.detach()
        convolution = isinstance(self.module, nn.Conv2d)
        self.derivatives = g.flatten(2).transpose(1, 2) if convolution else g.reshape(len(g), -1, g.shape[-1])

    def gradients(self, basis: "_Basis") -> Float[Tensor, "batch out in"]:
        """Return the gradients of each example of the last pass in the eigenbasis."""
        return torch.einsum("blo,bli->boi", self.derivatives @ basis.outer, self.inputs @ basis.inner)


@dataclass(frozen=True)
class _Basis:
    """The eigenbasis of a layer, inner [in, in] and outer [out, out]."""

    inner: Tensor
    outer: Tensor


def attributed_parameters(net: nn.Module) -> tuple[int, int]:
    """Return how many of a network's parameters take part, those of linear and convolutional layers, and all."""
    own = sum(parameter.numel() for layer in _layers_of(net) for parameter in layer.parameters())
    return own, sum(parameter.numel() for parameter in net.parameters())


def ekfac_attributions(
    net: nn.Module, state: Mapping[str, Tensor], train: Labeled, targets: Labeled, damping: float = 1.0
) -> Float[np.ndarray, "targets train"]:
    """Return X of one checkpoint, see the module.

    Args:
        net: The network; its weights and buffers are set to `state`, and it is left in evaluation mode.
        state: Weights and buffers by name.
        train: The training examples.
        targets: The examples whose margins are explained.
        damping: λ as a multiple of the mean curvature of each layer.

    Raises:
        ConfigError: For a network without linear or convolutional layers, or in which one is used twice.

    """
    net.load_state_dict(state)
    net.eval()
    layers = [_Layer(module) for module in _layers_of(net)]
    if not layers:
        raise ConfigError("network", "one with linear or convolutional layers", type(net).__name__)
    size = sum(layer.size for layer in layers)
    batch = max(1, min(BATCH, NUMBERS // size))
    with _watched(layers):
        bases = _bases(net, layers, train, batch)
        diagonals = _diagonals(net, layers, bases, train, batch)
        out = np.empty((len(targets.labels), len(train.labels)), np.float32)
        step = max(1, NUMBERS // size)
        for start in range(0, len(out), step):
            stop = min(start + step, len(out))
            asked = _solved(net, layers, bases, diagonals, damping, targets.batches(batch, start, stop))
            for rows, x, y in train.batches(batch):
                _backward(net, x, y, loss_sum)
                found = [layer.gradients(basis).flatten(1) for layer, basis in zip(layers, bases, strict=True)]
                out[start:stop, rows] = -(asked @ torch.cat(found, 1).T).cpu().numpy()
    return out


def margin_sum(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return Σ of the correct class's logit minus the largest other."""
    own = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
    return (logits[own] - logits.masked_fill(own, -torch.inf).amax(1)).sum()


def loss_sum(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return Σ of the cross-entropy."""
    return nn.functional.cross_entropy(logits, labels, reduction="sum")


def _layers_of(net: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """Return the layers that take part: linear ones, and convolutions in one group."""
    return [
        module
        for module in net.modules()
        if (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
        and module.weight.requires_grad
    ]


@contextmanager
def _watched(layers: list[_Layer]) -> Iterator[None]:
    handles = [layer.module.register_forward_hook(layer.take_in) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _forward(net: nn.Module, layers: list[_Layer], x: Tensor) -> Float[Tensor, "batch classes"]:
    for layer in layers:
        layer.calls = 0
    logits: Tensor = net(x)
    for layer in layers:
        if layer.calls != 1:
            raise ConfigError(
                "network", "one that uses every layer once", f"a {layer.module} that is used {layer.calls} times"
            )
    return logits


def _backward(net: nn.Module, x: Tensor, y: Tensor, of: Callable[[Tensor, Tensor], Tensor]) -> None:
    net.zero_grad(set_to_none=True)
    of(net(x), y).backward()


def _roots(logits: Float[Tensor, "batch classes"], rows: slice) -> Iterator[Float[Tensor, "batch classes"]]:
    """Yield vectors whose outer products add up to diag p − p·pᵀ, in expectation where there are many classes."""
    p = logits.detach().softmax(1)
    classes = p.shape[1]
    if classes <= EXACT_CLASSES:
        for k in range(classes):
            one = -p.clone()
            one[:, k] += 1
            yield p[:, k, None].sqrt() * one
        return
    draws = torch.from_numpy(generator("curvature", rows.start).random((DRAWN, len(p)))).to(p)
    for draw in draws:
        drawn = (p.cumsum(1) < draw[:, None]).sum(1).clamp(max=classes - 1)
        yield (torch.nn.functional.one_hot(drawn, classes) - p) / DRAWN**0.5


def _curvature_passes(net: nn.Module, layers: list[_Layer], train: Labeled, batch: int) -> Iterator[int]:
    """Go over the training examples; yields after each backward pass of a batch how many of it came before."""
    for rows, x, _ in train.batches(batch):
        logits = _forward(net, layers, x)
        for number, root in enumerate(_roots(logits, rows)):
            net.zero_grad(set_to_none=True)
            logits.backward(root, retain_graph=True)
            yield number


def _bases(net: nn.Module, layers: list[_Layer], train: Labeled, batch: int) -> list[_Basis]:
    sums: list[list[Tensor]] = [[torch.zeros(()), torch.zeros(())] for _ in layers]
    for number in _curvature_passes(net, layers, train, batch):
        for layer, own in zip(layers, sums, strict=True):
            if number == 0:
                a = layer.inputs.flatten(0, 1)
                own[0] = own[0].to(a) + a.T @ a
            g = layer.derivatives.flatten(0, 1)
            own[1] = own[1].to(g) + g.T @ g
    return [_Basis(*(torch.linalg.eigh(one.double())[1].to(one) for one in own)) for own in sums]


def _diagonals(
    net: nn.Module, layers: list[_Layer], bases: list[_Basis], train: Labeled, batch: int
) -> list[Float[Tensor, "out in"]]:
    sums = [torch.zeros(()) for _ in layers]
    for _ in _curvature_passes(net, layers, train, batch):
        for at, (layer, basis) in enumerate(zip(layers, bases, strict=True)):
            if layer.inputs.shape[1] == 1:
                g, a = (layer.derivatives[:, 0] @ basis.outer).square(), (layer.inputs[:, 0] @ basis.inner).square()
                squares = g.T @ a
            else:
                squares = layer.gradients(basis).square().sum(0)
            sums[at] = sums[at].to(squares) + squares
    return [one / len(train.labels) for one in sums]


def _solved(
    net: nn.Module,
    layers: list[_Layer],
    bases: list[_Basis],
    diagonals: list[Tensor],
    damping: float,
    targets: Iterator[tuple[slice, Tensor, Tensor]],
) -> Float[Tensor, "targets parameters"]:
    """Return (G + λ)⁻¹·∇m of each target in the eigenbasis."""
    rows = []
    for _, x, y in targets:
        _backward(net, x, y, margin_sum)
        found = []
        for layer, basis, diagonal in zip(layers, bases, diagonals, strict=True):
            least = damping * float(diagonal.mean()) or torch.finfo(diagonal.dtype).tiny
            found.append((layer.gradients(basis) / (diagonal + least)).flatten(1))
        rows.append(torch.cat(found, 1))
    return torch.cat(rows)


def _padded(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Return a convolution's input with its padding, whatever its mode."""
    height, width = conv._reversed_padding_repeated_twice[2:], conv._reversed_padding_repeated_twice[:2]
    if not any((*height, *width)):
        return x
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    return nn.functional.pad(x, (*width, *height), mode=mode)
