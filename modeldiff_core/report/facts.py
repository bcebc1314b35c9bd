"""Everything that a report shows, gathered before anything is drawn."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from modeldiff_core.data import Known
from modeldiff_core.data.inventory import Inventory
from modeldiff_core.data.known import noun_of
from modeldiff_core.evaluation.law import LearningCurve
from modeldiff_core.report.terms import Terms
from modeldiff_core.subpopulations import MeanImage

Side = Literal["a-b", "b-a"]
Origin = Literal["trained", "margins", "attributions"]
"""What a comparison started from: models that were trained for it, or results of others."""


@dataclass(frozen=True)
class AlgorithmFacts:
    """One of the two algorithms: what it is, how many models, how good, how well its datamodels predict.

    left_out: models that were screened out although their margins are finite. flops: floating-point operations of
    training one model on all data; NaN where they were not counted.
    lds_mean: the linear datamodeling score without the bias of few held-out models; lds_low, lds_high are about it.
    reliability: of a bank of several models a mask, scores against one of them and against their mean, with ceilings.
    """

    name: str
    settings: Mapping[str, object]
    subset_models: int
    diverged: int
    ensemble_models: int
    subset_accuracy: float
    ensemble_accuracy: float
    lds_mean: float
    lds_low: float
    lds_high: float
    left_out: int = 0
    flops: float = math.nan
    reliability: Mapping[str, "IntervalFacts"] = field(default_factory=dict)


@dataclass(frozen=True)
class EstimatorScore:
    """How well one estimator's attributions predict one algorithm's unseen models, without the bias of few of them.

    seconds: NaN if not measured.
    """

    mean: float
    low: float
    high: float
    seconds: float


@dataclass(frozen=True)
class EstimatorFacts:
    """An estimator of attributions. source: what it takes, in words. used: whether the comparison rests on it."""

    name: str
    source: str
    used: bool
    a: EstimatorScore
    b: EstimatorScore


@dataclass(frozen=True)
class EndFacts:
    """What the `size` examples furthest out at one end share, in sentences and as images in pixel values.

    image: their mean image against that of other examples of the same classes; None without images.
    """

    size: int
    words: tuple[str, ...]
    image: MeanImage | None


@dataclass(frozen=True)
class DirectionFacts:
    """One direction of one side, by decreasing in-sample variance (`index` from 0).

    variance_a, variance_b: variance along the direction measured on models that did not choose it (cross-fitted).
    in_sample_a, in_sample_b: the same on the models that chose it (the published check, optimistic).
    ends: what they share, by part (targets, train) and sign (positive, negative), where it was looked at.
    null_p: chance of such a difference between algorithms that do not differ. p_adjusted: the same after correction
    over all directions, which decides what is significant. stability: |cosine| between the direction's versions from
    two disjoint halves of the models.
    overlap: share of the subpopulation that those versions have in common. models_needed: models with which a direction
    that is not significant would stand out in 80 % of repetitions, None where that cannot be told. carried_targets,
    carried_train: how many examples carry it (participation numbers). copies: sentences about the furthest training
    examples that are copies of test images.
    intervals: of a contrast, value and ends of the variance under A ("a"), under B ("b"), of the difference, and of the
    share of all that differs; NaN where a number cannot be told.
    """

    side: Side
    index: int
    variance_a: float
    variance_b: float
    in_sample_a: float
    in_sample_b: float
    null_p: float
    p_adjusted: float
    stability: float
    significant: bool
    projections: Float[np.ndarray, " targets"]
    weights: Float[np.ndarray, " train"]
    ends: Mapping[tuple[str, str], EndFacts] = field(default_factory=dict)
    overlap: float = math.nan
    models_needed: int | None = None
    carried_targets: float = math.nan
    carried_train: float = math.nan
    copies: tuple[str, ...] = ()
    intervals: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class CurveFacts:
    """Mean change of a probability or margin over intensities with its confidence interval, for one algorithm."""

    effect: Float[np.ndarray, " intensities"]
    low: Float[np.ndarray, " intensities"]
    high: Float[np.ndarray, " intensities"]


@dataclass(frozen=True)
class VerdictFacts:
    """Whether a transformation distinguishes: the answer, why, and what would decide an undecided one.

    low, high: by algorithm, ends of its effect on the probability, each wrong with chance alpha. magnitude: mean size
    of an image's change. carriers: images that carry the effect (participation number). unseen: largest share of images
    of a kind that may be missing among those measured.
    """

    answer: str
    why: str
    models: int | None
    images: int | None
    low: tuple[float, float]
    high: tuple[float, float]
    magnitude: tuple[float, float]
    carriers: tuple[float, float]
    unseen: float


@dataclass(frozen=True)
class EffectFacts:
    """One transformation and class; `class_name` None means each image's own class.

    before, after: a few images without and with the transformation at full intensity; texts: a few examples that are no
    images, in words. along: the directions that a
    search proposed it for; empty for one that the study named.
    """

    name: str
    description: str
    class_name: str | None
    intensities: Float[np.ndarray, " intensities"]
    a: CurveFacts
    b: CurveFacts
    difference: float
    difference_low: float
    difference_high: float
    p_adjusted: float
    distinguishing: bool
    images: int
    before: UInt8[np.ndarray, "shown height width channels"]
    after: UInt8[np.ndarray, "shown height width channels"]
    margin_a: CurveFacts
    margin_b: CurveFacts
    margin_difference: float
    margin_difference_low: float
    margin_difference_high: float
    margin_p_adjusted: float
    along: str = ""
    verdict: VerdictFacts | None = None
    texts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class WhereFacts:
    """A contrast of the same two algorithms by components of their networks. href: its page, from this report."""

    title: str
    found: str
    href: str


@dataclass(frozen=True)
class IntervalFacts:
    """A number with the ends of its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PlainRow:
    """One quantity of the full-data models, on all test images (no group) or on a class's or metadata value's.

    unit: 'share' or 'probability', shown in points, 'nats', 'deviations' or 'variances'.
    p_adjusted: corrected over all rows.
    """

    name: str
    group: str
    unit: str
    a: IntervalFacts
    b: IntervalFacts
    difference: IntervalFacts
    p_adjusted: float
    images: int


