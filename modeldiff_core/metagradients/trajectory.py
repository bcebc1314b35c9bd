"""The states of a training, forward and backward, from few of them: the others are computed again.

A step is a pure function, so a state that is computed again has the bits of the one that was left out.
"""

import gc
import math
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor
from torch.func import vjp, vmap

from modeldiff_core.errors import ConfigError
from modeldiff_core.metagradients.process import Process, State

ALIGNED, BLOCK = 64, 2**24
"""Bytes at whose multiples tensors begin, and of states that are kept side by side."""
FEWEST = 3
"""States that have to fit the memory: a checkpoint, the state at hand and the next one."""


class Trajectory:
    """A training that is run once, with some of its states kept.

    It runs when its steps are first walked forward, so that what is carried along needs no second run, or when
    anything else is asked for. With room for `slots` states at a time, those before steps 0, k, 2k, ... are kept, and
    the stretch of k steps between two of them is computed again when it is walked backward, in smaller stretches where
    there is less room than k. By default slots = 2⌈√steps⌉, and no state is computed more than twice; with slots ≥
    steps none is computed again. Memory: (slots + 3)·|state|.

    Attributes:
        process: The training.
        slots: Most states that are kept at a time beside the last one, the one at hand and the next.

    """

    def __init__(self, process: Process, slots: int | None = None) -> None:
        _load_transforms()
        self.process = process
        self.slots = default_slots(process.steps) if slots is None else slots
        if self.slots < FEWEST:
            raise ConfigError("metagradients.memory", f"room for at least {FEWEST} states of the training", self.slots)
        self.every = _stretch(process.steps, self.slots)
        self._kept: dict[int, State] = {}
        self._last: State | None = None

    @property
    def last(self) -> State:
        """The state after the last step."""
        self.run()
        assert self._last is not None
        return self._last

    def run(self) -> None:
        """Run the training if it has not run yet."""
        if self._last is None:
            for _ in self._first():
                pass

    def _first(self) -> Iterator[tuple[int, State]]:
        """Run the training and yield its steps with the states before them."""
        state, blocks = self.process.initial(), _Blocks((self.process.steps - 1) // max(1, self.every))
        for step in range(self.process.steps):
            if step % self.every == 0:
                state = self._kept[step] = blocks.copied(state) if step else state
            yield step, state
            state = self._after(step, state)
        self._last = state

    def forward(self) -> Iterator[tuple[int, State]]:
        """Yield every step with the state before it, from the first to the last."""
        if self._last is None:
            yield from self._first()
            return
        state = self._kept[0] if self._kept else self._last
        for step in range(self.process.steps):
            state = self._kept.get(step, state)
            yield step, state
            if step + 1 < self.process.steps and step + 1 not in self._kept:
                state = self._after(step, state)

    def backward(self) -> Iterator[tuple[int, State]]:
        """Yield every step with the state before it, from the last to the first."""
        self.run()
        free = self.slots - len(self._kept)
        for start in sorted(self._kept, reverse=True):
            stop = min(start + self.every, self.process.steps)
            yield from self._walk(start, stop, self._kept[start], free)

    def _walk(self, start: int, stop: int, state: State, free: int) -> Iterator[tuple[int, State]]:
        """Yield steps stop−1, ..., start with the states before them, keeping at most `free` beside the first one."""
        length = stop - start
        if free <= 0 or length == 1:
            for step in reversed(range(start, stop)):
                yield step, self._run(start, state, step)
            return
        interior = length - 1 if length - 1 <= free else max(1, free // 2)
        every = -(-length // (interior + 1))
        kept: dict[int, State] = {}
        known = state
        for first in range(start + every, stop, every):
            known = kept[first] = self._run(first - every, known, first)
        for first in [*reversed(kept), start]:
            # What lies behind has been walked and is let go.
            known = kept.pop(first, state)
            left = free - len(kept) - (first != start)
            yield from self._walk(first, min(first + every, stop), known, left)

    def _run(self, start: int, state: State, stop: int) -> State:
        """Return the state before step `stop`, from the one before step `start`."""
        for step in range(start, stop):
            state = self._after(step, state)
        return state

    def _after(self, step: int, state: State) -> State:
        batch = self.process.batch(step)
        moved = self.process.step(state, self.process.weights[batch.members], batch)
        return {name: value.detach() for name, value in moved.items()}


class _Blocks:
    """Room for copies of a number of states, BLOCK bytes at a time.

    States that stay where they were made, among those that are let go, leave gaps of half their size between them.
    """

    def __init__(self, count: int) -> None:
        self._left, self._rows = count, list[State]()

    def copied(self, state: State) -> State:
        """Return a copy of a state."""
        if not self._rows:
            rows = max(1, min(self._left, BLOCK // max(1, state_bytes(state))))
            self._left -= rows
            made = {name: _rows(value, rows) for name, value in state.items()}
            self._rows = [{name: value[row] for name, value in made.items()} for row in range(rows)]
        room = self._rows.pop(0)
        return {name: room[name].copy_(value) for name, value in state.items()}


def _rows(like: Tensor, count: int) -> list[Tensor]:
    """Return so many tensors like one, side by side, each where a tensor of its own could begin."""
    step = max(1, ALIGNED // like.element_size())
    block = like.new_empty(count, -(-like.numel() // step) * step)
    strides = torch.empty_like(like, device="meta").stride()
    return [row.as_strided(like.shape, strides) for row in block]


@cache
def _load_transforms() -> None:
    """Make `torch.func` load what it loads at its first call, and collect what that leaves.

    The loaded modules keep the frames below their first call in a cycle, and with them a whole training.
    """
    vmap(vjp(torch.square, torch.ones(()))[1])(torch.ones(1))
    gc.collect()


def default_slots(steps: int) -> int:
    """Return 2⌈√steps⌉ states, and at least FEWEST."""
    return max(FEWEST, 2 * math.isqrt(max(0, steps - 1)) + 2)


def slots_within(memory: int, state_bytes: int, steps: int) -> int:
    """Return how many states of so many bytes fit `memory` bytes, at most one for each step.

    Raises ConfigError if fewer than FEWEST do.
    """
    slots = min(memory // max(1, state_bytes), max(steps, FEWEST))
    if slots < FEWEST:
        raise ConfigError(
            "metagradients.memory", f"room for {FEWEST} states of the training, {FEWEST * state_bytes} bytes", memory
        )
    return slots


def state_bytes(state: State) -> int:
    """Return the memory of one state in bytes."""
    return sum(value.numel() * value.element_size() for value in state.values())


def _stretch(steps: int, slots: int) -> int:
    """Return the distance of kept states: the least that leaves room for a stretch, or half of the slots to them."""
    for every in range(1, steps + 1):
        if -(-steps // every) + every - 1 <= slots:
            return every
    return -(-steps // max(1, slots // 2))
