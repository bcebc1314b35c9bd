"""All that differs: the trace of a contrast at slopes of all models, without bias, with every model's influence."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.comparison.contrast import Contrast, Fits, Sample, centered
from modeldiff_core.comparison.noise import around_means, blocks_of, noise_factor
from modeldiff_core.comparison.slope_selection import slope_selection
from modeldiff_core.comparison.slopes import slope_angles
from modeldiff_core.comparison.split_ridge import apart


@dataclass(frozen=True)
class _Half:
    """One side's models of one half: K, standardized margins, what they are off others' fit, and their rows."""

    columns: Float[np.ndarray, "train models"]
    margins: Float[np.ndarray, "models targets"]
    off: Float[np.ndarray, "models targets"]
    place: Int[np.ndarray, " models"]


def totals(
    sample: Sample,
    fits: Fits,
    contrast: Contrast,
    directions: Float[np.ndarray, "components train"],
    versions: Float[np.ndarray, "2 components train"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all that differs, influences and what they count twice, with slopes outside the first k directions.

    Slopes are those of all models. At the best slope of a target its difference is least, by chance too: what that
    takes away is estimated and given back (``_lost``). What it gains since the same models chose the directions is
    taken away (``slope_selection``). A last row of the influences, after those of the models, is the deviation of
    what slopes add: by how much it goes with what they add along directions is not known, so it is not counted.

    Args:
        sample: The margins.
        fits: Their datamodels.
        contrast: Without directions removed.
        directions: Of all models.
        versions: Of each half.
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
    unsure = np.zeros(len(directions) + 1)
    if contrast.fixed is None:
        blocks = blocks_of(sample, 0), blocks_of(sample, 1)
        for count in range(1, len(made)):
            gained, variance = slope_selection(fits, blocks, contrast, directions[:count], versions[:, :count])
            made[count] = made[count][0] - gained, *made[count][1:]
            unsure[count] = variance**0.5
    made += made[:1] * (len(directions) + 1 - len(made))
    influence = np.vstack([np.column_stack([m[1] for m in made]), unsure])
    return np.array([m[0] for m in made]), influence, np.array([m[2] for m in made])


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
        z = [around_means(side.margins * f) for side, f in ((a, of_a), (b, -of_b))]
        off = [around_means(side.off * f) for side, f in ((a, of_a), (b, -of_b))]
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
