"""Find the pixels that a classifier of handwritten digits looks at.

Random pixels are set to zero, and the margin of each test image is regressed on which pixels were left. The design, the
shards, the matrix, the regression and its score are ModelDiff's; this file holds the intervention and the experiment,
both found through the entry points in pyproject.toml.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from pydantic import BaseModel, Field
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from modeldiff_core.designs import Bernoulli
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.experiments.one_page import OnePage, OnePageStudy
from modeldiff_core.margins import correct_class_margin
from modeldiff_core.plan import Label, Wave, later
from modeldiff_core.report.figures import Plot, new_axes, plot
from modeldiff_core.report.theme import Theme
from modeldiff_core.responses import Intervention, Rows
from modeldiff_core.stages.gram import FOLDER as GRAMS
from modeldiff_core.stages.gram import gram_steps
from modeldiff_core.stages.matrix import MatrixSpec
from modeldiff_core.stages.regress import block_steps, read_datamodels, record_steps
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.score import Score
from modeldiff_core.stages.shards import shard_steps
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.training import Execution

SIDE = 8
TRAIN = 1200
"""The digits' images are 8 × 8 pixels; the first so many train the classifier, those after them are targets."""


@dataclass(frozen=True)
class Knockout(Intervention):
    """Set the pixels that a row lacks to zero in every target, and take the margin of a classifier's output.

    components, seed: of the Nystroem features that a ridge classifier is fitted on.
    """

    targets: int
    components: int
    seed: int
    kind: Literal["feature_knockout"] = "feature_knockout"

    @property
    def units(self) -> int:
        return SIDE * SIDE

    def respond(
        self, masks: Bool[np.ndarray, "rows units"], numbers: range, seeds: list[int], execution: Execution
    ) -> Float[np.ndarray, "rows targets"]:
        pixels, labels = (part[TRAIN : TRAIN + self.targets] for part in digits())
        model, correct = classifier(self.components, self.seed), torch.from_numpy(labels)
        outputs = (torch.from_numpy(model.decision_function(pixels * mask)).float() for mask in masks)
        return np.stack([correct_class_margin(output, correct).numpy() for output in outputs])


class KnockoutStudy(OnePageStudy):
    """The settings of a study; rows before `evaluation_rows` take no part in the regression and score it."""

    experiment: Literal["feature_knockout"] = "feature_knockout"
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.7
    rows: Annotated[int, Field(ge=1)] = 1000
    evaluation_rows: Annotated[int, Field(ge=3)] = 200
    targets: Annotated[int, Field(ge=2, le=500)] = 100
    components: Annotated[int, Field(ge=1, le=TRAIN)] = 200
    seed: int = 0


@dataclass(frozen=True)
class FeatureKnockout(OnePage):
    """The effect of each pixel on each target's margin, by least squares on random masks."""

    study: KnockoutStudy
    kind: ClassVar[str] = "feature_knockout"
    settings: ClassVar[type[BaseModel]] = KnockoutStudy

    @property
    def rows(self) -> Rows:
        """The outputs of all masks."""
        study = self.study
        knockout = Knockout(study.targets, study.components, study.seed)
        design = Bernoulli(knockout.units, study.keep, study.seed)
        return Rows("feature_knockout", knockout, design, {"targets": study.targets}, shard_size=100)

    @property
    def matrix(self) -> MatrixSpec:
        """The outputs as one matrix."""
        return MatrixSpec(self.rows, self.study.rows)

    @property
    def regression(self) -> Regression:
        """Least squares on the rows after those kept for the score."""
        study, matrix = self.study, self.matrix
        return Regression(
            matrix=matrix.reference,
            folder=self.rows.home,
            targets=study.targets,
            units=self.rows.design.units,
            first=study.evaluation_rows,
            half=None,
            kind="least_squares",
            settings={},
            block_size=50,
        )

    @property
    def folders(self) -> tuple[str, ...]:
        return self.folder, self.rows.home

    @property
    def shared(self) -> tuple[str, ...]:
        return (GRAMS,)

    def check(self) -> list[str]:
        fitted = self.study.rows - self.study.evaluation_rows
        if fitted < self.rows.design.units:
            raise ConfigError("rows", f"at least {self.rows.design.units} more than evaluation_rows", self.study.rows)
        return []

    def work(self, store: ObjectStore) -> Iterator[Wave]:
        fits, name = {self.name: self.regression}, self.name
        shards = shard_steps(
            self.rows, self.study.rows, name, Label("margins without pixels", "knock out", unit="rows")
        )
        yield Wave("knocking out pixels", shards, noun="shards")
        yield Wave("gathering margins", (self.matrix.step(f"{name} matrix", Label("matrix")),))
        yield later("counting masks", "the margins are gathered", lambda: gram_steps(store, fits, Label("counts")))
        yield Wave("least squares", block_steps(fits, Label("blocks of weights", "regress")))
        yield Wave("completing weights", record_steps(fits, Label("weights")))
        yield Wave("score", (Score(self.regression).step(f"{name} score", Label("score")),))

    def summarize(self, store: ObjectStore) -> Mapping[str, Any]:
        weights = read_datamodels(store, self.regression).weights
        score = read_record(store, Score(self.regression).reference.record)
        return {
            "lds": {name: score["lds"][name] for name in ("mean", "ci_low", "ci_high")},
            "weights": [float(weight) for weight in weights.mean(0)],
            "strength": [float(strength) for strength in np.abs(weights).mean(0)],
        }

    def present(self, summary: Mapping[str, Any]) -> Shown:
        lds, strength = summary["lds"], np.array(summary["strength"])
        strongest, idle = np.argsort(-strength)[:10], int((strength < 0.1 * strength.max()).sum())
        rows = [
            {"row": int(at) // SIDE, "column": int(at) % SIDE, "mean weight": round(summary["weights"][at], 3),
             "mean size": round(float(strength[at]), 3)}
            for at in strongest
        ]  # fmt: skip
        row, column = divmod(int(strongest[0]), SIDE)
        findings = (
            f"The pixel in row {row}, column {column} moves margins most; {idle} of {len(strength)} pixels move them "
            "less than a tenth as much.",
            f"On masks that played no part, predicted and actual margins have a mean rank correlation of "
            f"{lds['mean']:.3f} (95 % interval {lds['ci_low']:.3f} to {lds['ci_high']:.3f}).",
        )
        return Shown(
            "Pixels that a classifier looks at", findings, (Table("Strongest pixels", rows, "Of all targets"),)
        )

    def plots(self, store: ObjectStore, summary: Mapping[str, Any]) -> Mapping[str, Plot]:
        strength = np.array(summary["strength"]).reshape(SIDE, SIDE)

        def paint(figure: Figure, theme: Theme) -> None:
            axes = new_axes(figure, theme)
            figure.colorbar(axes.imshow(strength, cmap="viridis"), ax=axes).ax.tick_params(colors=theme.muted)

        return {"Mean size of each pixel's weight": plot(paint, 420, 360)}


def digits() -> tuple[Float[np.ndarray, "examples units"], np.ndarray]:
    """Return pixels in 0..1 and labels."""
    pixels, labels = load_digits(return_X_y=True)
    return pixels / 16, labels


@lru_cache(maxsize=4)
def classifier(components: int, seed: int) -> Pipeline:
    """Return the classifier that is looked into; it is kept for the next shard in the same process."""
    pixels, labels = digits()
    features = Nystroem(gamma=0.05, n_components=components, random_state=seed)
    return make_pipeline(features, RidgeClassifier(alpha=0.1)).fit(pixels[:TRAIN], labels[:TRAIN])
