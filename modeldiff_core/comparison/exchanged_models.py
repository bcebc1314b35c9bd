"""Draws of a contrast's null where A and B have masks of their own: models change sides.

Under the hypothesis y_A,t/sin φ_t and y_B,t/cos φ_t depend on masks alike, up to noise: models of A and of B come from
one regression. A draw deals the models of each half anew, as many to A and to B as there were, each with its mask and,
at the slope of its new side, its margins; ridges are fitted to them as to the real ones. So a draw holds what a ridge
makes of other masks: with few models that is most of what tells A from B, and no permutation of residuals shows it.
Exact where both have the same noise and slopes are known. Where noise differs and the numbers of models are equal, the
covariance of the difference is still the real one's: A's and B's noise add up the same, whoever has which.

Slopes of datamodels are not those of margins where A and B have other numbers of models: a ridge of fewer shrinks more.
"""

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison.contrast import Fits, Sample, fits_of
from modeldiff_core.comparison.split_ridge import explained_share, split_ridge

FLATTEST = 0.2
"""Least angle of a slope, from either side, by which margins are divided: c_t between 0.2 and 5."""


class ExchangedModels:
    """A sample whose models can change sides.

    Args:
        sample: The sample; A's and B's models have masks of their own.
        margins: Its margins, without what was found before.
        angles: φ_t of the null.
    """

    def __init__(
        self,
        sample: Sample,
        margins: tuple[Float[np.ndarray, "models_a targets"], Float[np.ndarray, "models_b targets"]],
        angles: Float[np.ndarray, " targets"],
    ) -> None:
        angles = np.clip(unshrunk(angles, sample), FLATTEST, np.pi / 2 - FLATTEST)
        self.share, self.slopes = sample.share, (np.sin(angles).astype(np.float32), np.cos(angles).astype(np.float32))
        a, b = (values / slope for values, slope in zip(margins, self.slopes, strict=True))
        self.halves = [
            (
                np.concatenate([sample.masks[0][of_a], sample.masks[1][of_b]]),
                np.concatenate([a[of_a], b[of_b]]),
                len(of_a),
            )
            for of_a, of_b in zip(*(operator.rows for operator in sample.halves), strict=True)
        ]

    def draw(self, random: np.random.Generator) -> Fits:
        """Return the datamodels of one draw."""
        sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        drawn: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for masks, margins, of_a in self.halves:
            order = random.permutation(len(masks))
            for side, rows in enumerate((order[:of_a], order[of_a:])):
                sides[side].append(masks[rows])
                drawn[side].append(self.slopes[side] * margins[rows])
        parts = [np.repeat([0, 1], [len(half) for half in side]) for side in sides]
        of_side_a, of_side_b = (
            split_ridge(np.vstack(x), self.share, part) for x, part in zip(sides, parts, strict=True)
        )
        return fits_of((of_side_a, of_side_b), np.vstack(drawn[0]), np.vstack(drawn[1]), (0, 1), paired=False)


def unshrunk(angles: Float[np.ndarray, " targets"], sample: Sample) -> Float[np.ndarray, " targets"]:
    """Return φ_t of margins, those of datamodels given: a ridge of fewer models shrinks datamodels more.

    All tan φ_t are multiplied by one number, which makes their median sqrt(r²_A/r²_B), the shares of the margins'
    variances that masks explain, which no penalty shrinks. As they are where A and B have equal numbers of models.
    """
    if len(sample.a) == len(sample.b):
        return angles
    kept = (sample.a != 0).any(0) & (sample.b != 0).any(0)
    shares = [explained_share(x, y[:, kept]) for x, y in zip(sample.masks, (sample.a, sample.b), strict=True)]
    if min(shares) <= 0:
        return angles
    slopes = np.tan(np.clip(angles, FLATTEST, np.pi / 2 - FLATTEST))
    return np.asarray(np.arctan(slopes * np.sqrt(shares[0] / shares[1]) / np.median(slopes[kept])))
