"""How large a difference is, measured on models that did not choose it, without noise and with intervals.

Directions of one half of the models are measured on the other, both ways, averaged. Along a unit vector v and
from the models i of a half, with u_i = ⟨K_i, v⟩ (comparison.split_ridge) and the contrast's margins z_i
(targets centered, weighted),

    q(v) = ‖Σ_i u_i·z_i‖² − Σ_i u_i²·⟨z_i, e_i⟩,

e_i what z_i is off the fit of all other models of the half: ⟨z_i, e_i⟩ is the squared noise of model i in
expectation, whatever it is for other models (Kline, Saggio and Sølvsten 2020), and noise cancels. The same of
A's and of B's margins alone is the variance along v under A and under B, B's at A's scale. The total difference
is Σ_t ⟨R_t⁽⁰⁾, R_t⁽¹⁾⟩, the trace of S.

**Unit.** All are divided by ½·Σ_t w_t²·(cos² φ_t·‖θ_A,t‖² + sin² φ_t·‖θ_B,t‖²), lengths without noise: the mean
squared length of A's and B's datamodels. A total of 0 means that both rely on the same examples, 2 that what
they rely on is unrelated.

**Slopes** of a direction are those of the half that measures it, outside the directions. The half that chose the
directions chose them with the errors of its own slopes in them, and those along which these errors happen to make the
difference large: at its slopes a difference comes out too large, by a sixth in simulated studies
(benchmarks/contrast_intervals.py). What the errors of the measuring half's slopes add to a square is estimated and
taken away (comparison.slope_errors).

**Intervals.** The variance of q is L + D with L + 2·D = Σ_i I_i², where I_i = 2·u_i·⟨r_i, Σ_j u_j·z_j⟩ is the
influence of model i and D = 2·Σ_{i≠j} u_i²·u_j²·⟨r_i, r_j⟩² the part that is there though nothing differs; r_i is e_i,
scaled to the variance of the target's noise. What the errors of slopes add is in I and in D, too. L grows with q, which
intervals take into account (``Estimate.of_square``); that of the total is a normal one. All are given the masks; the
unit is taken as known.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

from modeldiff_core.comparison.contrast import Contrast, Fits, Found, Sample, centered, find_contrast
from modeldiff_core.comparison.crossfit import matched
from modeldiff_core.comparison.noise import around_means, blocks_of, noise_factors
from modeldiff_core.comparison.slope_errors import slope_errors
from modeldiff_core.comparison.split_ridge import apart_by, lengthening
from modeldiff_core.comparison.totals import totals

LEAST_SHARE = 1e-6
"""Of the squared length of datamodels with their noise, the least that is taken for one without."""
HUGE = 1e75
"""Sizes beyond which the squares of a quotient's products are no numbers."""


@dataclass(frozen=True)
class Estimate:
    """A number with the interval that covers it at some level; not clipped where it cannot be negative."""

    value: float
    low: float
    high: float

    @classmethod
    def normal(cls, value: float, variance: float, level: float = 0.95) -> "Estimate":
        """Return the normal interval."""
        reach = float(norm.ppf((1 + level) / 2)) * float(np.sqrt(max(variance, 0.0)))
        return cls(value, value - reach, value + reach)

    @classmethod
    def of_square(cls, value: float, influence: Float[np.ndarray, " models"], twice: float, level: float) -> "Estimate":
        """Return the interval of a squared length whose variance grows with it.

        Of the variance L + D (``without_twice``), D is there though the length is 0 and L is in proportion to it: c·s,
        c = L/(value + √D). All s with (value − s)² ≤ z²·(D + L + c·(s − value)), as for a share (Wilson 1927). Normal
        intervals are too short where the value is too small by chance, and miss on that side.
        """
        g = float(norm.ppf((1 + level) / 2)) ** 2
        variance = without_twice(influence, twice)
        least = max(value, 0.0) + twice**0.5
        shift = g * (variance - twice) / (2 * least) if value > 0 and least > 0 else 0.0
        reach = float(np.sqrt(g * variance + shift**2))
        return cls(value, value + shift - reach, value + shift + reach)


