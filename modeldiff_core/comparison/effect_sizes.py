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

**Intervals.** The variance of q is Σ_i I_i² less what that counts twice, where I_i = 2·u_i·⟨r_i, Σ_j
u_j·z_j⟩ is the influence of model i and 2·Σ_{i≠j} u_i²·u_j²·⟨r_i, r_j⟩² the part that is there though nothing
differs; r_i are residuals of the half's own fit, scaled to the variance of the noise. What the errors of slopes add
is in the influences, too (``slope_influences``). Intervals are normal ones, given the masks; the unit is taken as
known.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import norm

from modeldiff_core.comparison.contrast import Contrast, Fits, Found, Sample, centered, find_contrast
from modeldiff_core.comparison.crossfit import matched
from modeldiff_core.comparison.slope_errors import slope_influences
from modeldiff_core.comparison.slopes import slope_angles
from modeldiff_core.comparison.split_ridge import apart, unfitted


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


@dataclass(frozen=True)
class EffectSizes:
    """Sizes of the directions of a contrast, in units of a datamodel's squared length.

    Attributes:
        contrast: Variance of the difference along each direction.
        under_a: Variance of A's datamodels along it.
        under_b: Of B's, at A's scale.
        totals: All that differs, over all directions, with slopes outside the first k of them, k = 0, 1, ...
        influence: Of every model on `contrast`, and in the columns after those on `totals`; models of B follow
            those of A where their masks differ.
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
    influence: Float[np.ndarray, "models columns"]
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
        return max(0.0, float(np.square(self.influence @ weights).sum() - np.square(weights) @ self.twice))

    def difference(self, index: int, level: float = 0.95) -> Estimate:
        """Return the difference along a direction with its interval."""
        return self.explained([index], level)

    def explained(self, chosen: list[int], level: float = 0.95) -> Estimate:
        """Return what some directions together hold of the difference."""
        weights = np.zeros(self.influence.shape[1])
        weights[chosen] = 1
        return Estimate.normal(float(self.contrast[chosen].sum()), self.variance(weights), level)

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
        both = (self.variance(weights + last) - self.variance(weights) - self.variance(last)) / 2
        return fieller(top, bottom, (self.variance(weights), both, self.variance(last)), level)

    def under(self, which: str, index: int, level: float = 0.95) -> Estimate:
        """Return the variance along a direction under A ('a') or B ('b') with its interval."""
        values, influence, twice = (
            (self.under_a, self.influence_a, self.twice_a)
            if which == "a"
            else (self.under_b, self.influence_b, self.twice_b)
        )
        variance = float(np.square(influence[:, index]).sum() - twice[index])
        return Estimate.normal(float(values[index]), variance, level)

    def ratio(self, index: int, level: float = 0.95) -> Estimate | None:
        """Return the larger of the variances under A and B over the smaller, by Fieller.

        The end of the interval is infinite where the smaller may be zero; None where the larger may be, too.
        """
        a, b = float(self.under_a[index]), float(self.under_b[index])
        i_a, i_b = self.influence_a[:, index], self.influence_b[:, index]
        v_a, v_b = i_a @ i_a - self.twice_a[index], i_b @ i_b - self.twice_b[index]
        both = float(i_a @ i_b)
        if a >= b:
            return fieller(a, b, (v_a, both, v_b), level, unbounded=True)
        return fieller(b, a, (v_b, both, v_a), level, unbounded=True)


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
    """
    v_top, both, v_bottom = covariance
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
        measured = _along(sample, fits, contrast, own, 1 - half)
        for which, (value, influence, counted, rows) in enumerate(measured):
            values[which] += value / (2 * unit)
            influences[which][rows] += influence.T / (2 * unit)
            twice[which] += counted / (2 * unit) ** 2
        if contrast.fixed is None:
            influences += slope_influences(sample, fits, contrast.weights, own, 1 - half) / (2 * unit)
    totals, of_totals, totals_twice = _totals(sample, fits, contrast, found.directions)
    return EffectSizes(
        contrast=values[0],
        under_a=values[1],
        under_b=values[2],
        totals=totals / unit,
        influence=np.column_stack([influences[0], of_totals / unit]),
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
    """Return Σ_t w_t²·(cos² φ_t·‖θ_A,t‖² + sin² φ_t·‖θ_B,t‖²) from products between the halves."""
    aa, bb = (np.einsum("ij,ij->i", *pair) for pair in (fits.a, fits.b))
    length = float(np.square(contrast.weights) @ (np.cos(angles) ** 2 * aa + np.sin(angles) ** 2 * bb))
    return max(length, float(np.finfo(np.float64).tiny))


def noise_factor(own: Float[np.ndarray, " models"], off: Float[np.ndarray, "models targets"]) -> np.float32:
    """Return by what residuals have to be multiplied to vary as noise does, within ½ and 2.

    √(Σ_i ⟨z_i, e_i⟩/Σ_i ‖residual_i‖²): the fit of other models has noise of its own, the one of all models takes some
    of the noise away.

    Args:
        own: ⟨z_i, e_i⟩ of each model.
        off: The residuals.
    """
    share = float(own.sum()) / max(float(np.vdot(off, off)), 1e-30)
    return np.float32(min(max(share, 0.25), 4.0) ** 0.5)


Measured = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Values [components], influences [components, models], what they count twice [components], and which models."""


def _along(
    sample: Sample, fits: Fits, contrast: Contrast, directions: Float[np.ndarray, "components train"], half: int
) -> list[Measured]:
    """Return q of the contrast, of A and of B along some directions on the models of a half.

    One factor of each product has the slopes of this half, the other those of the half that chose the
    directions: with the same slopes in both the square of their error would remain.
    """
    angles = [
        contrast.fixed if contrast.fixed is not None else slope_angles(*fits.products(h, directions.T)) for h in (0, 1)
    ]
    shift = 0 if sample.paired else len(sample.a)
    a, b = (
        _side(sample, which, half, directions, [contrast.weights * f(angle) for angle in angles])
        for which, f in enumerate((np.cos, np.sin))
    )
    rows_a, rows_b = (operator.rows[half] for operator in sample.halves)
    if sample.paired:
        both: Measured = (*pair_sums(a.less(b)), rows_a)
    else:
        both = (*pair_sums(a.beside(b)), np.concatenate([rows_a, rows_b + shift]))
    return [both, (*pair_sums(a), rows_a), (*pair_sums(b), rows_b + shift)]


Twofold = tuple[np.ndarray, np.ndarray]
"""Margins [models, targets] at the slopes of half 0 and of half 1."""


@dataclass(frozen=True)
class Drawn:
    """What models add to directions.

    Attributes:
        u: Of each model to each direction.
        z: Margins, which differ in their slopes.
        off: What they are off the fit of all other models.
        left: What the fit of all models leaves of the margins, and so is uncorrelated with what it holds.
        own: What the fit leaves of u: by it times the noise a model's `left` has to do with the sum of all.
    """

    u: Float[np.ndarray, "components models"]
    z: Twofold
    off: Twofold
    left: Twofold
    own: Float[np.ndarray, "components models"]

    def less(self, other: "Drawn") -> "Drawn":
        """Return the difference to the other algorithm's margins of the same models."""
        z, off, left = (
            (x[0] - y[0], x[1] - y[1]) for x, y in ((self.z, other.z), (self.off, other.off), (self.left, other.left))
        )
        return Drawn(self.u, z, off, left, self.own)

    def beside(self, other: "Drawn") -> "Drawn":
        """Return the models of both, the other algorithm's with a negative sign."""
        z, off, left = (
            (np.vstack([x[0], y[0]]), np.vstack([x[1], y[1]]))
            for x, y in ((self.z, other.z), (self.off, other.off), (self.left, other.left))
        )
        return Drawn(np.hstack([self.u, -other.u]), z, off, left, np.hstack([self.own, -other.own]))


def _side(
    sample: Sample,
    which: int,
    half: int,
    directions: Float[np.ndarray, "components train"],
    factors: list[Float[np.ndarray, " targets"]],
) -> Drawn:
    """Return what the models of one algorithm in a half add to directions."""
    operator = sample.halves[which]
    rows, columns = operator.rows[half], operator.columns[half]
    masks, margins = sample.masks[which][rows], (sample.a, sample.b)[which][rows]
    u = directions @ columns
    z, off, left = (
        (_centered(values * factors[0].astype(np.float32)), _centered(values * factors[1].astype(np.float32)))
        for values in (margins, apart(masks, margins, columns), unfitted(masks, margins, columns))
    )
    return Drawn(u, z, off, left, unfitted(masks, u.T, columns).T)


def _centered(margins: Float[np.ndarray, "models targets"]) -> Float[np.ndarray, "models targets"]:
    """Return margins around their mean over models and over targets, as the contrast's rows are."""
    margins = margins - margins.mean(0)
    return np.asarray(margins - margins.mean(1, keepdims=True))


def pair_sums(
    drawn: Drawn,
) -> tuple[Float[np.ndarray, " components"], Float[np.ndarray, "components models"], Float[np.ndarray, " components"]]:
    """Return ⟨Σ_i u_i·z_i, Σ_i u_i·z'_i⟩ − Σ_i u_i²·⟨z_i, e'_i⟩ of each direction, influences and ``twice``."""
    u, z, off = drawn.u, drawn.z, drawn.off
    first, second = (u @ each for each in z)
    weights = np.square(u.astype(np.float64))
    own = (np.einsum("ij,ij->i", z[0], off[1]) + np.einsum("ij,ij->i", z[1], off[0])).astype(np.float64) / 2
    value = np.einsum("ij,ij->i", first, second).astype(np.float64) - weights @ own
    left = (drawn.left[0] + drawn.left[1]) / 2
    as_noise = noise_factor(own, left)
    influence = as_noise * u * (first @ drawn.left[1].T + second @ drawn.left[0].T - 2 * drawn.own * own)
    squares = np.square(np.square(as_noise) * (left @ left.T))
    squares[np.diag_indices(len(squares))] = 0
    twice = 2 * np.einsum("ij,ij->i", weights @ squares, weights)
    return value, influence, twice


@dataclass(frozen=True)
class _Half:
    """One side's models of one half: K, standardized margins, what they are off others' fit, and their rows."""

    columns: Float[np.ndarray, "train models"]
    margins: Float[np.ndarray, "models targets"]
    off: Float[np.ndarray, "models targets"]
    place: Int[np.ndarray, " models"]


def _totals(
    sample: Sample, fits: Fits, contrast: Contrast, directions: Float[np.ndarray, "components train"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all that differs, influences and what they count twice, with slopes outside the first k directions.

    Slopes are those of all models. At the best slope of a target its difference is least, by chance too: what that
    takes away is estimated and given back (``_lost``).
    """
    shift = 0 if sample.paired else len(sample.a)
    sides = [
        [
            _Half(
                operator.columns[half],
                margins[operator.rows[half]],
                apart(masks[operator.rows[half]], margins[operator.rows[half]], operator.columns[half]),
                operator.rows[half] + which * shift,
            )
            for which, (operator, margins, masks) in enumerate(
                zip(sample.halves, (sample.a, sample.b), sample.masks, strict=True)
            )
        ]
        for half in (0, 1)
    ]
    made = [
        _total(sides, fits, contrast, directions[:count].T if count else None, paired=sample.paired)
        for count in range(len(directions) + 1 if contrast.fixed is None else 1)
    ]
    made += made[:1] * (len(directions) + 1 - len(made))
    return np.array([m[0] for m in made]), np.column_stack([m[1] for m in made]), np.array([m[2] for m in made])


def _total(
    sides: list[list[_Half]], fits: Fits, contrast: Contrast, outside: np.ndarray | None, *, paired: bool
) -> tuple[float, np.ndarray, float]:
    """Return the trace of S at slopes outside some directions, the influence of every model, and ``twice``."""
    angles = contrast.fixed if contrast.fixed is not None else slope_angles(*fits.pooled(outside))
    r = centered(contrast.rows_at(fits, (angles, angles)))
    of_a, of_b = ((contrast.weights * f(angle)).astype(np.float32) for f, angle in ((np.cos, angles), (np.sin, angles)))
    influence = np.zeros(1 + max(int(side.place.max()) for half in sides for side in half))
    parts = []
    for half, (a, b) in enumerate(sides):
        z = [_centered(side.margins * f) for side, f in ((a, of_a), (b, -of_b))]
        off = [_centered(side.off * f) for side, f in ((a, of_a), (b, -of_b))]
        if paired:
            z, off, places, columns = [z[0] + z[1]], [off[0] + off[1]], [a.place], [a.columns]
        else:
            places, columns = [a.place, b.place], [a.columns, b.columns]
        scaled = [e * noise_factor(np.einsum("ij,ij->i", x, e), e) for x, e in zip(z, off, strict=True)]
        for e, place, column in zip(scaled, places, columns, strict=True):
            influence[place] += np.einsum("ij,ji->i", e @ r[1 - half], column)
        parts.append((np.hstack(columns), np.vstack(scaled)))
    (k0, z0), (k1, z1) = parts
    twice = float(np.square((k0.T @ k1) * (z0 @ z1.T)).sum())
    value = float(np.einsum("ij,ij->", *r))
    if contrast.fixed is None:
        value += _lost(sides, fits, contrast, angles, outside, paired=paired)
    return value, influence, twice


def _lost(
    sides: list[list[_Half]],
    fits: Fits,
    contrast: Contrast,
    angles: Float[np.ndarray, " targets"],
    outside: np.ndarray | None,
    *,
    paired: bool,
) -> float:
    """Return what errors δ_t of slopes take away from all that differs, in expectation.

    With l = sin φ·θ_A + cos φ·θ_B and o the product of the two coordinates the difference of a target is, up to second
    order, less by 2·δ·o − δ²·‖l‖², and δ = o⊥/‖l⊥‖², ⊥ outside the directions outside which slopes are taken. The
    variance of o⊥ and its covariance with o are sums over models of (⟨K_i, l̂⟩·e_i)², e_i the noise of cos φ·y_A − sin
    φ·y_B. A length is at least what noise alone makes of it.
    """
    c, s = (f(angles).astype(np.float32) for f in (np.cos, np.sin))
    along = (s[:, None] * (fits.a[0] + fits.a[1]) + c[:, None] * (fits.b[0] + fits.b[1])) / 2
    own, crossed, noise = (np.zeros(len(angles)) for _ in range(3))
    for a, b in sides:
        drawn = [(c * a.margins, c * a.off, a.columns), (-s * b.margins, -s * b.off, b.columns)]
        if paired:
            drawn = [(drawn[0][0] + drawn[1][0], drawn[0][1] + drawn[1][1], a.columns)]
        for z, off, columns in drawn:
            squares = np.square(off * noise_factor(np.einsum("ij,ij->i", z - z.mean(0), off), off))
            g = (along @ columns).T / 2
            beside = g if outside is None else g - (columns.T @ outside) @ (along @ outside).T / 2
            own += np.einsum("ij,ij->j", np.square(beside), squares)
            crossed += np.einsum("ij,ij->j", g * beside, squares)
            noise += np.einsum("ij,ij->j", columns, columns) @ squares / 4
    length = [np.maximum(_length(fits, s, c, way), noise) for way in (None, outside)]
    lost = 2 * crossed / length[1] - own * length[0] / np.square(length[1])
    return float(np.square(contrast.weights) @ np.where(np.isfinite(lost), lost, 0))


def _length(fits: Fits, s: np.ndarray, c: np.ndarray, outside: np.ndarray | None) -> Float[np.ndarray, " targets"]:
    """Return ‖l_t‖² without noise, outside some directions."""
    aa, ab, bb = fits.pooled(outside)
    return np.asarray(s * s * aa + 2 * s * c * ab + c * c * bb)
