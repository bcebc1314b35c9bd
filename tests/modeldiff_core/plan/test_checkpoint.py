"""Checkpoints in the middle of a step: what is loaded, what is not, and when they are removed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.plan import Array, Checkpoint, RecordedFailure, Step, Tensors, perform, read_failure
from modeldiff_core.plan.products import Foreign
from modeldiff_core.store import ObjectStore, StoreSettings


@dataclass(frozen=True)
class Sum:
    """The numbers below `count`, added one after the other; fails: after the first, for good."""

    count: int
    fails: bool = False

    @property
    def product(self) -> Tensors:
        """The sum in the store."""
        return Tensors.of("sums", "sum", self, Array("total", {"one": 1}))

    def step(self) -> Step:
        """Return the step that adds them."""
        return Step("sum", self.product, add, self, scratch=Checkpoint.of(self.product).prefix)


def add(store: ObjectStore, spec: Sum) -> None:
    """Add the numbers, with a checkpoint after each."""
    checkpoint = Checkpoint.of(spec.product)
    first, arrays = checkpoint.load(store)
    total = arrays["total"] if arrays else np.zeros(1)
    for number in range(first, spec.count):
        total = total + number
        checkpoint.save(store, number + 1, {"total": total})
        if spec.fails:
            raise RecordedFailure("was told to")
    spec.product.write(store, {"total": total})


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(StoreSettings(str(tmp_path)))


def test_work_goes_on_from_what_was_saved_last(store: ObjectStore) -> None:
    checkpoint = Checkpoint.of(Sum(5).product)
    assert checkpoint.load(store) == (0, {})
    checkpoint.save(store, 1, {"total": np.zeros(1)})
    checkpoint.save(store, 4, {"total": np.array([100.0])})
    perform(store, Sum(5).step().work())
    assert Sum(5).product.read(store)["total"] == [104.0]
    assert list(store.sizes("sums")) == [Sum(5).product.reference.record]


def test_the_state_of_other_work_and_a_damaged_one_are_not_loaded(store: ObjectStore) -> None:
    own, other = Checkpoint.of(Sum(5).product), Checkpoint.of(Sum(6).product)
    other.save(store, 3, {"total": np.array([100.0])})
    store.write(own.key, store.read(other.key))
    assert own.load(store) == (0, {})
    own.save(store, 3, {"total": np.array([3.0])})
    store.write(own.key, store.read(own.key)[:-1])
    assert own.load(store) == (0, {})


def test_checkpoints_of_work_that_ends_as_a_recorded_failure_are_removed(store: ObjectStore) -> None:
    failing = Sum(5, fails=True)
    assert perform(store, failing.step().work())["failure"] == "was told to"
    failure = read_failure(store, failing.product.reference)
    assert failure is not None
    assert failure["reason"] == "was told to"
    assert [key for key in store.sizes("sums") if "checkpoint" in key] == []


def test_a_product_reads_only_what_its_identity_made(store: ObjectStore) -> None:
    five, six = Sum(5).product, Sum(6).product
    assert five.reference.key != six.reference.key
    six.write(store, {"total": np.ones(1)})
    store.write(five.reference.record, store.read(six.reference.record))
    with pytest.raises(Foreign, match="made by another configuration"):
        five.read(store)
