"""Ridge regression on disjoint parts of the models, linear in the margins, whose products hold no noise.

With X̃ the centered masks of the m models of a part, v the mean of X̃² and ρ the penalty,

    K = (X̃ᵀX̃/m + ρ·v·I)⁻¹ X̃ᵀ/m        [train, models],   θ̂ = K·y.

The errors of two parts are independent, so that ⟨θ̂⁽⁰⁾, θ̂⁽¹⁾⟩ holds no noise in expectation. And K is linear:
margins whose expectations are proportional have datamodels whose expectations are proportional, whatever the
noise of either. The lasso is not linear: at a penalty that its own noise chose it shrinks a noisier algorithm's
datamodels otherwise. Each part has an inverse of its own. With one of all models the deviations of the parts'
X̃ᵀX̃ from their mean are opposite, and a product loses the part n/m of what it should hold.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_factor, cho_solve

LEAST_PENALTY, LARGEST_PENALTY = 0.05, 20.0
LARGEST_FACTOR = 4.0
"""Most by which predictions of a ridge are lengthened."""
SIGNAL = 0.02
"""Least share of margins' variance that the penalty takes datamodels to explain."""


@dataclass(frozen=True)
class SplitRidge:
    """K of each part; its columns sum to zero, so that margins need not be centered.

    Attributes:
        rows: Models of each part.
        columns: K.
        masks: Which training examples each model saw.
    """

    rows: tuple[Int[np.ndarray, " part"], ...]
    columns: tuple[Float[np.ndarray, "train part"], ...]
    masks: Bool[np.ndarray, "models train"]

    @property
    def parts(self) -> Iterator[tuple[Int[np.ndarray, " part"], Float[np.ndarray, "train part"]]]:
        """Rows and K of each part."""
        return zip(self.rows, self.columns, strict=True)

    def fit(self, part: int, margins: Float[np.ndarray, "part targets"]) -> Float[np.ndarray, "targets train"]:
        """Return the datamodels of one part from its models' margins."""
        return np.asarray((self.columns[part] @ margins).T)

    def lengths(
        self, part: int, outside: Float[np.ndarray, "train directions"] | None = None
    ) -> Float[np.ndarray, " part"]:
        """Return ‖K_i‖² of each model of a part, in the complement of orthonormal directions if there are any.

        Times the squared margin of the model this is what its noise adds to the squared length of a datamodel.
        """
        columns = self.columns[part]
        found = np.einsum("ij,ij->j", columns, columns)
        if outside is not None:
            along = outside.T @ columns
            found = found - np.einsum("ij,ij->j", along, along)
        return np.asarray(found)

    def along(
        self, part: int, directions: Float[np.ndarray, "train directions"]
    ) -> Float[np.ndarray, "part directions"]:
        """Return ⟨x̃_i, v⟩ of each model of a part and direction v, x̃ its centered mask."""
        x = self.masks[self.rows[part]].astype(np.float32) @ directions
        return np.asarray(x - x.mean(0))


def split_ridge(masks: Bool[np.ndarray, "models train"], share: float, part: Int[np.ndarray, " models"]) -> SplitRidge:
    """Return K of every part.

    Args:
        masks: Which training examples each model saw.
        share: r² of ``ridge_penalty``.
        part: The number of each model's part, from 0.
    """
    rows, columns = [], []
    for number in range(int(part.max()) + 1):
        chosen = np.flatnonzero(part == number)
        rows.append(chosen)
        columns.append(_operator(masks[chosen].astype(np.float32), ridge_penalty(share, len(chosen), masks.shape[1])))
    return SplitRidge(tuple(rows), tuple(columns), masks)


def _operator(x: Float[np.ndarray, "models train"], penalty: float) -> Float[np.ndarray, "train models"]:
    x -= x.mean(0)
    models, train = x.shape
    ridge = np.float32(penalty * np.mean(np.square(x)) * models)
    small = x.T @ x if train <= models else x @ x.T
    small[np.diag_indices(len(small))] += ridge
    factor = cho_factor(small, overwrite_a=True, check_finite=False)
    if train <= models:
        return np.ascontiguousarray(cho_solve(factor, x.T, check_finite=False))
    return np.ascontiguousarray(cho_solve(factor, x, check_finite=False).T)


