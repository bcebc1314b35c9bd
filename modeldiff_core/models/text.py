"""Small networks for sequences of ids."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class TokenNet(nn.Module):
    """Embeds tokens, and classifies the mean and the largest value over a text of what each says: two linear layers.

    Args:
        vocabulary: Ids from 0 on; 0 fills up and says nothing.
        classes: Logits.
        width: Length of an embedding, and of the hidden layer.
    """

    def __init__(self, vocabulary: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.hidden = nn.Linear(2 * width, width)
        self.head = nn.Linear(width, classes)

    def forward(self, ids: Int[Tensor, "texts length"]) -> Float[Tensor, "texts classes"]:
        """Return the logits of texts."""
        found = self.embedding(ids)
        there = (ids != 0).unsqueeze(-1)
        mean = found.sum(1) / there.sum(1).clamp(min=1)
        largest = found.masked_fill(~there, -1e4).amax(1)
        logits: Tensor = self.head(torch.relu(self.hidden(torch.cat([mean, largest], 1))))
        return logits


class TokenVotes(nn.Module):
    """Gives each token a vote for each class, from zero on: logits are Σ votes/√(number of tokens).

    The loss is convex, so that two trainings on the same texts hardly differ.

    Args:
        vocabulary: Ids from 0 on; 0 fills up and has no vote.
        classes: Logits.
    """

    def __init__(self, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.votes = nn.Embedding(vocabulary, classes, padding_idx=0)
        nn.init.zeros_(self.votes.weight)

    def forward(self, ids: Int[Tensor, "texts length"]) -> Float[Tensor, "texts classes"]:
        """Return the logits of texts."""
        count = (ids != 0).sum(1, keepdim=True).clamp(min=1)
        votes: Tensor = self.votes(ids)
        return votes.sum(1) / count.sqrt()
