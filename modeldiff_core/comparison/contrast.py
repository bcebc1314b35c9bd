"""One symmetric contrast of two algorithms: what they rely on differently, whatever their noise and sureness.

**Hypothesis (reliance).** For every target t there is a c_t > 0 with E[θ_A,t] = c_t·E[θ_B,t]: A and B rely on
the same training examples, up to how strongly the margin reacts. Seed noise, sureness and accuracy may differ.
**Hypothesis (identical).** E[θ_A,t] = E[θ_B,t].

**Contrast.** Margins are standardized for each target and algorithm. From each half h of the models, with datamodels
θ̂⁽ʰ⁾ (comparison.split_ridge) and a slope of its own c_t = tan φ_t (comparison.slopes),

    R_t⁽ʰ⁾ = cos φ_t⁽ʰ⁾·θ̂_A,t⁽ʰ⁾ − sin φ_t⁽ʰ⁾·θ̂_B,t⁽ʰ⁾,    centered over targets.

Directions are leading eigenvectors of S = (R⁽⁰⁾ᵀR⁽¹⁾ + R⁽¹⁾ᵀR⁽⁰⁾)/2. Its halves share no model, so an eigenvalue
holds no noise in expectation; slopes are of one half each for the same reason: the square of a common slope's
error would stay in S. In units of their margins' deviations targets count alike. (Weights of 1/sd of
cos φ_t·y_A,t − sin φ_t·y_B,t hide real differences: where A and B share seeds that is small for targets on which
nothing happens, and large for those that the difference moves.)

A difference along v bends its targets' slopes towards itself, and the rest of the datamodel then appears as a
difference too. So slopes are estimated again in the complement of the leading direction, REFINED times. Where two or
more differences stand out (comparison.differences) that is the complement of all of them and one direction more, and
the directions of those that stand out are rotated to few training examples each (comparison.rotation).
Margins are not cleared of that direction there: more is then taken away than noise adds, which bends slopes away from
it, in draws of the null as in the real margins, and a difference stands out further from chance. With cleared margins
none of three planted blocks was found by 320 models, without them all three. Sizes, slopes and totals that are told are
free of that, and so are slopes outside several directions: what A and B share of a target that mostly rests on these
would else appear as a difference, and be the larger the more its slope is bent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from modeldiff_core.comparison.eigen import CrossCovariance, leading_eigenvectors
from modeldiff_core.comparison.leading import Rows, leading_vectors
from modeldiff_core.comparison.rotation import varimax
from modeldiff_core.comparison.slopes import slope_angles
from modeldiff_core.comparison.split_ridge import SplitRidge, explained_share, split_ridge
from modeldiff_core.comparison.steady_slopes import held_angles, steady_angles
from modeldiff_core.errors import ConfigError

Hypothesis = Literal["reliance", "identical"]
REFINED = 3
"""Times that slopes are estimated again outside the leading direction.

A strong difference of few targets bends their slopes so far that the first direction mixes it with the rest of their
datamodels: after one time a plant of strength 0.3 under noise x 1.5 was found with a cosine of at least 0.5 in 12 of 22
simulated studies, after three in 51 of 62 (benchmarks/nulls.py).
"""
REFINED_SEVERAL = 12
"""Most times where several differences are named: what bends slopes then is found one after the other."""
CLOSE = 1e-3
"""Squared sine, over all of these directions, below which they have settled."""
EXACT = 1e-5
"""Deviation, of margins with a deviation of 1, below which two of them are one."""
LEAST_MODELS = 16
Noise = Callable[[int, Float[np.ndarray, "train directions"] | None, bool], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""From a half, directions outside which lengths are taken, and whether margins are cleared of these, to what noise adds
to ⟨θ_A,θ_A⟩, ⟨θ_A,θ_B⟩, ⟨θ_B,θ_B⟩."""


