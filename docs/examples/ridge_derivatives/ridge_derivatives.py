"""Ask whether two ways of training differ in which training examples move which test outputs.

A training is a ridge classifier on random features, and its result a matrix: the derivative of every test output with
respect to the weight of every training example, by finite differences. Both sides are trained several times with other
random features. Whole trainings are what is exchanged between the sides to find out which differences chance makes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import RBFSampler

from modeldiff_core.designs import Everything
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.experiments.one_page import OnePage, OnePageStudy
from modeldiff_core.identity import generator
from modeldiff_core.plan import Array, Label, Step, Tensors, Wave
from modeldiff_core.report.figures import Plot, new_axes, plot
from modeldiff_core.report.theme import Theme
from modeldiff_core.responses import Intervention, Rows, shards_of
from modeldiff_core.stages.shards import shard_steps
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution

FOLDER = "ridge_derivatives"
STEP = 0.01
"""How much an example's weight is raised and lowered from 1."""
Trainings = Float[np.ndarray, "trainings targets train"]


@dataclass(frozen=True)
class Derivatives(Intervention):
    """Train a row to tell 3 from 8, and take derivatives of y·f(x) with respect to the weights of training examples.

    side: keeps the random features of one side apart from those of the other. hidden: columns on the left of every
    image that the classifier does not see.
    """

    side: str
    hidden: int
    train: int
    targets: int
    kind: Literal["ridge_derivatives"] = "ridge_derivatives"

    @property
    def units(self) -> int:
        return self.train

    def respond(
        self, masks: Bool[np.ndarray, "rows units"], numbers: range, seeds: list[int], execution: Execution
    ) -> Float[np.ndarray, "rows targets train"]:
        return np.stack([self._training(mask, number) for mask, number in zip(masks, numbers, strict=True)])

    def _training(self, mask: Bool[np.ndarray, " units"], number: int) -> Float[np.ndarray, "targets train"]:
        pixels, signs = threes_and_eights(self.hidden)
        seed = int(generator("features", self.side, number).integers(2**31))
        features = RBFSampler(gamma=0.3, n_components=100, random_state=seed).fit_transform(pixels)
        x, y = features[: self.train], signs[: self.train]
        shown, answers = features[self.train :][: self.targets], signs[self.train :][: self.targets]

        def outputs(weights: Float[np.ndarray, " train"]) -> Float[np.ndarray, " targets"]:
            weighted = x.T * weights
            fitted = np.linalg.solve(weighted @ x + np.eye(len(weighted)), weighted @ y)
            return np.asarray(answers * (shown @ fitted))

        weights, nudges = mask.astype(float), STEP * np.eye(self.train)
        return np.stack([(outputs(weights + n) - outputs(weights - n)) / (2 * STEP) for n in nudges], axis=1)


@dataclass(frozen=True)
class Exchange:
    """The differences between the mean derivatives of two sides, and the largest of each exchange of trainings."""

    a: Rows
    b: Rows
    trainings: int
    draws: int
    seed: int

    @property
    def product(self) -> Tensors:
        """Differences in units of the standard deviation over all trainings, and the null, in the store."""
        differences, maxima = Array("differences", self.a.axes), Array("maxima", {"draws": self.draws})
        return Tensors.of(FOLDER, "exchange", self, differences, maxima)

    def step(self) -> Step:
        """Return the step that compares the sides."""
        count = shards_of(self.trainings, self.a.shard_size)
        needs = tuple(rows.product(index).reference for rows in (self.a, self.b) for index in range(count))
        return Step("exchange", self.product, exchange_trainings, self, needs, Label("exchange"))

    def read(self, store: ObjectStore, rows: Rows) -> Trainings:
        """Return the derivatives of all trainings of one side."""
        shards = range(shards_of(self.trainings, rows.shard_size))
        return np.concatenate([rows.read(store, index) for index in shards])[: self.trainings]


def exchange_trainings(store: ObjectStore, spec: Exchange) -> None:
    """Compare the sides as they are, and with whole trainings dealt to them anew in every draw."""
    trainings = np.concatenate([spec.read(store, rows) for rows in (spec.a, spec.b)]).astype(np.float64)
    spread = trainings.std(0)  # no exchange changes it
    sides = np.repeat([1.0, -1.0], spec.trainings) / spec.trainings

    def differences(weights: Float[np.ndarray, " trainings"]) -> Float[np.ndarray, "targets train"]:
        difference = np.tensordot(weights, trainings, 1)
        return np.asarray(np.divide(difference, spread, out=np.zeros_like(spread), where=spread > 0))

    dealt = (generator("exchange", spec.seed, draw).permutation(sides) for draw in range(spec.draws))
    maxima = np.array([np.abs(differences(weights)).max() for weights in dealt])
    spec.product.write(store, {"differences": differences(sides), "maxima": maxima})


