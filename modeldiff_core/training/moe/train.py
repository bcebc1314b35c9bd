"""Training a mixture-of-experts transformer step by step, from any step on with the same bits."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from modeldiff_core.errors import Check
from modeldiff_core.identity import generator
from modeldiff_core.training.devices import keep_freed_memory
from modeldiff_core.training.moe.experts import Way
from modeldiff_core.training.moe.model import MoeTransformer, Predicted
from modeldiff_core.training.moe.network import MoeNetwork
from modeldiff_core.training.moe.optimizer import ScaleFreeAdam, cosine_share

EXPLODED = 3.0
"""A loss of so many times log V, what a network that knows nothing has, from which none comes back."""


@dataclass(frozen=True)
class MoeRecipe:
    """How a network is trained (arXiv 2501.12370: batch 1024, β (.9, .95), λ 1e-5, balance .02 or .05, z .001, cosine).

    Attributes:
        learning_rate: Its peak η.
        sequences: Sequences of a step.
        warm_up: Share of the steps over which the learning rate rises.
        final: Share of the peak that it falls to.
        betas: β₁, β₂ of the optimizer.
        decay: λ, which is not multiplied by η.
        balance: Weight of the load-balance loss.
        z: Weight of the router-z loss.
        precision: 'bfloat16' lets matrix products be computed in it on a GPU; on a CPU they are float32.

    """

    learning_rate: float = 2e-3
    sequences: int = 32
    warm_up: float = 0.05
    final: float = 0.0
    betas: tuple[float, float] = (0.9, 0.95)
    decay: float = 1e-5
    balance: float = 0.02
    z: float = 1e-3
    precision: Literal["float32", "bfloat16"] = "bfloat16"

    def __post_init__(self) -> None:
        check = Check("recipe")
        check(0 < self.learning_rate < math.inf, "learning_rate", "a rate above 0", self.learning_rate)
        check(self.sequences >= 1, "sequences", "1 or more", self.sequences)
        for name in ("warm_up", "final"):
            check(0 <= getattr(self, name) < 1, name, "a share from 0 to below 1", getattr(self, name))
        check(all(0 <= beta < 1 for beta in self.betas), "betas", "two numbers from 0 to below 1", self.betas)
        for name in ("decay", "balance", "z"):
            check(0 <= getattr(self, name) < math.inf, name, "0 or more", getattr(self, name))


@dataclass(frozen=True)
class Evaluated:
    """What a network does on windows of text.

    Attributes:
        loss: Mean cross-entropy in nats a token.
        window_losses: Mean cross-entropy of each window.
        loads: Share of (token, choice) pairs of each expert; rows sum to 1.

    """

    loss: float
    window_losses: Float[np.ndarray, " windows"]
    loads: Float[np.ndarray, "layers experts"]


Batches = Callable[[int], Integer[np.ndarray, "sequences context_and_next"]]
"""Returns the batch of a step, from its number alone."""


class TrainedMoe:
    """A network in training. Its weights, moments and step are all of its state.

    Args:
        network: Its shape.
        recipe: How it is trained.
        steps: Steps of the whole training, which the schedule ends with.
        seed: Of its weights.
        device: A torch device.
        way: How its experts are computed.

    """

    def __init__(
        self,
        network: MoeNetwork,
        recipe: MoeRecipe,
        steps: int,
        seed: int,
        device: torch.device | str = "cpu",
        way: Way = "quickest",
    ) -> None:
        self.recipe, self.steps, self.device = recipe, steps, torch.device(device)
        drawn = int(generator("moe weights", seed).integers(2**63))
        self.model = MoeTransformer(network, way).draw(drawn).to(self.device)
        self.weights = list(self.model.parameters())
        self.optimizer = ScaleFreeAdam.of(self.weights, recipe.learning_rate, recipe.betas, recipe.decay)

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.optimizer.steps

    @property
    def exploded(self) -> float:
        """The loss from which the training is given up."""
        return EXPLODED * math.log(self.model.network.vocabulary)

    def advance(self, tokens: Integer[np.ndarray, "sequences context_and_next"]) -> float:
        """Take a step on a batch and return its cross-entropy in nats a token, before the step."""
        with self._precision():
            predicted, loss = self._loss(tokens)
            whole = loss + self.recipe.balance * predicted.balance + self.recipe.z * predicted.z
        gradients = torch.autograd.grad(whole, self.weights)
        recipe = self.recipe
        self.optimizer.step(gradients, cosine_share(self.step, self.steps, recipe.warm_up, recipe.final))
        return float(loss.detach())

    @torch.no_grad()
    def evaluate(self, windows: Integer[np.ndarray, "windows context_and_next"]) -> Evaluated:
        """Return losses and loads on windows of text, a batch of training's size at a time."""
        losses, counts = list[Tensor](), torch.zeros(0)
        for rows in np.array_split(windows, max(1, math.ceil(len(windows) / self.recipe.sequences))):
            with self._precision():
                predicted, each = self._loss(rows, "none")
            losses.append(each.float().mean(1))
            found = torch.stack([routing.counts for routing in predicted.routings]).double()
            counts = found if not counts.numel() else counts + found
        by_window = torch.cat(losses).cpu().double().numpy()
        loads = (counts / counts.sum(1, keepdim=True)).cpu().numpy()
        return Evaluated(float(by_window.mean()), by_window, loads)

    def state(self) -> dict[str, np.ndarray]:
        """Return weights and moments, from which ``load`` goes on."""
        weights = {f"weight.{name}": one.detach() for name, one in self.model.named_parameters()}
        moments = {"first": self.optimizer.first, "second": self.optimizer.second}
        return {name: value.cpu().numpy().copy() for name, value in {**weights, **moments}.items()}

    @torch.no_grad()
    def load(self, step: int, state: Mapping[str, np.ndarray]) -> None:
        """Go on from the state after so many steps."""
        for name, one in self.model.named_parameters():
            one.copy_(torch.from_numpy(state[f"weight.{name}"]))
        self.optimizer.first.copy_(torch.from_numpy(state["first"]))
        self.optimizer.second.copy_(torch.from_numpy(state["second"]))
        self.optimizer.steps = step

    def _loss(
        self, tokens: Integer[np.ndarray, "sequences context_and_next"], reduction: str = "mean"
    ) -> tuple[Predicted, Tensor]:
        ids = torch.from_numpy(np.ascontiguousarray(tokens, np.int64)).to(self.device)
        predicted = self.model(ids[:, :-1])
        logits, targets = predicted.logits.float().flatten(0, 1), ids[:, 1:].reshape(-1)
        loss = F.cross_entropy(logits, targets, reduction=reduction)
        return predicted, loss.view(len(ids), -1) if reduction == "none" else loss

    @contextmanager
    def _precision(self) -> Iterator[None]:
        halved = self.recipe.precision == "bfloat16" and self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=halved):
            yield


def train_moe(trained: TrainedMoe, batches: Batches, until: int | None = None) -> list[float]:
    """Take the steps that are left, or those before `until`, and return each one's loss.

    Ends early, with the loss as the last, when a loss explodes or is no number.
    """
    losses = list[float]()
    if trained.device.type == "cpu":
        keep_freed_memory()
    while trained.step < (trained.steps if until is None else until):
        losses.append(trained.advance(batches(trained.step)))
        if not losses[-1] < trained.exploded:
            break
    return losses
