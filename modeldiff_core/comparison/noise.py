"""Noise of a half's margins: what models are off the fits of others, scaled to vary as noise does."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from modeldiff_core.comparison.contrast import Sample
from modeldiff_core.comparison.split_ridge import apart


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


def noise_factors(
    margins: Float[np.ndarray, "models targets"], off: Float[np.ndarray, "models targets"]
) -> Float[np.ndarray, " targets"]:
    """Return the same for each target: √(Σ_i z_i·e_i/Σ_i e_i²), within ½ and 2; ½ where a margin does not vary."""
    share = (margins * off).sum(0) / np.maximum(np.square(off).sum(0), 1e-30)
    return np.asarray(np.sqrt(np.clip(share, 0.25, 4.0)))


def around_means(margins: Float[np.ndarray, "models targets"]) -> Float[np.ndarray, "models targets"]:
    """Return margins around their mean over models and over targets, as the contrast's rows are."""
    margins = margins - margins.mean(0)
    return np.asarray(margins - margins.mean(1, keepdims=True))


@dataclass(frozen=True)
class Block:
    """Models of a half whose noise is independent of others'.

    A's and B's models of one mask are one block with both; where masks differ, one algorithm's arrays are zero.

    Attributes:
        columns: K.
        along: Centered masks of the models.
        margins: Of A and of B, standardized.
        noise: Of A's and of B's.
        place: Of each model among all; models of B follow those of A where their masks differ.
    """

    columns: Float[np.ndarray, "train models"]
    along: Float[np.ndarray, "models train"]
    margins: tuple[Float[np.ndarray, "models targets"], Float[np.ndarray, "models targets"]]
    noise: tuple[Float[np.ndarray, "models targets"], Float[np.ndarray, "models targets"]]
    place: Int[np.ndarray, " models"]


def blocks_of(sample: Sample, half: int) -> list[Block]:
    """Return the models of a half, those of A and B apart where their masks differ."""
    made = []
    for which, (masks, of_all, op) in enumerate(zip(sample.masks, (sample.a, sample.b), sample.halves, strict=True)):
        rows, columns = op.rows[half], op.columns[half]
        margins = of_all[rows]
        off = apart(masks[rows], margins, columns)
        noise = off * noise_factors(margins, off)
        x = masks[rows].astype(np.float32)
        both = [(y, np.zeros_like(y)) if which == 0 else (np.zeros_like(y), y) for y in (margins, noise)]
        made.append(Block(columns, x - x.mean(0), both[0], both[1], rows + which * len(sample.a)))
    if not sample.paired:
        return made
    a, b = made
    return [replace(a, margins=(a.margins[0], b.margins[1]), noise=(a.noise[0], b.noise[1]))]
