"""Train a network, rank the pixels of every image from it, and train networks again on the highest pixels alone.

The shares of pixels and the learning rates form a grid. Networks keep checkpoints in the store and go on from them; one
whose rate is too large is a recorded failure. The best are repeated with random pixels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from sklearn.datasets import load_digits
from torch import Tensor, nn

from modeldiff_core.designs import Factor, Grid
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.experiments.one_page import OnePage, OnePageStudy
from modeldiff_core.identity import generator
from modeldiff_core.plan import Array, Checkpoint, Cost, Label, RecordedFailure, Step, Tensors, Wave, later
from modeldiff_core.plan.failures import read_failure
from modeldiff_core.report.figures import Plot, new_axes, plot
from modeldiff_core.report.theme import Theme
from modeldiff_core.store import ObjectStore

FOLDER = "rank_and_mask"
PIXELS, CLASSES, TRAIN, TEST, BATCH = 64, 10, 1200, 500, 100
EVERY, DIVERGED = 100, 1e3
"""Steps from one checkpoint to the next, and a loss from which no network comes back."""


@dataclass(frozen=True)
class Ranking:
    """The pixels of every image, those first that move a first network's output most."""

    budget: int
    seed: int

    @property
    def product(self) -> Tensors:
        """The order of pixels in the store."""
        return Tensors.of(FOLDER, "ranking", self, Array("order", {"images": TRAIN + TEST, "pixels": PIXELS}))

    def step(self) -> Step:
        return Step("ranking", self.product, rank_pixels, self, scratch=Checkpoint.of(self.product).prefix)

    def steps(self, rate: float) -> int:
        """Return how many steps a network takes at a learning rate."""
        return max(20, round(self.budget / rate))


@dataclass(frozen=True)
class Cell:
    """A network for images that keep a share of their pixels; such images have the identity of their ranking."""

    ranking: Ranking
    kept: float
    learning_rate: float
    order: Literal["ranked", "random"] = "ranked"

    @property
    def product(self) -> Tensors:
        """The network's logits for the test images in the store."""
        return Tensors.of(FOLDER, "cell", self, Array("logits", {"images": TEST, "classes": CLASSES}))

    def step(self) -> Step:
        product, steps = self.product, self.ranking.steps(self.learning_rate)
        name = f"{self.kept:g} of the pixels, {self.order}, at rate {self.learning_rate:g}"
        needs, label = (self.ranking.product.reference,), Label(f"networks on {self.order} pixels", unit="steps")
        cost, scratch = Cost(1e-3 * steps, units=steps), Checkpoint.of(product).prefix
        return Step(name, product, train_cell, self, needs, label, cost, scratch=scratch)

    def accuracy(self, store: ObjectStore) -> float | None:
        """Return its share of right answers, None if it diverged; raises FileNotFoundError before it is there."""
        if read_failure(store, self.product.reference):
            return None
        return float((self.product.read(store)["logits"].argmax(1) == digits()[1][TRAIN:].numpy()).mean())


def rank_pixels(store: ObjectStore, spec: Ranking) -> None:
    """Train the first network and rank pixels by |pixel · ∂(largest logit)/∂pixel|."""
    pixels = digits()[0].requires_grad_()
    network = train(store, spec.product, pixels.detach(), 0.5, spec)
    (gradient,) = torch.autograd.grad(network(pixels).amax(1).sum(), pixels)
    order = (pixels * gradient).abs().argsort(dim=1, descending=True, stable=True)
    spec.product.write(store, {"order": order.numpy()})


def train_cell(store: ObjectStore, spec: Cell) -> None:
    """Train a network on masked images, and show it test images that are masked in the same way."""
    order = spec.ranking.product.read(store)["order"]
    if spec.order == "random":
        order = generator("order", spec.ranking.seed).permuted(order, axis=1)
    pixels = digits()[0]
    kept = torch.zeros_like(pixels).scatter_(1, torch.from_numpy(order[:, : round(spec.kept * PIXELS)]), 1)
    network = train(store, spec.product, pixels * kept, spec.learning_rate, spec.ranking)
    spec.product.write(store, {"logits": network((pixels * kept)[TRAIN:]).detach().numpy()})