@dataclass(frozen=True)
class EffectSizes:
    """Sizes of the directions of a contrast, in units of a datamodel's squared length.

    Attributes:
        contrast: Variance of the difference along each direction.
        under_a: Variance of A's datamodels along it.
        under_b: Of B's, at A's scale.
        totals: All that differs, over all directions, with slopes outside the first k of them, k = 0, 1, ...
        influence: Of every model on `contrast`, and in the columns after those on `totals`; models of B follow
            those of A where their masks differ. A last row is the deviation of what slopes add to totals.
        twice: What the sum of squared influences counts twice, for the same columns.
        influence_a: Of every model on `under_a`.
        influence_b: Of every model on `under_b`.
        twice_a: As `twice`, of `under_a`.
        twice_b: Of `under_b`.
        stability: Cosine of each direction's versions from the two halves.
        versions: The direction from each half.
        unit: By which all are divided.
        named: Directions that are taken for real, the first ones: outside them are the slopes of `total`.
    """

    contrast: Float[np.ndarray, " components"]
    under_a: Float[np.ndarray, " components"]
    under_b: Float[np.ndarray, " components"]
    totals: Float[np.ndarray, " counts"]
    influence: Float[np.ndarray, "rows columns"]
    twice: Float[np.ndarray, " columns"]
    influence_a: Float[np.ndarray, "models components"]
    influence_b: Float[np.ndarray, "models components"]
    twice_a: Float[np.ndarray, " components"]
    twice_b: Float[np.ndarray, " components"]
    stability: Float[np.ndarray, " components"]
    versions: Float[np.ndarray, "2 components train"]
    unit: float
    named: int = 0

    @property
    def total(self) -> float:
        """All that differs."""
        return float(self.totals[self.named])

    def naming(self, count: int) -> "EffectSizes":
        """Return the same sizes where the first `count` directions are real."""
        return replace(self, named=count)

    @property
    def of_total(self) -> Float[np.ndarray, " columns"]:
        """Weights of ``variance`` that choose the total."""
        weights = np.zeros(self.influence.shape[1])
        weights[len(self.contrast) + self.named] = 1
        return weights

    def variance(self, weights: Float[np.ndarray, " columns"]) -> float:
        """Return the variance of a weighted sum of the directions' differences and totals."""
        influence, twice = self._moments(weights)
        return max(0.0, float(np.square(influence).sum()) - twice)

    def _moments(self, weights: Float[np.ndarray, " columns"]) -> tuple[Float[np.ndarray, " rows"], float]:
        """Return influences on a weighted sum, and what their squares count twice."""
        return self.influence @ weights, float(np.square(weights) @ self.twice)

    def difference(self, index: int, level: float = 0.95) -> Estimate:
        """Return the difference along a direction with its interval."""
        return self.explained([index], level)

    def explained(self, chosen: list[int], level: float = 0.95) -> Estimate:
        """Return what some directions together hold of the difference."""
        weights = np.zeros(self.influence.shape[1])
        weights[chosen] = 1
        return Estimate.of_square(float(self.contrast[chosen].sum()), *self._moments(weights), level)

    def all_that_differs(self, level: float = 0.95) -> Estimate:
        """Return the total with its interval."""
        return Estimate.normal(self.total, self.variance(self.of_total), level)

    def share(self, chosen: list[int], level: float = 0.95) -> Estimate | None:
        """Return the share of all that differs which some directions explain; None where the total may be zero.

        Fieller's interval of the quotient Σq/D: all s for which Σq − s·D is not significantly different from 0.
        """
        top, bottom = self.explained(chosen).value, self.total
        weights = np.zeros(self.influence.shape[1])
        weights[chosen] = 1
        last = self.of_total
        both = float((self.influence @ weights) @ (self.influence @ last))
        return fieller(top, bottom, (without_twice(*self._moments(weights)), both, self.variance(last)), level)

    def under(self, which: str, index: int, level: float = 0.95) -> Estimate:
        """Return the variance along a direction under A ('a') or B ('b') with its interval."""
        values, influence, twice = (
            (self.under_a, self.influence_a, self.twice_a)
            if which == "a"
            else (self.under_b, self.influence_b, self.twice_b)
        )
        return Estimate.of_square(float(values[index]), influence[:, index], float(twice[index]), level)

    def ratio(self, index: int, level: float = 0.95) -> Estimate | None:
        """Return the larger of the variances under A and B over the smaller, by Fieller.

        The end of the interval is infinite where the smaller may be zero; None where the larger may be, too.
        """
        a, b = float(self.under_a[index]), float(self.under_b[index])
        i_a, i_b = self.influence_a[:, index], self.influence_b[:, index]
        v_a, v_b = without_twice(i_a, float(self.twice_a[index])), without_twice(i_b, float(self.twice_b[index]))
        both = float(i_a @ i_b)
        if a >= b:
            return fieller(a, b, (v_a, both, v_b), level, unbounded=True)
        return fieller(b, a, (v_b, both, v_a), level, unbounded=True)


def without_twice(influence: Float[np.ndarray, " models"], twice: float) -> float:
    """Return a variance from squared influences, of which the part that is there though nothing differs counts twice.

    Σ_i I_i² = L + 2·D in expectation for a variance of L + D, D = `twice`. L is 0 or more and D is known well: where
    influences are small by chance, which they are where the size is, L + D with the L of 0 or more that they leave.
    """
    return twice + max(0.0, float(np.square(influence).sum()) - 2 * twice)


