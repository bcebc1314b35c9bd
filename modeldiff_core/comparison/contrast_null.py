"""How large a contrast grows where the hypothesis holds, and p-values that stop early.

Under the hypothesis the mean of z_i,t = cos φ_t·y_A,i,t − sin φ_t·y_B,i,t does not depend on model i's mask,
whatever the noise of either side; y's other coordinate l = sin φ_t·y_A + cos φ_t·y_B holds what A and B share.
Where their noise differs, z and l have some of it in common: l goes along with z to the extent β_t of that, the
regression of one's residuals on the other's, since without it slopes are bent otherwise than in the real margins.
A draw puts the rows z_i, all targets together, to other models' masks within each half and leaves l − β·z where
it is. It turns both back into margins, fits, estimates slopes and refines them as is done for the real margins,
and takes the largest eigenvalue of S. Permuting rows keeps how the noise of targets is correlated. It is exact
where z does not depend on masks in distribution and the slopes are known; slopes are estimated, and noise may
be larger for some masks than for others, so elsewhere it holds for many models (benchmarks/nulls.py measures it).

With masks of their own, z cannot be taken model by model: models change sides instead (exchanged_models).

**Which directions.** p of a direction is the share of draws whose largest eigenvalue reaches its own (a maximum
statistic, Westfall and Young), so the chance of any false direction is at most the level where nothing differs. One
by one, a significant direction is taken out of the contrast and of z and the next is tested by what is then the largest
eigenvalue: that finds weaker directions beside a strong one, and also the lesser parts of a strong difference.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Contrast, Fits, Sample, centered, cleared
from modeldiff_core.comparison.exchanged_models import ExchangedModels
from modeldiff_core.comparison.leading import leading_pair
from modeldiff_core.comparison.split_ridge import unfitted
from modeldiff_core.identity import generator

ENOUGH = 10
"""Draws that reach a value, after which no more are made: p is known to a third of itself then."""


@dataclass(frozen=True)
class NullSample:
    """A sample as the null sees it.

    Attributes:
        sample: The sample.
        contrast: Whose largest eigenvalue is drawn.
        angles: φ_t of all models, outside what differs, drawn towards the common slope (steady_slopes).
    """

    sample: Sample
    contrast: Contrast
    angles: Float[np.ndarray, " targets"]

    def largest(self, draws: range, seed: int) -> Float[np.ndarray, " draws"]:
        """Return the largest eigenvalue of each draw; draw d is a pure function of (seed, number of removed, d)."""
        prepared = self.prepared
        removed = 0 if self.contrast.removed is None else self.contrast.removed.shape[1]
        found = [
            leading_pair(*centered(self.contrast.rows(prepared.draw(generator("contrast", seed, removed, d)))[0]))[0]
            for d in draws
        ]
        return np.array(found)

    @cached_property
    def prepared(self) -> "_Paired | ExchangedModels":
        """What all draws share."""
        if self.sample.paired:
            return _Paired(self)
        margins = self.cleared(self.sample.a, 0), self.cleared(self.sample.b, 1)
        return ExchangedModels(self.sample, margins, self.angles)

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Cos φ and sin φ."""
        return np.cos(self.angles).astype(np.float32), np.sin(self.angles).astype(np.float32)

    def cleared(self, margins: np.ndarray, of: int) -> np.ndarray:
        """Return margins without what removed directions explain of them by least squares."""
        removed = self.contrast.removed
        if removed is None:
            return margins
        x = self.sample.masks[of].astype(np.float32)
        return cleared(margins, (x - x.mean(0)) @ removed)


class _Paired:
    """Draws where model i of A has the mask of model i of B."""

    def __init__(self, null: NullSample) -> None:
        self.sample, (c, s) = null.sample, null.parts
        self.across = null.cleared(c * self.sample.a - s * self.sample.b, 0)
        self.c, self.s, operator = c, s, self.sample.halves[0]
        along = s * self.sample.a + c * self.sample.b
        left = [
            np.vstack(
                [unfitted(self.sample.masks[0][rows], margins[rows], columns) for rows, columns in operator.parts]
            )
            for margins in (self.across, along)
        ]
        together, alone = (np.einsum("ij,ij->j", left[0], other) for other in (left[1], left[0]))
        self.beside = np.divide(together, alone, out=np.zeros_like(alone), where=alone > 0)
        self.along = along - self.beside * self.across
        self.shared = [operator.fit(h, self.along[operator.rows[h]]) for h in (0, 1)]

    def draw(self, random: np.random.Generator) -> Fits:
        operator, c, s = self.sample.halves[0], self.c, self.s
        a, b, fits_a, fits_b = [], [], [], []
        for half in (0, 1):
            rows = operator.rows[half]
            z = self.across[random.permutation(rows)]
            fit, beside = operator.fit(half, z), self.beside
            shared, fit_shared = self.along[rows] + beside * z, self.shared[half] + beside[:, None] * fit
            a.append(c * z + s * shared)
            b.append(c * shared - s * z)
            fits_a.append(c[:, None] * fit + s[:, None] * fit_shared)
            fits_b.append(c[:, None] * fit_shared - s[:, None] * fit)

        def noise(half: int, outside: np.ndarray | None, clear: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            lengths = operator.lengths(half, outside)
            lengths = lengths * (len(lengths) / (len(lengths) - 1))
            x, y = a[half], b[half]
            if outside is not None and clear:
                along = operator.along(half, outside)
                x, y = cleared(x, along), cleared(y, along)
            return lengths @ np.square(x), lengths @ (x * y), lengths @ np.square(y)

        return Fits((fits_a[0], fits_a[1]), (fits_b[0], fits_b[1]), noise)


def null_sample(sample: Sample, contrast: Contrast, angles: Float[np.ndarray, " targets"]) -> NullSample:
    """Return the null of a contrast; targets that are left out get margins of zero, so that they add nothing."""
    kept = (contrast.weights > 0).astype(np.float32)
    return NullSample(replace(sample, a=sample.a * kept, b=sample.b * kept), contrast, angles)


def drawn(null: NullSample, random: np.random.Generator) -> Fits:
    """Return the datamodels of one draw."""
    return null.prepared.draw(random)


def sequential_p(value: float, draws: Float[np.ndarray, " draws"]) -> float:
    """Return the p of a value from draws made one after another until ENOUGH of them reached it, or all were made.

    h/n where the h-th = ENOUGH-th that reached it was the n-th (Besag and Clifford 1991), else (1 + reached)/(1
    + draws). Both are
    valid: P(p ≤ α) ≤ α under the null.
    """
    reached = np.flatnonzero(draws >= value * (1 - 1e-9) if value > 0 else np.ones(len(draws), bool))
    if len(reached) >= ENOUGH:
        return float(ENOUGH / (reached[ENOUGH - 1] + 1))
    return float((1 + len(reached)) / (1 + len(draws)))


def decided(value: float, draws: Float[np.ndarray, " draws"], most: int) -> bool:
    """Return whether no further draw can change ``sequential_p``: enough have reached the value, or all are made."""
    return len(draws) >= most or int((draws >= value * (1 - 1e-9)).sum() if value > 0 else len(draws)) >= ENOUGH