@dataclass(frozen=True)
class PlainFacts:
    """What the full-data models differ in before any direction is looked for.

    agreement: share of images on which two models predict alike: of A (a), of B (b), one of each (between), and how
    much less that is than within the algorithms (beyond); empty where no classes are predicted. p: chance of so much if
    the algorithms were one.
    """

    rows: tuple[PlainRow, ...]
    agreement: Mapping[str, IntervalFacts]
    p: float


@dataclass(frozen=True)
class SpreadFacts:
    """The training direction along which A's models lie further apart, against B's, where examples are left in.

    kind: 'spread', of models of one mask, or 'spread or misfit', of squared residuals. weights: of training examples.
    targets, projections: the test examples that were compared and how far their spread moves along it. p: chance of so
    much where masks have the same part in both. carried_targets, carried_train: participation numbers.
    """

    kind: str
    p: float
    significant: bool
    weights: Float[np.ndarray, " train"]
    targets: Int[np.ndarray, " compared"]
    projections: Float[np.ndarray, " compared"]
    carried_targets: float
    carried_train: float


@dataclass(frozen=True)
class LearningFacts:
    """How both algorithms' scores grew with the models behind them.

    held: models kept for evaluation, which count among those trained. wished: the score that was wished for, if any.
    """

    curves: tuple[LearningCurve, LearningCurve]
    held: int
    wished: float | None


@dataclass(frozen=True)
class ContrastFacts:
    """A contrast as a whole.

    Attributes:
        hypothesis: 'reliance' or 'identical'.
        middle: c_t in the mean over targets.
        spread: Deviation of log c_t over targets beyond noise.
        p: Of the spread.
        log_slopes: log c_t from each half of the models; NaN where it cannot be told.
        draws: Draws of the null that were made, over all directions that were tested.

    """

    hypothesis: str
    middle: float
    spread: float
    p: float
    log_slopes: Float[np.ndarray, "2 targets"]
    draws: int


@dataclass(frozen=True)
class TrainingsFacts:
    """Differentiated trainings in the place of datamodels, both algorithms together but for `compared`.

    Attributes:
        compared: Trainings of each algorithm.
        left_out: Pairs of trainings of which one diverged.
        differentiated: Trainings that were run, those that chose the basis among them.
        reverse: Reverse products.
        forward: Forward products along the basis.
        along_masks: Forward products along masks, for the scores.
        missed: Share of a further reverse product outside of the basis.
        seconds: Of processor time; NaN if not measured.

    """

    compared: int
    left_out: int
    differentiated: int
    reverse: int
    forward: int
    along_masks: int
    missed: float
    seconds: float


@dataclass(frozen=True)
class ReportFacts:
    """A whole comparison.

    null: differences of variance that arise between algorithms that do not differ (the noise floor).
    found: what a search put to the test on images and models that had not chosen it.
    train, targets: the examples behind the columns and rows of the datamodels, as far as they are known.
    estimators: those whose scores are set side by side; empty where there is one alone.
    command: what makes the comparison again; empty stands for ``modeldiff compare`` of study.json. learning: None where
    only the final models are known. inventory: what the dataset held; None where only results of others are known.
    where: contrasts by components that the store holds of the same networks. target: the number that is predicted, in
    the place of classes.
    """

    study: str
    digest: str
    dataset: Mapping[str, object]
    classes: tuple[str, ...]
    a: AlgorithmFacts
    b: AlgorithmFacts
    similarity: float
    directions: tuple[DirectionFacts, ...]
    null: Float[np.ndarray, " draws"]
    effects: tuple[EffectFacts, ...]
    train: Known
    targets: Known
    config: Mapping[str, object]
    versions: Mapping[str, str]
    findings: tuple[str, ...]
    command: tuple[str, ...] = ()
    learning: LearningFacts | None = None
    estimators: tuple[EstimatorFacts, ...] = ()
    found: tuple[EffectFacts, ...] = ()
    origin: Origin = "trained"
    inventory: Inventory | None = None
    plain: PlainFacts | None = None
    spread: SpreadFacts | None = None
    contrast: ContrastFacts | None = None
    where: tuple[WhereFacts, ...] = ()
    trainings: TrainingsFacts | None = None
    target: str = ""

    @property
    def terms(self) -> Terms:
        """What examples, outputs and effects are called."""
        return Terms(noun_of(self.targets), self.target)

    @property
    def tested(self) -> bool:
        """Whether directions were measured on models that had not chosen them: ready attributions have none."""
        return self.origin != "attributions"

    @property
    def calibrated(self) -> bool:
        """Whether their differences were set against chance: not every estimator has a null, and one may do without."""
        return self.tested and len(self.null) > 0
