"""Any torch module on sequences of ids, trained from scratch: ``kind: token_network``."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.kinds import Inputs, Tokens
from modeldiff_core.errors import Check, ConfigError, meant
from modeldiff_core.identity import generator
from modeldiff_core.limits import Limit, check_limits
from modeldiff_core.training.devices import available_device
from modeldiff_core.training.functions.guard import seeded
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.torch_modules import (
    as_floats,
    check_logits,
    checked_module,
    code_of,
    logits_of_states,
    made,
    named,
    network_maker,
    optimizer_of,
    stacked,
    state_of,
)

BATCH = 1000
"""Texts of one evaluation batch."""


@dataclass(frozen=True)
class TokenNetwork:
    """A torch module trained on the cross-entropy of a subset of texts.

    Attributes:
        network: Import path of a subclass of ``torch.nn.Module``, or of a function that makes one, ``module:name``. It
            is made with ``vocabulary``, the number of ids, and ``classes``, and takes ids [texts, length] in int64.
        network_arguments: Further arguments, by name.
        optimizer: Name of a class of ``torch.optim``.
        optimizer_arguments: Its arguments besides the parameters, by name, such as lr.
        epochs: Passes over the subset.
        batch_size: Texts of a batch; the last one of a pass may be smaller.
        without: Words that are taken out of the texts before the network sees them, in training and after.
    """

    network: str = "modeldiff_core.models.text:TokenNet"
    network_arguments: Mapping[str, object] = field(default_factory=dict)
    optimizer: str = "Adam"
    optimizer_arguments: Mapping[str, object] = field(default_factory=lambda: {"lr": 0.01})
    epochs: Annotated[int, Limit(least=1)] = 10
    batch_size: Annotated[int, Limit(least=1)] = 50
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_limits(self, Check("recipe"))
        named(torch.optim, self.optimizer, torch.optim.Optimizer, "optimizer")
        if ":" not in self.network:
            raise ConfigError("recipe.network", "a torch.nn.Module by its import path, module:name", self.network)
        network_maker(self.network)

    def code(self) -> dict[str, Any]:
        """Return what is known of the network's code; empty for one that ships."""
        if self.network.startswith("modeldiff_core."):
            return {}
        return code_of(self.network)

    @property
    def tokens(self) -> Tokens:
        """The vocabulary that it was made ready for; raises ConfigError before that."""
        found: Tokens | None = self.__dict__.get("_tokens")
        if found is None:
            raise ConfigError("kind", "an algorithm that takes images", "token_network, which takes texts")
        return found

    def on(self, data: Dataset) -> "TokenNetwork":
        """Return the algorithm for these texts.

        Raises ConfigError for other examples, for a word to take out that the vocabulary has not, and for a number to
        predict.
        """
        tokens = data.kind
        if not isinstance(tokens, Tokens):
            raise ConfigError("kind", f"an algorithm that takes {data.kind.noun}s", "token_network, which takes texts")
        if data.target is not None:
            raise ConfigError("kind", "an algorithm that predicts numbers: function", "token_network")
        for word in self.without:
            if word not in tokens.ids:
                hint = meant(word, tokens.vocabulary)
                raise ConfigError("recipe.without", "words of the vocabulary", word, hint)
        ready = copy(self)
        object.__setattr__(ready, "_tokens", tokens)
        return ready

    def build(self, n_classes: int) -> nn.Module:
        """Return a new network; raises ConfigError for arguments that it does not take."""
        arguments = {"vocabulary": len(self.tokens.vocabulary), "classes": n_classes, **self.network_arguments}
        net = made(network_maker(self.network), (), arguments, "network_arguments")
        return checked_module(net, self.network)

    def ids(self, inputs: Inputs) -> Int[Tensor, "texts length"]:
        """Return texts as the network takes them, without the words that it does not see; what follows moves up."""
        ids = inputs[:, 0, :, 0]
        if self.without:
            hidden = np.isin(ids, [self.tokens.ids[word] for word in self.without])
            order = np.argsort(hidden, axis=1, kind="stable")
            ids = np.take_along_axis(np.where(hidden, 0, ids), order, axis=1)
        return torch.from_numpy(np.ascontiguousarray(ids))

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Raise ConfigError for a network that does not give a logit for each class of such texts."""
        texts = torch.ones(2, image_shape[1], dtype=torch.int64)
        with seeded(0):
            net = self.build(n_classes).eval()
            check_logits(net, self.network, texts, f"ids [texts, {image_shape[1]}] of int64", n_classes, "a text")

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> "TokenModels":
        """Train one network after the other; each is a pure function of the recipe, its mask, its number and seed."""
        device = available_device(execution.device)
        ids, labels = self.ids(examples.images).to(device), torch.from_numpy(examples.labels).to(device)
        states = []
        for mask, number in zip(masks, models, strict=True):
            draws = generator("token network", seed, int(number))
            with seeded(int(draws.integers(2**31))):
                net = self.build(n_classes).to(device).train()
                optimizer = optimizer_of(self, net.parameters())
                for batch in self._batches(np.flatnonzero(mask), draws):
                    loss = F.cross_entropy(net(ids[batch]), labels[batch])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            states.append(state_of(net))
        return TokenModels(self, stacked(states), n_classes, device)

    def _batches(
        self, members: Int[np.ndarray, " subset"], draws: np.random.Generator
    ) -> Iterator[Int[Tensor, " batch"]]:
        for _ in range(self.epochs):
            order = torch.from_numpy(draws.permutation(members))
            yield from order.split(self.batch_size)

    def load(
        self,
        weights: Mapping[str, Float[np.ndarray, "models ..."]],
        image_shape: tuple[int, int, int],
        n_classes: int,
        execution: Execution,
    ) -> "TokenModels":
        """Return the networks with stored weights."""
        device = available_device(execution.device)
        return TokenModels(self, weights, n_classes, device)


@dataclass(frozen=True)
class TokenModels:
    """Networks of one recipe, as their states [models, ...]."""

    recipe: TokenNetwork
    states: Mapping[str, np.ndarray]
    n_classes: int
    device: torch.device

    def logits(self, images: Inputs) -> Float[np.ndarray, "models targets classes"]:
        """Return float32 logits of every model on every text, in evaluation mode."""
        with seeded(0):
            net = self.recipe.build(self.n_classes).to(self.device).eval()
        ids = self.recipe.ids(images).to(self.device)
        return logits_of_states(net, self.states, lambda: ids.split(BATCH))

    def weights(self) -> dict[str, Float[np.ndarray, "models ..."]]:
        """Return the states as float32 arrays."""
        return as_floats(self.states)