def threes_and_eights(hidden: int) -> tuple[Float[np.ndarray, "examples pixels"], Float[np.ndarray, " examples"]]:
    """Return the pixels, in 0..1, of threes and eights without some columns, and −1 or 1 for each."""
    pixels, labels = load_digits(return_X_y=True)
    chosen = np.isin(labels, (3, 8))
    images = pixels[chosen].reshape(-1, 8, 8) / 16
    return images[:, :, hidden:].reshape(len(images), -1), np.where(labels[chosen] == 3, -1.0, 1.0)


class RidgeStudy(OnePageStudy):
    """The settings of a study; hidden_a, hidden_b: columns that each side does not see."""

    experiment: Literal["ridge_derivatives"] = "ridge_derivatives"
    hidden_a: Annotated[int, Field(ge=0, le=7)] = 0
    hidden_b: Annotated[int, Field(ge=0, le=7)] = 4
    trainings: Annotated[int, Field(ge=3)] = 8
    train: Annotated[int, Field(ge=2, le=250)] = 100
    targets: Annotated[int, Field(ge=1, le=100)] = 40
    draws: Annotated[int, Field(ge=1)] = 499
    seed: int = 0


@dataclass(frozen=True)
class RidgeDerivatives(OnePage):
    """The largest difference between the derivatives of two sides, against exchanges of whole trainings."""

    study: RidgeStudy
    kind: ClassVar[str] = "ridge_derivatives"
    settings: ClassVar[type[BaseModel]] = RidgeStudy
    shared: ClassVar[tuple[str, ...]] = (FOLDER,)

    @property
    def folders(self) -> tuple[str, ...]:
        return self.folder, self.exchange.a.home, self.exchange.b.home

    @property
    def exchange(self) -> Exchange:
        """The comparison of both sides."""
        study = self.study
        return Exchange(
            self.side("a", study.hidden_a), self.side("b", study.hidden_b), study.trainings, study.draws, study.seed
        )

    def side(self, name: str, hidden: int) -> Rows:
        """Return the trainings of one side, two in a shard."""
        derivatives = Derivatives(name, hidden, self.study.train, self.study.targets)
        axes = {"targets": self.study.targets, "train": self.study.train}
        return Rows(f"derivatives_{name}", derivatives, Everything(self.study.train), axes, "y·f(x)", 2)

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        exchange, label = self.exchange, Label("trainings", "train", unit="trainings")
        shards = [shard_steps(rows, self.study.trainings, rows.name, label) for rows in (exchange.a, exchange.b)]
        yield Wave("training", (*shards[0], *shards[1]), noun="shards", verb="train")
        yield Wave("exchange", (exchange.step(),))

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        found = self.exchange.product.read(store)
        sizes = np.abs(found["differences"])
        target, example = np.unravel_index(sizes.argmax(), sizes.shape)
        p = (1 + int((found["maxima"] >= sizes.max()).sum())) / (1 + self.study.draws)
        return {"largest": float(sizes.max()), "target": int(target), "example": int(example), "p": p}

    def present(self, summary: Mapping[str, Any]) -> Shown:
        verdict = "differ" if summary["p"] <= 0.05 else "may be alike"
        row = {name: summary[name] for name in ("target", "example", "largest", "p")}
        findings = (
            f"The sides {verdict}: their largest difference, {summary['largest']:.2f} standard deviations, is reached "
            f"by chance with p = {summary['p']:.3f}.",
        )
        return Shown("Derivatives of two ways of training", findings, (Table("Largest difference", [row]),))

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        maxima = self.exchange.product.read(store)["maxima"]

        def paint(figure: Figure, theme: Theme) -> None:
            axes = new_axes(figure, theme)
            axes.hist(maxima, bins=30, color=theme.faint)
            axes.axvline(summary["largest"], color=theme.a)

        return {"The largest difference (line) and those of all exchanges": plot(paint, 520, 320)}
