"""Stage: how well attributions predict outputs under ablations that played no part in making them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.datamodels import Datamodels
from modeldiff_core.datamodels.least_squares import LeastSquares
from modeldiff_core.datamodels.ridge import Ridge
from modeldiff_core.datamodels.standard_errors import weight_errors
from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.interactions import explained_by_pairs
from modeldiff_core.evaluation.lds import scores_with_intervals
from modeldiff_core.experiments.components.baselines import (
    FOLDER,
    Attributions,
    Gradients,
    left_out,
    random_attributions,
)
from modeldiff_core.plan import Label, Record, Reference, Step, refer
from modeldiff_core.plan.products import read_digested
from modeldiff_core.stages.matrix import MatrixSpec
from modeldiff_core.stages.regress import read_datamodels
from modeldiff_core.stages.regression import Regression
from modeldiff_core.store import MarginMatrix, ObjectStore, write_record

VERSION = 2
FITTED, ALONE = "regression", "leave_one_out"
METHODS = FITTED, ALONE, "gradient_parameter", "conductance", "influence", "random"
"""Attributions in the order of the tables."""


@dataclass(frozen=True)
class ComponentScores:
    """Scores of every method on every test, of one network.

    tests: the matrix of each share of ablated components. seed: of the random order.
    """

    regression: Regression
    alone: MatrixSpec
    gradients: Gradients
    tests: tuple[tuple[float, MatrixSpec], ...]
    seed: int

    @property
    def reference(self) -> Reference:
        """Where the record is."""
        identity = {
            "version": VERSION,
            "datamodels": self.regression.reference.digest,
            "alone": self.alone.reference.digest,
            "gradients": self.gradients.product.reference.digest,
            "tests": [[alpha, matrix.reference.digest] for alpha, matrix in self.tests],
            "seed": self.seed,
        }
        return refer(FOLDER, "scores", identity)

    def step(self, name: str, label: Label) -> Step:
        """Return the step that makes it."""
        parts = (self.alone.reference, *(matrix.reference for _, matrix in self.tests))
        needs = (self.regression.reference, self.gradients.product.reference, *parts)
        return Step(name, Record(self.reference), score_components, self, needs, label)

    def read(self, store: ObjectStore) -> dict[str, Any]:
        """Return the record, checked."""
        return read_digested(store, self.reference)


def attributions(store: ObjectStore, spec: ComponentScores) -> dict[str, Attributions]:
    """Return the attributions [targets, components] of every method."""
    fitted = read_datamodels(store, spec.regression).weights
    gradients = spec.gradients.product.read(store)
    return {
        FITTED: fitted,
        ALONE: left_out(MarginMatrix.open(store, spec.alone.reference.key)),
        **{name: gradients[name] for name in METHODS[2:5]},
        METHODS[5]: random_attributions(fitted.shape[0], fitted.shape[1], spec.seed),
    }


def score_components(store: ObjectStore, spec: ComponentScores) -> None:
    """Write, for each share and method, the mean over targets of the correlation of predicted and true outputs.

    rho(z) is Pearson's correlation over fresh ablations of the output of target z and Σ_c mask_c·w_c (COAR, section 3),
    its mean has a 95 % interval over ablations and targets, both redrawn. Also: the share of the outputs' variance that
    the linear fit explains, 1 − MSE/variance, and what the network gives when nothing is ablated.
    """
    found, fitted = attributions(store, spec), read_datamodels(store, spec.regression)
    nothing = np.zeros(len(fitted.bias), np.float32)
    tests = []
    for alpha, matrix in spec.tests:
        opened = MarginMatrix.open(store, matrix.reference.key)
        valid = opened.valid()
        masks, outputs = opened.masks()[valid], opened.margins()[valid]
        scores = {
            name: scores_with_intervals(weights, fitted.bias if name == FITTED else nothing, masks, outputs)
            for name, weights in found.items()
        }
        residuals = outputs - masks @ fitted.weights.T - fitted.bias
        tests.append(
            {
                "pairs_of_layers": _pairs(store, spec, fitted, (masks, residuals.astype(np.float32))),
                "alpha": alpha,
                "rows": int(valid.sum()),
                "failed": int((~valid).sum()),
                "rho": {name: asdict(score.pearson) for name, score in scores.items()},
                "variance_explained": asdict(scores[FITTED].r2),
            }
        )
    whole = MarginMatrix.open(store, spec.alone.reference.key).margins()[0]
    low, high = _interval_of_means(store, spec, fitted)
    sizes = {name: np.abs(weights).mean(0) for name, weights in found.items()}
    write_record(
        store,
        spec.reference.record,
        {
            "digest": spec.reference.digest,
            "tests": tests,
            "unablated": {"mean": float(whole.mean()), "right": float((whole > 0).mean())},
            "weights": [float(value) for value in fitted.weights.mean(0)],
            "weights_low": low,
            "weights_high": high,
            "sizes": {name: [float(value) for value in values] for name, values in sizes.items()},
        },
    )


def _pairs(
    store: ObjectStore,
    spec: ComponentScores,
    fitted: Datamodels,
    fresh: tuple[Bool[np.ndarray, "others components"], Float[np.ndarray, "others targets"]],
) -> float | None:
    """Return the share of what the linear model leaves that pairs of layers explain; None for too few ablations."""
    opened = MarginMatrix.open(store, spec.regression.matrix.key)
    valid = opened.valid()
    masks = opened.masks()[valid]
    residuals = opened.margins()[valid] - masks @ fitted.weights.T - fitted.bias
    try:
        return explained_by_pairs(spec.gradients.ablated.components.layer_of, (masks, residuals), fresh)
    except ConfigError:
        return None


def _interval_of_means(
    store: ObjectStore, spec: ComponentScores, fitted: Datamodels
) -> tuple[list[float | None], list[float | None]]:
    """Return the ends of the 95 % interval, over ablations drawn again, of each component's mean weight over targets.

    Those of one fit of the outputs' mean at the median penalty; None where the estimator or few rows allow none.
    """
    opened, estimator = MarginMatrix.open(store, spec.regression.matrix.key), spec.regression.estimator
    valid = opened.valid()
    nothing: list[float | None] = [None] * spec.regression.units
    if not isinstance(estimator, Ridge | LeastSquares) or valid.sum() <= spec.regression.units + 2:
        return nothing, nothing
    mean = Datamodels(
        weights=fitted.weights.mean(0, keepdims=True),
        bias=fitted.bias.mean(keepdims=True),
        lambdas=np.median(fitted.lambdas, keepdims=True),
        duality_gap=fitted.duality_gap[:1],
        validation_r2=fitted.validation_r2[:1],
    )
    outputs = opened.margins()[valid].mean(1, keepdims=True, dtype=np.float64).astype(np.float32)
    half = 1.96 * weight_errors(opened.masks()[valid], outputs, mean)[0]
    low, high = ([float(value) for value in mean.weights[0] + sign * half] for sign in (-1, 1))
    return list(low), list(high)
