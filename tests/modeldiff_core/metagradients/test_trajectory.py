"""States that are computed again have the bits of those that were kept, within the stated memory."""

from itertools import islice

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from modeldiff_core.errors import ConfigError
from modeldiff_core.metagradients import Batch, Point, Process, Trajectory, process_of, trajectory
from modeldiff_core.metagradients.process import State
from modeldiff_core.metagradients.trajectory import ALIGNED, FEWEST, _Blocks, default_slots, slots_within, state_bytes
from modeldiff_core.training import Execution, Task
from tests.modeldiff_core.metagradients.cases import TRAIN


class Counter(Process):
    """A training whose state is the number of the step, and which counts how often each step is taken."""

    def __init__(self, steps: int) -> None:
        self.steps, self.units, self.targets = steps, 1, 1
        self.weights = torch.ones(1)
        self.taken = [0] * steps

    def initial(self) -> State:
        return {"at": torch.zeros(())}

    def batch(self, step: int) -> Batch:
        return Batch(torch.zeros(1, dtype=torch.long), {"step": torch.tensor(step)})

    def step(self, state: State, weights: Float[Tensor, " batch"], batch: Batch) -> State:
        assert int(state["at"]) == int(batch.data["step"])
        self.taken[int(state["at"])] += 1
        return {"at": state["at"] + 1}

    def outputs(self, state: State, targets: slice) -> Float[Tensor, " chosen"]:
        return state["at"][None]


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 10, 100, 101])
@pytest.mark.parametrize("slots", [None, FEWEST, 4, 7, 20, 200])
def test_every_step_is_walked_once_in_order(steps: int, slots: int | None) -> None:
    process = Counter(steps)
    trajectory = Trajectory(process, slots)
    assert int(trajectory.last["at"]) == steps
    for _ in range(2):
        assert [(step, int(state["at"])) for step, state in trajectory.forward()] == [(i, i) for i in range(steps)]
        backward = [(step, int(state["at"])) for step, state in trajectory.backward()]
        assert backward == [(i, i) for i in reversed(range(steps))]


def test_by_default_no_step_is_taken_more_than_twice() -> None:
    for steps in (1, 2, 15, 16, 17, 300):
        process = Counter(steps)
        trajectory = Trajectory(process)
        assert set(process.taken) == {0}
        trajectory.run()
        assert set(process.taken) == {1}
        assert len(list(trajectory.backward())) == steps
        assert max(process.taken) <= 2
        assert trajectory.slots <= 2 * steps**0.5 + 3


def test_a_first_walk_forward_is_the_training() -> None:
    process = Counter(50)
    trajectory = Trajectory(process, 10)
    assert [step for step, _ in islice(trajectory.forward(), 20)] == list(range(20))  # and is left there
    assert [step for step, _ in trajectory.forward()] == list(range(50))
    assert int(trajectory.last["at"]) == 50
    # The twentieth step was shown, but not taken, when the first walk was left.
    assert process.taken == [2] * 19 + [1] * 31
    assert [step for step, _ in trajectory.forward()] == list(range(50))
    assert max(process.taken) == 3


def test_with_room_for_all_states_none_is_computed_again() -> None:
    process = Counter(50)
    trajectory = Trajectory(process, 50)
    assert len(list(trajectory.backward())) == len(list(trajectory.forward())) == 50
    assert set(process.taken) == {1}


@pytest.mark.parametrize("slots", [FEWEST, 5, 8, 14])
def test_no_more_states_are_kept_than_there_is_room_for(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: set[int] = set()
    most = 0

    class Counted(dict[str, Tensor]):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            nonlocal most
            alive.add(id(self))
            most = max(most, len(alive))

        def __del__(self) -> None:
            alive.discard(id(self))

    original = Trajectory._after
    monkeypatch.setattr(Trajectory, "_after", lambda self, step, state: Counted(original(self, step, state)))
    copied = _Blocks.copied
    monkeypatch.setattr(_Blocks, "copied", lambda self, state: Counted(copied(self, state)))
    trajectory = Trajectory(Counter(60), slots)
    for _ in trajectory.backward():
        pass
    # Beside those that are kept: the last one, the one at hand and the one that is being made.
    assert slots // 2 < most <= slots + 3


def test_recomputed_states_have_the_bits_of_the_stored_ones(task: Task) -> None:
    process = process_of(task, Point.everywhere(TRAIN, 0.5), 0, Execution())
    stored = dict(Trajectory(process, process.steps).forward())
    assert len(stored) == process.steps
    for slots in (FEWEST, None):
        for step, state in Trajectory(process, slots).backward():
            assert state.keys() == stored[step].keys()
            assert all(torch.equal(value, stored[step][name]) for name, value in state.items())


def test_states_are_kept_side_by_side_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"turned": torch.randn(5, 3).T, "scalar": torch.randn(()), "whole": torch.arange(7), "none": torch.empty(0)}
    monkeypatch.setattr(trajectory, "BLOCK", 3 * state_bytes(state))
    blocks, found = _Blocks(5), []
    for number in range(5):
        given = {name: value + number for name, value in state.items()}
        found.append(blocks.copied(given))
        for value in given.values():
            value.zero_()
    for number, kept in enumerate(found):
        for name, value in state.items():
            assert torch.equal(kept[name], value + number)
            assert kept[name].stride() == value.clone().stride()
            assert kept[name].data_ptr() % ALIGNED == 0
    rows = [len(list(kept["turned"].untyped_storage())) // 64 for kept in found]
    assert rows == [3, 3, 3, 2, 2]


def test_memory_decides_the_number_of_states() -> None:
    state = {"a": torch.zeros(10), "b": torch.zeros(5, dtype=torch.float64)}
    assert state_bytes(state) == 80
    assert slots_within(800, 80, 100) == 10
    assert slots_within(10**9, 80, 100) == 100
    assert default_slots(100) == 20
    with pytest.raises(
        ConfigError, match="metagradients.memory: expected room for 3 states of the training, 240 bytes"
    ):
        slots_within(239, 80, 100)
    with pytest.raises(ConfigError, match="metagradients.memory"):
        Trajectory(Counter(4), 2)
