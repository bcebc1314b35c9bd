"""Stage: products of the derivatives of one training, and the basis that several of them give."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from modeldiff_core.errors import Diverged
from modeldiff_core.metagradients import Calculus, Point, Trajectory, forward_products, process_of, reverse_products
from modeldiff_core.metagradients.basis import common_basis, random_weightings
from modeldiff_core.metagradients.trajectory import default_slots, state_bytes
from modeldiff_core.plan import Array, Cost, Label, Step, Tensors
from modeldiff_core.stages.times import read_time, write_time
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import Training
from modeldiff_core.training import Execution
from modeldiff_core.training.devices import available_device, fast_arithmetic

VERSION = 3
"""Raised by hand when a change of the code changes the numbers.

2: products of fully connected networks in compiled code, whose sums run in another order. 3: of convolutional
networks, too.
"""
AT_ONCE = 32
"""Probes that are carried through a training together."""
STATES = 2**28
"""Bytes of a training's states that are kept where they fit; else about 2√steps of them are."""
FOLDER = "comparisons"


@dataclass(frozen=True)
class Derived:
    """One training of an algorithm with a weight on every example.

    number: of the training. units: training examples.
    """

    training: Training
    number: int
    units: int
    batch_statistics: Literal["full", "weighted"] = "full"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its numbers."""
        return {
            "version": VERSION,
            "training": self.training.digest,
            "number": self.number,
            "batch_statistics": self.batch_statistics,
        }

    @property
    def folder(self) -> str:
        """Where its products are."""
        return f"{self.training.prefix}/metagradients"

    def run(self, execution: Execution) -> Trajectory:
        """Run the training."""
        task = self.training.task()
        point = Point.everywhere(len(task.train), self.training.fraction)
        process = process_of(task, point, self.number, execution, Calculus(batch_statistics=self.batch_statistics))
        room = STATES // max(1, state_bytes(process.initial()))
        return Trajectory(process, max(default_slots(process.steps), min(room, process.steps)))


@dataclass(frozen=True)
class Reverse:
    """Reverse products of one training with random weightings of the targets, numbers first to first + probes − 1."""

    derived: Derived
    probes: int
    first: int
    seed: int

    @property
    def product(self) -> Tensors:
        """Where they are: products [probes, train], and whether they are finite."""
        own = {"weightings": {"probes": self.probes, "first": self.first, "seed": self.seed}}
        shape = {"probes": self.probes, "train": self.derived.units}
        arrays = Array("products", shape), Array("finite", {"one": 1})
        return Tensors.of(
            self.derived.folder, f"reverse-{self.derived.number:05d}", {**self.derived.identity, **own}, *arrays
        )

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes them."""
        cost = Cost(4e-5 * self.probes * self.derived.units, 4 * self.probes * self.derived.units)
        return Step(name, self.product, make_reverse, self, label=label, cost=cost, on_device=True)


@dataclass(frozen=True)
class CommonBasis:
    """The basis of the products of some trainings of A and of B, each side's products summed over its trainings."""

    a: tuple[Reverse, ...]
    b: tuple[Reverse, ...]

    @property
    def size(self) -> int:
        """Number of directions."""
        return self.a[0].probes + self.b[0].probes

    @property
    def product(self) -> Tensors:
        """Where it is: vectors [train, q]; directions that the products do not span are zero."""
        made = {side: [one.product.reference.digest for one in own] for side, own in (("a", self.a), ("b", self.b))}
        shape = {"train": self.a[0].derived.units, "q": self.size}
        return Tensors.of(FOLDER, "basis", {"version": VERSION, **made}, Array("vectors", shape))

    def step(self, name: str, label: Label) -> Step:
        """Return the step that finds it."""
        needs = tuple(one.product.reference for one in (*self.a, *self.b))
        return Step(name, self.product, find_basis, self, needs, label)