def left_out(
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "models targets"],
    columns: Float[np.ndarray, "train models"],
) -> Float[np.ndarray, "models targets"]:
    """Return (y − X̃·K·y)_i/(1 − h_i), h_i = ⟨x̃_i, K_i⟩, of one part's models: how far each is off the others' fit."""
    x = masks.astype(np.float32)
    x -= x.mean(0)
    around = margins - margins.mean(0)
    leverage = np.einsum("ij,ji->i", x, columns)
    return np.asarray((around - x @ (columns @ around)) / np.maximum(1 - leverage, 0.05)[:, None])


def apart(
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "models targets"],
    columns: Float[np.ndarray, "train models"],
) -> Float[np.ndarray, "models targets"]:
    """Return y − b·ŷ of one part's models, ŷ what the fit of all others predicts and b = ``lengthening``."""
    around = margins - margins.mean(0)
    return apart_by(lengthening(masks, margins, columns), masks, around, columns)


def apart_by(
    factor: float,
    masks: Bool[np.ndarray, "models train"],
    values: Float[np.ndarray, "models columns"],
    columns: Float[np.ndarray, "train models"],
) -> Float[np.ndarray, "models columns"]:
    """Return y − b·ŷ of one part's models for a given b."""
    around = values - values.mean(0)
    return np.asarray(around - np.float32(factor) * (around - left_out(masks, values, columns)))


def lengthening(
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "models targets"],
    columns: Float[np.ndarray, "train models"],
) -> float:
    """Return b = signal/⟨y, ŷ⟩, one number for all targets, within 1 and LARGEST_FACTOR.

    A ridge predicts too little, so that y − ŷ holds a part of what masks explain and ⟨y, y − ŷ⟩ more than the noise.
    The signal is that of ``explained_share``, which no penalty shrinks.
    """
    around = margins - margins.mean(0)
    predicted = around - left_out(masks, margins, columns)
    signal = explained_share(masks, around) * around.size
    factor: float = signal / max(float(np.vdot(around, predicted)), 1e-30)
    return float(min(max(factor, 1.0), LARGEST_FACTOR))


def unfitted(
    masks: Bool[np.ndarray, "models train"],
    values: Float[np.ndarray, "models columns"],
    columns: Float[np.ndarray, "train models"],
) -> Float[np.ndarray, "models columns"]:
    """Return y − X̃·K·y of one part's models: what its own fit leaves."""
    x = masks.astype(np.float32)
    x -= x.mean(0)
    around = values - values.mean(0)
    return np.asarray(around - x @ (columns @ around))


def explained_share(masks: Bool[np.ndarray, "models train"], margins: Float[np.ndarray, "models targets"]) -> float:
    """Return the mean share of standardized margins' variance that masks explain linearly, without noise.

    Σ over pairs of different models of y_i·y_j·⟨x̃_i, x̃_j⟩/(m²·v): products of one model with itself, which
    hold its noise, are left out. Below zero by chance where masks explain nothing.
    """
    x = masks.astype(np.float32)
    x -= x.mean(0)
    models, variance = len(x), float(np.mean(np.square(x)))
    together = np.square(x.T @ margins).sum(0) - np.square(x).sum(1) @ np.square(margins)
    return float(together.mean() / (models**2 * variance))


def ridge_penalty(share: float, models: int, train: int) -> float:
    """Return ρ = (1 − r²)·n/(r²·m), the best penalty for datamodels with independent entries that explain r².

    Rounded to two digits, so that rounding elsewhere cannot change it.
    """
    share = min(max(share, SIGNAL), 0.98)
    best = (1 - share) * train / (share * models)
    return float(f"{min(max(best, LEAST_PENALTY), LARGEST_PENALTY):.2g}")
