"""Directions in which a few trainings of two algorithms differ, by side, with what is known of each.

From ``LEAST_TESTED`` trainings of each the directions are those of the contrast with trainings as replicates
(comparison.trainings); with fewer, of two residual analyses of the mean over trainings, and nothing is tested.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.subpopulations import shared_extremes
from modeldiff_core.comparison.trainings import (
    LEAST_TESTED,
    Products,
    between,
    contrast_of_trainings,
    residual_directions,
    residual_rows,
)

SIDES = ("a-b", "b-a")


@dataclass(frozen=True)
class SidedDirection:
    """A direction that one algorithm's margins depend on more than the other's.

    Attributes:
        side: 'a-b' or 'b-a', the algorithm that depends on it more first.
        coefficients: Unit vector in the basis; the direction over the training set is V·coefficients.
        projections: Of the targets' differences on it, not centered.
        strength: Its eigenvalue, in the unit.
        p: Adjusted for the choice among all directions; NaN where nothing was tested.
        variance_a: Σ_t ⟨X_A,t, v⟩² in the unit, from products between different trainings where there are two or more.
        variance_b: The same of B.
        stability: |cosine| between the versions that the even and the odd trainings give; NaN with one of each.
        overlap: Share of the targets at its ends that those versions have in common; NaN with one of each.

    """

    side: str
    coefficients: Float[np.ndarray, " q"]
    projections: Float[np.ndarray, " targets"]
    strength: float
    p: float
    variance_a: float
    variance_b: float
    stability: float
    overlap: float


@dataclass(frozen=True)
class SidedDirections:
    """All directions that are shown.

    Attributes:
        directions: The strongest first.
        null: Largest eigenvalue under each pattern of signs, in the unit; empty where nothing was tested.
        similarity: Cosine of A's and B's derivatives of each target's margin along the basis; NaN where it has none.
        log_slopes: log c_t from the even and from the odd trainings; NaN where it cannot be told or was not looked for.
        unit: Mean over A and B of Σ_t ‖X_t‖², from products between different trainings where there are two or more.

    """

    directions: tuple[SidedDirection, ...]
    null: Float[np.ndarray, " patterns"]
    similarity: Float[np.ndarray, " targets"]
    log_slopes: Float[np.ndarray, "2 targets"]
    unit: float


def directions_of_trainings(
    a: Products, b: Products, components: int, *, top: int, seed: int = 0, normalize: bool = False
) -> SidedDirections:
    """Return at most `components` directions of either side.

    Args:
        a: X_s = J_s·V of A's trainings.
        b: X_s of as many trainings of B, in the same basis.
        components: Most directions of a side.
        top: Targets at an end of a direction, for `overlap`.
        seed: Of random patterns of signs.
        normalize: Let all targets count alike in a tested contrast, see ``contrast_of_trainings``; its unit is the
            number of targets then.

    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    unit = max((_square(a, None) + _square(b, None)) / 2, float(np.finfo(np.float64).tiny))
    slopes = np.full((2, a.shape[1]), np.nan)
    if len(a) < LEAST_TESTED:
        return SidedDirections(_residual(a, b, components, top, unit), np.empty(0), _similarity(a, b), slopes, unit)
    many = min(2 * components, a.shape[2], a.shape[1] - 1)
    found = contrast_of_trainings(a, b, many, seed=seed, normalize=normalize)
    unit = float(a.shape[1]) if normalize else unit
    assert found.p is not None
    kept: list[SidedDirection] = []
    for at, side in enumerate(found.sides):
        if sum(one.side == side for one in kept) < components:
            v = found.coefficients[at]
            alike = _versions(found.halves, v, top)
            variances = float(found.variance_a[at]) / unit, float(found.variance_b[at]) / unit
            strength, p = float(found.strengths[at]) / unit, float(found.p[at])
            kept.append(SidedDirection(side, v, found.projections[:, at], strength, p, *variances, *alike))
    return SidedDirections(tuple(kept), found.largest / unit, _similarity(a, b), found.log_slopes, unit)


def _residual(a: Products, b: Products, components: int, top: int, unit: float) -> tuple[SidedDirection, ...]:
    """Return directions of both residual analyses of the mean over trainings, the strongest first."""
    kept = []
    for side, (more, less) in zip(SIDES, ((a, b), (b, a)), strict=True):
        found, projections = residual_directions(more.mean(0), less.mean(0), components)
        halves = [residual_rows(more[h::2].mean(0), less[h::2].mean(0)) for h in (0, 1)] if len(a) > 1 else []
        for at, v in enumerate(found):
            column = projections[:, at]
            strength = float(np.square(column - column.mean()).sum()) / unit
            alike = _versions(np.stack(halves), v, top) if halves else (np.nan, np.nan)
            variances = _square(a, v) / unit, _square(b, v) / unit
            kept.append(SidedDirection(side, v, column, strength, np.nan, *variances, *alike))
    return tuple(sorted(kept, key=lambda one: -one.strength))


def _versions(rows: Float[np.ndarray, "2 targets q"], v: Float[np.ndarray, " q"], top: int) -> tuple[float, float]:
    """Return |cosine| and shared ends of the versions of a direction from each half, one power iteration from it."""
    centered = rows - rows.mean(1, keepdims=True)
    own = [half.T @ (half @ v) for half in centered]
    lengths = [float(np.linalg.norm(one)) for one in own]
    if not all(lengths):
        return np.nan, np.nan
    own = [one / length for one, length in zip(own, lengths, strict=True)]
    shared = shared_extremes(centered[0] @ own[0], centered[1] @ own[1], top)
    return float(abs(own[0] @ own[1])), float(shared)


def _square(x: Products, v: Float[np.ndarray, " q"] | None) -> float:
    """Return Σ_t ⟨X_t, v⟩², or Σ_t ‖X_t‖² without a direction, free of noise in expectation with two trainings."""
    seen = x if v is None else (x @ v)[:, :, None]
    return float(between(seen, seen).sum() if len(x) > 1 else np.square(seen).sum())


def _similarity(a: Products, b: Products) -> Float[np.ndarray, " targets"]:
    """Return the cosine of each target's mean derivatives under A and B."""
    x, y = a.mean(0), b.mean(0)
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.asarray(np.divide((x * y).sum(1), norms, out=np.zeros_like(norms), where=norms > 0))


def repeatability(x: Products) -> float:
    """Return which share of trainings' squared derivatives they have in common; NaN with one training.

    Σ_{t,q} of the mean of x_s·x_s' over pairs of different trainings, over that of x_s². 1: each training has the same
    derivatives; near 0: they are noise, as where training is chaotic.
    """
    if len(x) < 2:
        return float("nan")
    x = x.astype(np.float64)
    whole = float(np.square(x).sum() / len(x))
    return float(between(x, x).sum()) / whole if whole > 0 else float("nan")