@dataclass(frozen=True)
class Forward:
    """Forward products of one training along a basis."""

    derived: Derived
    basis: CommonBasis

    @property
    def product(self) -> Tensors:
        """Where they are: products [targets, q], and whether they are finite."""
        identity = {**self.derived.identity, "basis": self.basis.product.reference.digest}
        shape = {"targets": self.derived.training.targets, "q": self.basis.size}
        arrays = Array("products", shape), Array("finite", {"one": 1})
        return Tensors.of(self.derived.folder, f"forward-{self.derived.number:05d}", identity, *arrays)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes them."""
        cost = Cost(4e-5 * self.basis.size * self.derived.units, 4 * self.basis.size * self.derived.training.targets)
        needs = (self.basis.product.reference,)
        return Step(name, self.product, make_forward, self, needs, label, cost, on_device=True)


def make_reverse(store: ObjectStore, spec: Reverse, execution: Execution) -> None:
    """Run a training, take the weightings back through it and store the products; zeros if it diverged."""
    weightings = random_weightings(spec.first + spec.probes, spec.derived.training.targets, spec.seed)[spec.first :]
    began = time.process_time()
    with fast_arithmetic(available_device(execution.device)):
        trajectory = spec.derived.run(execution)
        parts = [reverse_products(trajectory, part) for part in weightings.split(AT_ONCE)]
    write_products(store, spec.product, torch.cat(parts).cpu().numpy(), began)


def find_basis(store: ObjectStore, spec: CommonBasis) -> None:
    """Store the common basis; trainings that diverged are left out."""
    pooled = torch.from_numpy(pooled_products(store, spec))
    basis = common_basis(pooled, pooled)
    vectors = np.zeros((len(basis.vectors), spec.size), np.float32)
    vectors[:, : basis.vectors.shape[1]] = basis.vectors.numpy()
    spec.product.write(store, {"vectors": vectors, "shares": basis.shares.numpy().astype(np.float32)})


def pooled_products(store: ObjectStore, spec: CommonBasis) -> Float[np.ndarray, "probes train"]:
    """Return what a basis is made from: each side's reverse products, summed over its trainings."""
    return np.concatenate([_summed(store, own) for own in (spec.a, spec.b)])


def make_forward(store: ObjectStore, spec: Forward, execution: Execution) -> None:
    """Run a training, carry the basis through it and store the products; zeros if it diverged."""
    vectors = torch.from_numpy(spec.basis.product.read(store)["vectors"]).T
    began = time.process_time()
    with fast_arithmetic(available_device(execution.device)):
        trajectory = spec.derived.run(execution)
        parts = [forward_products(trajectory, part) for part in vectors.split(AT_ONCE)]
    write_products(store, spec.product, torch.cat(parts).T.cpu().numpy(), began)


def read_finite(store: ObjectStore, product: Tensors) -> Float[np.ndarray, "rows columns"] | None:
    """Return products, None if their training diverged."""
    arrays = product.read(store)
    return arrays["products"] if arrays["finite"][0] else None


def seconds_of(store: ObjectStore, products: Iterable[Tensors]) -> float:
    """Return the processor seconds that some products took, leaving out those that were not measured."""
    return sum(read_time(store, product.reference.record) or 0.0 for product in products)


def write_products(store: ObjectStore, product: Tensors, found: np.ndarray, began: float) -> None:
    """Store products with whether they are finite, zeros if not, and the time since `began`."""
    finite = bool(np.isfinite(found).all())
    kept = np.ascontiguousarray(found if finite else np.zeros_like(found), np.float32)
    write_time(store, product.reference.record, time.process_time() - began)
    product.write(store, {"products": kept, "finite": np.array([finite], np.uint8)})


def _summed(store: ObjectStore, own: tuple[Reverse, ...]) -> Float[np.ndarray, "probes train"]:
    found = [products for one in own if (products := read_finite(store, one.product)) is not None]
    if not found:
        folder = own[0].derived.folder
        raise Diverged(
            f"all {len(own)} trainings of {folder} have derivatives that are not finite. Lower recipe.learning_rate"
        )
    return np.asarray(np.sum(found, axis=0, dtype=np.float64))