def train(store: ObjectStore, product: Tensors, pixels: Tensor, rate: float, spec: Ranking) -> nn.Module:
    """Return a trained network, from its last checkpoint on; raises RecordedFailure if the loss explodes."""
    checkpoint, labels = Checkpoint.of(product), digits()[1]
    torch.manual_seed(spec.seed)
    network = nn.Sequential(nn.Linear(PIXELS, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    first, arrays = checkpoint.load(store)
    if arrays:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    descent = torch.optim.SGD(network.parameters(), rate)
    for step in range(first, spec.steps(rate)):
        if step > first and step % EVERY == 0:
            checkpoint.save(store, step, {name: weight.numpy() for name, weight in network.state_dict().items()})
        batch = generator("batch", spec.seed, step).integers(0, TRAIN, BATCH)
        loss = nn.functional.cross_entropy(network(pixels[batch]), labels[batch])
        if not loss < DIVERGED:
            raise RecordedFailure(f"diverged at step {step}", {"step": step, "rate": rate})
        descent.zero_grad()
        loss.backward()
        descent.step()
    return network


def digits() -> tuple[Tensor, Tensor]:
    """Return the pixels, in 0..1, and the labels of the training and, after them, the test images."""
    pixels, labels = load_digits(return_X_y=True)
    return torch.from_numpy(pixels[: TRAIN + TEST] / 16).float(), torch.from_numpy(labels[: TRAIN + TEST])


class RankAndMaskStudy(OnePageStudy):
    """The settings of a study; budget: steps at learning rate 1, a rate of 0.1 takes ten times as many."""

    experiment: Literal["rank_and_mask"] = "rank_and_mask"
    kept: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.05, 0.1, 0.2)
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = (0.05, 0.25, 1.0)
    budget: Annotated[int, Field(ge=20)] = 200
    seed: int = 0


@dataclass(frozen=True)
class RankAndMask(OnePage):
    """Accuracy by the share of pixels kept, those that a first network chose against random ones."""

    study: RankAndMaskStudy
    kind: ClassVar[str] = "rank_and_mask"
    settings: ClassVar[type[BaseModel]] = RankAndMaskStudy
    shared: ClassVar[tuple[str, ...]] = (FOLDER,)

    @property
    def cells(self) -> list[Cell]:
        """The networks of the grid."""
        ranking = Ranking(self.study.budget, self.study.seed)
        grid = Grid((Factor("kept", self.study.kept), Factor("learning_rate", self.study.learning_rates)))
        levels = map(grid.cell, range(len(grid)))
        return [Cell(ranking, float(one["kept"]), float(one["learning_rate"])) for one in levels]

    def controls(self, store: ObjectStore) -> list[Cell]:
        """Return the best cell of each share with random pixels; raises FileNotFoundError without the grid."""
        found = [(accuracy, cell) for cell in self.cells if (accuracy := cell.accuracy(store)) is not None]
        best = {cell.kept: cell for _, cell in sorted(found, key=lambda one: one[0])}
        return [replace(best[kept], order="random") for kept in self.study.kept if kept in best]

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        yield Wave("ranking", (self.cells[0].ranking.step(),))
        yield Wave("retraining", tuple(cell.step() for cell in self.cells), noun="networks", verb="train")
        yield later("random pixels", "the grid is complete", lambda: [one.step() for one in self.controls(store)])

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        rows = []
        for cell in (*self.cells, *self.controls(store)):
            failure = read_failure(store, cell.product.reference) or {"reason": ""}
            row = {"pixels": cell.order, "kept": cell.kept, "learning rate": cell.learning_rate}
            rows.append({**row, "accuracy": cell.accuracy(store), "failure": failure["reason"]})
        return {"cells": rows}

    def present(self, summary: Mapping[str, Any]) -> Shown:
        ranked, random = best(summary, "ranked"), best(summary, "random")
        findings = tuple(
            f"On {kept:.0%} of the pixels a network is right about {ranked[kept]:.1%} of the test images if a first "
            f"network chose them, about {random[kept]:.1%} if chance did."
            for kept in random
        )
        columns = "pixels", "kept", "learning rate", "accuracy", "failure"
        rows = [{column: cell[column] for column in columns} for cell in summary["cells"]]
        return Shown("Networks on few pixels", findings, (Table("Networks", rows, "All that were trained"),))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        def paint(figure: Figure, theme: Theme) -> None:
            axes = new_axes(figure, theme)
            for order, color in (("ranked", theme.a), ("random", theme.b)):
                axes.plot(*zip(*best(summary, order).items(), strict=True), marker="o", color=color, label=order)
            axes.legend(frameon=False, labelcolor=theme.ink)

        return {"Best accuracy by the share of pixels kept": plot(paint, 520, 360)}


def best(summary: Mapping[str, Any], order: str) -> dict[float, float]:
    """Return the best accuracy at each share of pixels kept."""
    cells = [cell for cell in summary["cells"] if cell["pixels"] == order and not cell["failure"]]
    return {cell["kept"]: cell["accuracy"] for cell in sorted(cells, key=lambda cell: (cell["kept"], cell["accuracy"]))}