@dataclass(frozen=True)
class Fits:
    """A's and B's datamodels of two disjoint halves of the models, and what noise adds to their products in a
    half.
    """

    a: tuple[Rows, Rows]
    b: tuple[Rows, Rows]
    noise: Noise

    def products(
        self, half: int, outside: Float[np.ndarray, "train directions"] | None = None, *, clear: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ⟨θ_A,θ_A⟩, ⟨θ_A,θ_B⟩, ⟨θ_B,θ_B⟩ of each target from one half without noise, outside some directions.

        Sums over pairs of different models: what a model's margins add to a product with themselves is taken away.
        Without `clear` that is of margins which still hold what the directions explain, and so too much.
        """
        a, b = self.a[half], self.b[half]
        noise = self.noise(half, outside, clear)
        return _less(a, a, noise[0], outside), _less(a, b, noise[1], outside), _less(b, b, noise[2], outside)

    def pooled(
        self, outside: Float[np.ndarray, "train directions"] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the same products from all models: the mean of both halves' and of those between them."""
        within = [self.products(half, outside) for half in (0, 1)]
        (a0, a1), (b0, b1) = self.a, self.b
        zero = np.zeros(len(a0), np.float32)
        between = (
            2 * _less(a0, a1, zero, outside),
            _less(a0, b1, zero, outside) + _less(a1, b0, zero, outside),
            2 * _less(b0, b1, zero, outside),
        )
        aa, ab, bb = ((x + y + z) / 4 for x, y, z in zip(*within, between, strict=True))
        return aa, ab, bb


def _less(
    x: Rows, y: Rows, noise: Float[np.ndarray, " targets"], outside: Float[np.ndarray, "train directions"] | None
) -> Float[np.ndarray, " targets"]:
    """Return ⟨x_t, y_t⟩ in the complement of some directions, less the noise."""
    found = np.einsum("ij,ij->i", x, y) - noise
    return np.asarray(found if outside is None else found - np.einsum("ij,ij->i", x @ outside, y @ outside))


@dataclass(frozen=True)
class Sample:
    """Standardized margins of A and of B with the operators that make datamodels of them.

    Attributes:
        a: A's margins, each target around its mean and in units of its deviation; 0 where it does not vary.
        b: B's.
        halves: K of A and of B, its models in two halves; the same object where they share masks.
        paired: Whether model i of A has the mask of model i of B.
        units: Standard deviations of A's and of B's raw margins [2, targets].
        share: r² that the ridge's penalty is the best for.
        masks: A's and B's masks.
    """

    a: Float[np.ndarray, "models_a targets"]
    b: Float[np.ndarray, "models_b targets"]
    halves: tuple[SplitRidge, SplitRidge]
    paired: bool
    units: Float[np.ndarray, "2 targets"]
    share: float
    masks: tuple[Bool[np.ndarray, "models_a train"], Bool[np.ndarray, "models_b train"]]

    @property
    def kept(self) -> Bool[np.ndarray, " targets"]:
        """Targets whose margin varies under A and under B."""
        return np.asarray((self.units > 0).all(0))

    @cached_property
    def quarters(self) -> tuple[SplitRidge, SplitRidge]:
        """K of A and of B, their models in four parts, of which 0 and 2 are half 0; draws of the null need none."""
        return _operators(self.masks, self.share, 4, paired=self.paired)

    def fits(self) -> Fits:
        """Return the datamodels of both halves."""
        return fits_of(self.halves, self.a, self.b, (0, 1), paired=self.paired)

    def fits_within(self, half: int) -> Fits:
        """Return the datamodels of the two quarters of one half."""
        return fits_of(self.quarters, self.a, self.b, (half, half + 2), paired=self.paired)


def fits_of(
    operators: tuple[SplitRidge, SplitRidge],
    a: Float[np.ndarray, "models_a targets"],
    b: Float[np.ndarray, "models_b targets"],
    parts: tuple[int, int],
    *,
    paired: bool,
) -> Fits:
    """Return the datamodels of two parts of the models from standardized margins."""
    of_a, of_b = operators
    rows_a, rows_b = ([y[op.rows[p]] for p in parts] for op, y in ((of_a, a), (of_b, b)))

    def noise(half: int, outside: np.ndarray | None, clear: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y, part = rows_a[half], rows_b[half], parts[half]
        lengths_a = _unbiased(of_a.lengths(part, outside))
        lengths_b = lengths_a if of_b is of_a else _unbiased(of_b.lengths(part, outside))
        if outside is not None and clear:
            x, y = (cleared(margins, op.along(part, outside)) for margins, op in ((x, of_a), (y, of_b)))
        both = lengths_a @ (x * y) if paired else np.zeros(x.shape[1], np.float32)
        return lengths_a @ np.square(x), both, lengths_b @ np.square(y)

    first, second = parts
    return Fits(
        (of_a.fit(first, rows_a[0]), of_a.fit(second, rows_a[1])),
        (of_b.fit(first, rows_b[0]), of_b.fit(second, rows_b[1])),
        noise,
    )


def cleared(
    margins: Float[np.ndarray, "models targets"], along: Float[np.ndarray, "models directions"]
) -> Float[np.ndarray, "models targets"]:
    """Return margins without what the given directions explain of them by least squares.

    A model's product with itself is taken away from a length outside directions. Were what the directions hold still
    in it, more would be taken away than was there, and slopes would bend away from what was left out.
    """
    gram = along.T.astype(np.float64) @ along
    return np.asarray(margins - along @ (np.linalg.pinv(gram, hermitian=True) @ (along.T @ margins)), np.float32)


def _unbiased(lengths: Float[np.ndarray, " models"]) -> Float[np.ndarray, " models"]:
    """Return lengths times m/(m − 1): margins are centered, which takes 1/m of their variance away."""
    return np.asarray(lengths * (len(lengths) / max(1, len(lengths) - 1)))


def sample_of(
    masks: tuple[Bool[np.ndarray, "models_a train"], Bool[np.ndarray, "models_b train"]],
    margins: tuple[Float[np.ndarray, "models_a targets"], Float[np.ndarray, "models_b targets"]],
    *,
    groups: tuple[Int[np.ndarray, " models_a"], Int[np.ndarray, " models_b"]] | None = None,
    share: float | None = None,
) -> Sample:
    """Return margins made ready for a contrast.

    Args:
        masks: A's and B's; equal ones are taken as paired.
        margins: A's and B's, raw.
        groups: Of each model, the number of its mask where several models have one: their margins are averaged, and a
            mask is one replicate.
        share: r² that the ridge's penalty is the best for; without it the one of these margins, of A and B together.

    Raises:
        ConfigError: There are fewer than LEAST_MODELS masks, or no target varies under both.
    """
    if groups is not None:
        pooled = [_averaged(*each) for each in zip(masks, margins, groups, strict=True)]
        masks, margins = (pooled[0][0], pooled[1][0]), (pooled[0][1], pooled[1][1])
    least = min(len(x) for x in masks)
    if least < LEAST_MODELS:
        raise ConfigError("subsets.models", f"at least {LEAST_MODELS} models that are fitted", least)
    paired = masks[0].shape == masks[1].shape and np.array_equal(*masks)
    (a, unit_a), (b, unit_b) = (_standardized(y) for y in margins)
    varies = (unit_a > 0) & (unit_b > 0)
    if varies.sum() < 2:
        raise ConfigError("targets", "two or more whose output varies over models under both", int(varies.sum()))
    if share is None:
        share = (explained_share(masks[0], a[:, varies]) + explained_share(masks[1], b[:, varies])) / 2
    units = np.stack([unit_a, unit_b])
    return Sample(a, b, _operators(masks, share, 2, paired=paired), paired, units, share, masks)


def _operators(
    masks: tuple[Bool[np.ndarray, "models_a train"], Bool[np.ndarray, "models_b train"]],
    share: float,
    parts: int,
    *,
    paired: bool,
) -> tuple[SplitRidge, SplitRidge]:
    """Return K of A and of B, their models dealt out to so many parts; the same object where they share masks."""
    of_a = split_ridge(masks[0], share, np.arange(len(masks[0])) % parts)
    return of_a, of_a if paired else split_ridge(masks[1], share, np.arange(len(masks[1])) % parts)


def _averaged(masks: np.ndarray, margins: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one row for each group, in the order of their numbers."""
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    total = np.zeros((len(first), margins.shape[1]))
    np.add.at(total, place, margins)
    return masks[first], total / np.bincount(place)[:, None]


def _standardized(margins: np.ndarray) -> tuple[Float[np.ndarray, "models targets"], Float[np.ndarray, " targets"]]:
    around = margins - margins.mean(0, dtype=np.float64)
    unit = around.std(0)
    # What rounding of a float32 margin that does not vary leaves is no deviation.
    unit = np.where(unit > 1e-6 * np.abs(margins).max(0), unit, 0.0)
    divided = np.divide(around, unit, out=np.zeros_like(around), where=unit > 0)
    return divided.astype(np.float32), unit


@dataclass(frozen=True)
class Contrast:
    """How the rows of a contrast are made.

    Attributes:
        weights: Of each target, by which rows are multiplied; 0 for targets that are left out.
        fixed: φ_t for the hypothesis 'identical'; None where slopes are estimated.
        removed: Orthonormal directions in whose complement differences are sought [train, directions].
        leading: Directions outside which slopes are estimated: 1 where up to one difference stands out, else one more
            than there are differences.
        alike: φ_t where all targets react alike in raw margins, tan φ_t = unit_B,t/unit_A,t; slopes outside directions
            are those of cleared margins, drawn towards one multiple of it (comparison.steady_slopes). None leaves them
            as they are, outside one direction those of margins that still hold it.
    """

    weights: Float[np.ndarray, " targets"]
    fixed: Float[np.ndarray, " targets"] | None = None
    removed: Float[np.ndarray, "train directions"] | None = None
    leading: int = 1
    alike: Float[np.ndarray, " targets"] | None = None

    @property
    def cleared(self) -> bool:
        """Whether slopes outside directions are those of margins without what these explain."""
        return self.leading > 1 or self.alike is not None

    @property
    def differences(self) -> int:
        """How many are named by directions of their own."""
        return max(1, self.leading - 1)

    def naming(self, differences: int) -> "Contrast":
        """Return the contrast at slopes outside so many differences, and one direction more where there are several."""
        return replace(self, leading=differences + 1 if differences > 1 else 1)

    def without(self, directions: Float[np.ndarray, "directions train"]) -> "Contrast":
        """Return the contrast in the complement of some directions."""
        return replace(self, removed=np.asarray(directions.T, np.float32) if len(directions) else None)

    def rows(self, fits: Fits) -> tuple[tuple[Rows, Rows], Float[np.ndarray, "train directions"] | None]:
        """Return R⁽⁰⁾ and R⁽¹⁾, not yet centered, and the directions outside which their slopes were estimated."""
        outside = self.removed
        if self.fixed is not None:
            return self.rows_at(fits, (self.fixed, self.fixed)), outside
        count, times = self.leading, REFINED_SEVERAL if self.leading > 1 else REFINED
        leading = np.zeros((fits.a[0].shape[1], count), np.float32)
        for last in (False,) * times + (True,):
            products = [fits.products(half, outside, clear=self.cleared) for half in (0, 1)]
            angles = [slope_angles(*each) for each in products]
            if self.alike is not None:
                angles = held_angles(products, angles, self.alike, self.weights)
            made = self.rows_at(fits, (angles[0], angles[1]))
            if last:
                break
            before, leading = leading, leading_vectors(*centered(made), count)
            if count > 1 and np.square(before.T @ leading).sum() > count - CLOSE:
                break
            outside = leading if self.removed is None else np.hstack([self.removed, leading])
        return made, outside

    def rows_at(self, fits: Fits, angles: tuple[np.ndarray, np.ndarray]) -> tuple[Rows, Rows]:
        """Return R⁽⁰⁾ and R⁽¹⁾ at given slopes."""
        made = []
        for a, b, angle in zip(fits.a, fits.b, angles, strict=True):
            row = (self.weights * np.cos(angle)).astype(np.float32)[:, None] * a
            row -= (self.weights * np.sin(angle)).astype(np.float32)[:, None] * b
            if self.removed is not None:
                row -= (row @ self.removed) @ self.removed.T
            made.append(row)
        return made[0], made[1]


def centered(rows: tuple[Rows, Rows]) -> tuple[Rows, Rows]:
    """Return rows around their mean over targets."""
    return rows[0] - rows[0].mean(0), rows[1] - rows[1].mean(0)


def contrast_of(sample: Sample, fits: Fits, hypothesis: Hypothesis = "reliance") -> Contrast:
    """Return the contrast of a sample; targets on which A and B move together exactly are left out."""
    if hypothesis == "identical":
        # In units of A's and B's deviations, margins are equal where tan φ = unit_B / unit_A.
        fixed = np.arctan2(sample.units[1], sample.units[0])
        return Contrast(_counted(sample, fixed), fixed)
    unit_a, unit_b = np.where(sample.kept, sample.units, 1.0)
    return Contrast(_counted(sample, slope_angles(*fits.pooled())), alike=np.arctan2(unit_b, unit_a))


def _counted(sample: Sample, angles: Float[np.ndarray, " targets"]) -> Float[np.ndarray, " targets"]:
    """Return 1 for targets where cos φ_t·y_A,t − sin φ_t·y_B,t varies over models, else 0."""
    c, s = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    varies = (c * sample.a - s * sample.b).std(0) > EXACT if sample.paired else True
    return np.asarray(sample.kept & varies, np.float64)


@dataclass(frozen=True)
class Found:
    """Directions of a contrast, the largest difference first.

    Attributes:
        directions: Unit vectors over training examples.
        eigenvalues: Of S, on the models that chose the directions; of rotated ones the variance vᵀ·S·v along each.
        projections: Of the contrast's rows, mean of both halves, not centered.
        angles: φ_t on all models, outside the leading direction.
        halves: φ_t from each half of the models, the same.
        steady: φ_t of all models without most of its noise, at which the null is drawn.
    """

    directions: Float[np.ndarray, "components train"]
    eigenvalues: Float[np.ndarray, " components"]
    projections: Float[np.ndarray, "targets components"]
    angles: Float[np.ndarray, " targets"]
    halves: Float[np.ndarray, "2 targets"]
    steady: Float[np.ndarray, " targets"]


def find_contrast(contrast: Contrast, fits: Fits, n_components: int) -> Found:
    """Return the leading directions of S; where several differences are named, those that are rotated come first.

    Raises:
        ConfigError: More components are asked for than targets or training examples allow.
    """
    rows, outside = contrast.rows(fits)
    limit = min(int((contrast.weights > 0).sum()) - 1, rows[0].shape[1])
    if not 1 <= n_components <= limit:
        raise ConfigError("comparison.components", f"between 1 and {limit} for these targets", n_components)
    x, y = (torch.from_numpy(r) for r in centered(rows))
    directions = leading_eigenvectors(CrossCovariance(x, y), n_components).numpy().astype(np.float32)
    if contrast.differences > 1:
        directions[: contrast.differences] = varimax(directions[: contrast.differences].T).T
    eigenvalues = np.einsum("ij,ij->j", x.numpy() @ directions.T, y.numpy() @ directions.T)
    order = np.argsort(-eigenvalues, kind="stable")
    directions, eigenvalues = directions[order], eigenvalues[order]
    if contrast.fixed is not None:
        pooled, halves, steady = contrast.fixed, np.stack([contrast.fixed] * 2), contrast.fixed
    else:
        products, of_all = [fits.products(half, outside) for half in (0, 1)], fits.pooled(outside)
        pooled, halves = slope_angles(*of_all), np.stack([slope_angles(*each) for each in products])
        lengths = sum(np.maximum(np.einsum("ij,ij->i", *pair), 0) for pair in (fits.a, fits.b))
        whole = [fits.products(half, contrast.removed) for half in (0, 1)]
        steady = steady_angles(products, of_all, lengths * (contrast.weights > 0), whole)
    projections = (rows[0] + rows[1]) @ directions.T / 2
    return Found(directions, eigenvalues, projections, pooled, halves, steady)
