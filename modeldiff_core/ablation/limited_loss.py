"""Sets of components whose ablation moves the outputs of some examples and costs the others little."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Attributed = Float[np.ndarray, "_examples components"]
Masks = Bool[np.ndarray, "rows components"]
Outputs = Float[np.ndarray, "rows examples"]
CANDIDATES = 16
"""Components that the linear model proposes for each place of a set, and that are then tried."""
TURNS = 3
"""How often as many are tried where none of those before helps."""
EXCHANGES = 30
"""Most exchanges of a search."""
LEAST = 1e-4
"""A step counts if it makes the objective larger by as much."""


@dataclass(frozen=True)
class Aim:
    """What an edit is for.

    Attributes:
        raises: Whether the outputs of the targets are to become larger.
        limit: Largest share of the reference examples that may turn from right to wrong.
        most: Largest number of components.
        enough: Mean ±output of the targets at which the set is large enough.
        emphasis: Weight of a target beside that of a reference example.

    """

    raises: bool
    limit: float = 0.02
    most: int = 40
    enough: float = math.inf
    emphasis: float = 1.0

    @property
    def sign(self) -> int:
        """1 to raise, −1 to lower."""
        return 1 if self.raises else -1


@dataclass(frozen=True)
class Choosing:
    """The examples that a set is chosen on, with what is known of them.

    Attributes:
        outputs: Gives true outputs [rows, targets + reference] of masks, the targets first.
        targets: Attributions of the targets.
        reference: Attributions of the reference examples.

    """

    outputs: Callable[[Masks], Outputs]
    targets: Attributed
    reference: Attributed


def limited_loss_set(choosing: Choosing, aim: Aim) -> list[int]:
    """Return the components of an edit that costs the reference examples little, in the order in which they are added.

    What becomes larger is emphasis·mean ℓ(±y) of the targets + mean ℓ(y) of the reference, with ℓ(y) = log 1/(1 + e⁻ʸ):
    an example that is safely where it should be gives no more, one that is far off counts with its distance. Step by
    step the linear model predicts, from the true outputs so far, what each further component does; the CANDIDATES best
    are tried, if none helps as many further ones up to TURNS times, and of those that keep the true share of right
    reference examples within the limit the best is taken. Where none helps, or the targets have moved enough, a
    component is given back or exchanged for another, and so on until neither helps; where the targets have moved
    enough, what helps is what the reference gains.
    """
    search, exchanges = _Search(choosing, aim), 0
    while exchanges <= EXCHANGES:
        if len(search.chosen) < aim.most and not search.is_enough and search.grow():
            continue
        if not search.exchange():
            break
        exchanges += 1
    return search.chosen


class _Search:
    """A set under way, with the true outputs that it gives."""

    def __init__(self, choosing: Choosing, aim: Aim) -> None:
        self.choosing, self.aim, self.count = choosing, aim, len(choosing.targets)
        self.every = np.concatenate([choosing.targets, choosing.reference])
        self.mask = np.ones(self.every.shape[1], dtype=bool)
        self.now: Float[np.ndarray, " examples"] = choosing.outputs(self.mask[None])[0]
        self.least = float((self.now[self.count :] > 0).mean()) - aim.limit
        self.chosen: list[int] = []

    def grow(self) -> bool:
        """Add the best component; return whether one helps."""
        order = self._proposed(TURNS * CANDIDATES)
        turns = (order[at : at + CANDIDATES] for at in range(0, len(order), CANDIDATES))
        return any(self._take([([int(one)], []) for one in tried], self._worth) for tried in turns)

    def exchange(self) -> bool:
        """Give a component back, or exchange it for another; return whether that helps."""
        if not self.chosen:
            return False
        out, into = np.array(self.chosen), np.sort(self._proposed(4 * CANDIDATES))
        without = self.now + self.every[:, out].T
        predicted = self._worth((without[:, None] - self.every[:, into].T).reshape(-1, len(self.now)))
        first = np.argsort(-predicted, kind="stable")[: 2 * CANDIDATES]
        pairs = [([int(into[at % len(into)])], [int(out[at // len(into)])]) for at in first]
        return self._take([*(([], [one]) for one in self.chosen), *pairs], self._after)

    @property
    def is_enough(self) -> bool:
        """Whether the targets have moved enough."""
        return bool(self._moved(self.now[None])[0] >= self.aim.enough)

    def _proposed(self, most: int) -> Int[np.ndarray, " proposed"]:
        """Return the components whose ablation is predicted to help most, the best first."""
        predicted = self._worth((self.now[:, None] - self.every).T)
        predicted[~self.mask] = -np.inf
        return np.argsort(-predicted, kind="stable")[: min(most, int(self.mask.sum()))]

    def _take(
        self, steps: list[tuple[list[int], list[int]]], worth: Callable[[Outputs], Float[np.ndarray, " rows"]]
    ) -> bool:
        """Try steps, each of components to add and to give back, and take the best if it helps."""
        rows = np.repeat(self.mask[None], len(steps), axis=0)
        for row, (added, returned) in zip(rows, steps, strict=True):
            row[added], row[returned] = False, True
        outputs = self.choosing.outputs(rows)
        found = worth(outputs)
        found[(outputs[:, self.count :] > 0).mean(1) < self.least - 1e-9] = -np.inf
        at = int(found.argmax())
        if not found[at] > worth(self.now[None])[0] + LEAST:
            return False
        added, returned = steps[at]
        self.now, self.mask = outputs[at], rows[at]
        self.chosen = [one for one in self.chosen if one not in returned] + added
        return True

    def _worth(self, outputs: Outputs) -> Float[np.ndarray, " rows"]:
        """Return emphasis·mean ℓ(±y) of the targets plus mean ℓ(y) of the reference."""
        targets = _log_sigmoid(self.aim.sign * outputs[:, : self.count]).mean(1)
        return np.asarray(self.aim.emphasis * targets + self._kept(outputs))

    def _after(self, outputs: Outputs) -> Float[np.ndarray, " rows"]:
        """Return the objective of exchanges: the reference alone where the targets have moved enough."""
        if not self.is_enough:
            return self._worth(outputs)
        return np.where(self._moved(outputs) >= self.aim.enough, self._kept(outputs), -np.inf)

    def _kept(self, outputs: Outputs) -> Float[np.ndarray, " rows"]:
        return np.asarray(_log_sigmoid(outputs[:, self.count :]).mean(1))

    def _moved(self, outputs: Outputs) -> Float[np.ndarray, " rows"]:
        return np.asarray((self.aim.sign * outputs[:, : self.count]).mean(1))


def _log_sigmoid(values: Outputs) -> Outputs:
    return np.asarray(-np.logaddexp(0, -values))
