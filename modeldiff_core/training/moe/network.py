"""The shape of a transformer whose feed-forward layers are mixtures of experts."""

from dataclasses import dataclass
from typing import Literal

from modeldiff_core.errors import Check, ConfigError

SPARSITY_TOLERANCE = 0.005
"""Largest distance between a sparsity asked for and the nearest that whole experts give."""


@dataclass(frozen=True)
class MoeNetwork:
    """A decoder with causal attention, QK-norm, RMSNorm, rotary positions and GLU experts (arXiv 2501.12370).

    Attributes:
        vocabulary: Token ids that it predicts.
        context: Tokens that it sees at most.
        width: Size d of the residual stream.
        layers: Blocks of attention and experts.
        heads: Heads of attention; their size is d / heads.
        experts: All experts E of a layer.
        active: Experts K that a token passes through.
        granularity: G; the hidden size of an expert is 4 d / G.
        tied: Whether the output layer is the embedding.
        gates: Weights of the chosen experts' outputs: 'softmax' probabilities over all experts, or those 'normalized'
            to sum to 1 over the chosen (which leaves a router with K = 1 without a gradient of the loss).

    """

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int = 1
    experts: int = 1
    active: int = 1
    granularity: int = 1
    tied: bool = False
    gates: Literal["softmax", "normalized"] = "softmax"

    def __post_init__(self) -> None:
        check = Check("network")
        for name in ("vocabulary", "context", "width", "layers", "heads", "experts", "active", "granularity"):
            check(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        check(self.active <= self.experts, "active", f"at most the {self.experts} experts", self.active)
        check(self.width % (2 * self.heads) == 0, "heads", f"heads of an even size within {self.width}", self.heads)
        divides = 4 * self.width % self.granularity == 0
        check(divides, "granularity", f"a divisor of 4 · width, {4 * self.width}", self.granularity)
        check(self.gates in ("softmax", "normalized"), "gates", "softmax or normalized", self.gates)

    @property
    def hidden(self) -> int:
        """The hidden size of an expert, 4 d / G."""
        return 4 * self.width // self.granularity

    @property
    def sparsity(self) -> float:
        """S = (E − K) / E."""
        return (self.experts - self.active) / self.experts


def active_experts(experts: int, sparsity: float, key: str = "sparsities") -> int:
    """Return the whole number K of active experts that is nearest to (1 − S) E.

    Raises ConfigError if none gives that sparsity within SPARSITY_TOLERANCE.
    """
    if not 0 <= sparsity < 1:
        raise ConfigError(key, "sparsities from 0 to below 1", sparsity)
    active = max(1, round((1 - sparsity) * experts))
    found = (experts - active) / experts
    if abs(found - sparsity) > SPARSITY_TOLERANCE:
        raise ConfigError(key, f"a sparsity that {experts} experts can have; the nearest is {found:.4f}", sparsity)
    return active