def fieller(
    top: float, bottom: float, covariance: tuple[float, float, float], level: float, *, unbounded: bool = False
) -> Estimate | None:
    """Return top/bottom with Fieller's interval.

    Args:
        top: Numerator.
        bottom: Denominator.
        covariance: Of the numerator, of both, of the denominator.
        level: Of the interval.
        unbounded: Give an infinite end where the denominator may be zero but the numerator may not; else None.

    None also where a value is not finite, or its square would not be: margins of one algorithm that hardly depend on
    the training examples make slopes, and all that is measured at them, as large as that.
    """
    v_top, both, v_bottom = covariance
    if not all(abs(value) < HUGE for value in (top, bottom, *covariance)):
        return None
    g = float(norm.ppf((1 + level) / 2)) ** 2
    square, linear, constant = bottom**2 - g * v_bottom, top * bottom - g * both, top**2 - g * v_top
    if square > 0 and bottom > 0:
        inside = max(linear**2 - square * constant, 0.0) ** 0.5
        return Estimate(top / bottom, (linear - inside) / square, (linear + inside) / square)
    if not unbounded or constant <= 0 or top <= 0:
        return None
    # All s ≥ 0 with (top − s·bottom)² ≤ g·variance: beyond the smaller root where there is no larger one.
    inside = max(linear**2 - square * constant, 0.0) ** 0.5
    low = constant / (linear + inside) if linear + inside > 0 else 0.0
    return Estimate(top / bottom if bottom > 0 else np.inf, max(low, 0.0), np.inf)


def effect_sizes(sample: Sample, fits: Fits, contrast: Contrast, found: Found) -> EffectSizes:
    """Return the sizes of a contrast's directions.

    Args:
        sample: The margins.
        fits: Their datamodels.
        contrast: Without directions removed.
        found: Its directions, which those of each half are matched to.
    """
    count = len(found.directions)
    models = len(sample.a) if sample.paired else len(sample.a) + len(sample.b)
    unit = squared_length(fits, contrast, found.angles) / 2
    values = np.zeros((3, count))
    influences, twice = np.zeros((3, models, count)), np.zeros((3, count))
    versions = []
    for half in (0, 1):
        own = find_contrast(contrast, sample.fits_within(half), count).directions
        own = own[matched(found.directions, own)]
        own = own * np.where(np.einsum("ij,ij->i", own, found.directions) < 0, -1, 1)[:, None].astype(own.dtype)
        versions.append(own)
        angles = contrast.fixed
        if angles is None:
            errors = slope_errors(fits, blocks_of(sample, 1 - half), contrast.weights, own, (1 - half, models))
            angles = errors.angles
            values -= errors.bias / (2 * unit)
            influences += errors.influence / (2 * unit)
            twice += errors.twice / (2 * unit) ** 2
        measured = _along(sample, contrast.weights, angles, own, 1 - half)
        for which, (value, influence, counted, rows) in enumerate(measured):
            values[which] += value / (2 * unit)
            influences[which][rows] += influence.T / (2 * unit)
            twice[which] += counted / (2 * unit) ** 2
    whole, of_totals, totals_twice = totals(sample, fits, contrast, found.directions, np.stack(versions))
    return EffectSizes(
        contrast=values[0],
        under_a=values[1],
        under_b=values[2],
        totals=whole / unit,
        influence=np.column_stack([np.vstack([influences[0], np.zeros(count)]), of_totals / unit]),
        twice=np.append(twice[0], totals_twice / unit**2),
        influence_a=influences[1],
        influence_b=influences[2],
        twice_a=twice[1],
        twice_b=twice[2],
        stability=np.einsum("ij,ij->i", *versions),
        versions=np.stack(versions),
        unit=unit,
    )


def more_under_a(fits: Fits, contrast: Contrast, found: Found) -> Bool[np.ndarray, " components"]:
    """Return whether A's datamodels vary more along each direction than B's at A's scale.

    From products between both halves along the direction of all models. The sizes above are those of the halves' own
    versions, which are worse directions and may lie on the other side where the difference is weak.
    """
    along = []
    for f, rows in ((np.cos, fits.a), (np.sin, fits.b)):
        first, second = centered((rows[0] * _column(contrast, f, found), rows[1] * _column(contrast, f, found)))
        along.append(np.einsum("ij,ij->j", first @ found.directions.T, second @ found.directions.T))
    return np.asarray(along[0] >= along[1])


def _column(contrast: Contrast, part: np.ufunc, found: Found) -> Float[np.ndarray, "targets 1"]:
    return np.asarray((contrast.weights * part(found.angles)).astype(np.float32)[:, None])


