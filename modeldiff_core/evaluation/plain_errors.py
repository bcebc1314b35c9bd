"""Plain differences between two algorithms that predict a number: how far off their models are, and which way."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.evaluation.plain import LEAST, PlainDifferences, Quantity, Setting, measured
from modeldiff_core.statistics import holm

PredictionsA = Float[np.ndarray, "models_a targets 1"]
PredictionsB = Float[np.ndarray, "models_b targets 1"]


def plain_errors(
    a: PredictionsA,
    b: PredictionsB,
    numbers: Float[np.ndarray, " targets"],
    groups: Mapping[str, Bool[np.ndarray, " targets"]],
    setting: Setting,
) -> PlainDifferences:
    """Compare models trained on all data that predict a number, on the same examples; at least 2 of each algorithm.

    squared error: (f − y)², also within each group of at least LEAST examples, in variances of the training targets.
    absolute error: |f − y|. bias: f − y, both in standard deviations. Intervals and tests hold for new models and new
    examples. There is no agreement on classes.
    """
    of_a, of_b = (x[:, :, 0].astype(np.float64) - numbers for x in (a, b))
    rows: list[Quantity] = [
        measured("squared error", "", "variances", np.square(of_a), np.square(of_b), setting),
        measured("absolute error", "", "deviations", np.abs(of_a), np.abs(of_b), setting),
        measured("bias", "", "deviations", of_a, of_b, setting),
    ]
    for group, inside in groups.items():
        if inside.sum() >= LEAST:
            own = np.square(of_a[:, inside]), np.square(of_b[:, inside])
            rows.append(measured("squared error", group, "variances", *own, setting))
    adjusted = holm(np.array([row.difference.p for row in rows]))
    return PlainDifferences(
        tuple(replace(row, p_adjusted=float(p)) for row, p in zip(rows, adjusted, strict=True)), None
    )