def squared_length(fits: Fits, contrast: Contrast, angles: Float[np.ndarray, " targets"]) -> float:
    """Return Σ_t w_t²·(cos² φ_t·‖θ_A,t‖² + sin² φ_t·‖θ_B,t‖²) from products between the halves.

    At least LEAST_SHARE of the same with noise: where margins depend on no training example, products between halves
    are 0 or less by chance, and everything reported in this unit would be beyond all numbers.
    """

    def length(aa: np.ndarray, bb: np.ndarray) -> float:
        return float(np.square(contrast.weights) @ (np.cos(angles) ** 2 * aa + np.sin(angles) ** 2 * bb))

    aa, bb = (np.einsum("ij,ij->i", *pair) for pair in (fits.a, fits.b))
    noisy = [sum(np.square(half).sum(1, dtype=np.float64) for half in pair) / 2 for pair in (fits.a, fits.b)]
    return max(length(aa, bb), LEAST_SHARE * length(*noisy), float(np.finfo(np.float64).tiny))


Measured = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Values [components], influences [components, models], what they count twice [components], and which models."""


def _along(
    sample: Sample,
    weights: Float[np.ndarray, " targets"],
    angles: Float[np.ndarray, " targets"],
    directions: Float[np.ndarray, "components train"],
    half: int,
) -> list[Measured]:
    """Return q of the contrast, of A and of B along some directions on the models of a half."""
    shift = 0 if sample.paired else len(sample.a)
    a, b = (
        _side(sample, which, half, directions, (weights * f(angles)).astype(np.float32))
        for which, f in enumerate((np.cos, np.sin))
    )
    rows_a, rows_b = (operator.rows[half] for operator in sample.halves)
    if sample.paired:
        both: Measured = (*pair_sums(a.less(b)), rows_a)
    else:
        both = (*pair_sums(a.beside(b)), np.concatenate([rows_a, rows_b + shift]))
    return [both, (*pair_sums(a), rows_a), (*pair_sums(b), rows_b + shift)]


@dataclass(frozen=True)
class Drawn:
    """What models add to directions.

    Attributes:
        u: Of each model to each direction.
        z: Margins.
        off: What they are off the fit of all other models.
        own: What u is off the same: by it times the noise a model's `off` has to do with the sum of all.
    """

    u: Float[np.ndarray, "components models"]
    z: Float[np.ndarray, "models targets"]
    off: Float[np.ndarray, "models targets"]
    own: Float[np.ndarray, "components models"]

    def less(self, other: "Drawn") -> "Drawn":
        """Return the difference to the other algorithm's margins of the same models."""
        return Drawn(self.u, self.z - other.z, self.off - other.off, self.own)

    def beside(self, other: "Drawn") -> "Drawn":
        """Return the models of both, the other algorithm's with a negative sign."""
        z, off = (np.vstack(pair) for pair in ((self.z, other.z), (self.off, other.off)))
        return Drawn(np.hstack([self.u, -other.u]), z, off, np.hstack([self.own, -other.own]))


def _side(
    sample: Sample,
    which: int,
    half: int,
    directions: Float[np.ndarray, "components train"],
    factors: Float[np.ndarray, " targets"],
) -> Drawn:
    """Return what the models of one algorithm in a half add to directions."""
    operator = sample.halves[which]
    rows, columns = operator.rows[half], operator.columns[half]
    masks, margins = sample.masks[which][rows], (sample.a, sample.b)[which][rows]
    u, factor = directions @ columns, lengthening(masks, margins, columns)
    off = apart_by(factor, masks, margins, columns)
    own = apart_by(factor, masks, u.T, columns).T
    return Drawn(u, around_means(margins * factors), around_means(off * factors), own)


def pair_sums(
    drawn: Drawn,
) -> tuple[Float[np.ndarray, " components"], Float[np.ndarray, "components models"], Float[np.ndarray, " components"]]:
    """Return ‖Σ_i u_i·z_i‖² − Σ_i u_i²·⟨z_i, e_i⟩ of each direction, influences and ``twice``."""
    u, z, off = drawn.u, drawn.z, drawn.off
    whole = u @ z
    weights = np.square(u.astype(np.float64))
    own = np.einsum("ij,ij->i", z, off).astype(np.float64)
    value = np.einsum("ij,ij->i", whole, whole).astype(np.float64) - weights @ own
    noise = off * noise_factors(z, off)
    influence = 2 * u * (whole @ noise.T - drawn.own * own)
    squares = np.square(noise @ noise.T)
    squares[np.diag_indices(len(squares))] = 0
    twice = 2 * np.einsum("ij,ij->i", weights @ squares, weights)
    return value, influence, twice
