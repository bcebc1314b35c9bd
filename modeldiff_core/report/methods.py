"""How directions were found and tested, in sentences with the settings that were used."""

from collections.abc import Mapping
from dataclasses import dataclass

from modeldiff_core.data.kinds import Table, Tokens
from modeldiff_core.datamodels import ESTIMATORS, Estimator, FromCheckpoints, FromMasks, FromTrainings
from modeldiff_core.report.contrast_methods import (
    CONTRAST_SIZES,
    contrast_directions,
    contrast_significance,
    hypothesis_words,
)
from modeldiff_core.report.facts import ReportFacts
from modeldiff_core.report.settings import confidence, fraction, part
from modeldiff_core.report.terms import IMAGE
from modeldiff_core.report.training_methods import (
    basis_words,
    differentiated_words,
    training_directions,
    training_significance,
)
from modeldiff_core.report.words import number, percent
from modeldiff_core.subpopulations.shared import DRAWS, FIRST_DRAWS
from modeldiff_core.transformations import SearchSettings


@dataclass(frozen=True)
class Step:
    """One step of the comparison."""

    name: str
    words: str


def steps(facts: ReportFacts) -> tuple[Step, ...]:
    """From models to found transformations, by the study's own settings; steps that were not taken are left out.

    What was done elsewhere is said to have been: of ready attributions all but the directions.
    """
    comparison, subsets = part(facts, "comparison"), part(facts, "subsets")
    described = any(one.ends for one in facts.directions)
    last = (
        *([Step("Subpopulations", _subpopulations(facts))] if described else []),
        *([Step("Effects", _effects(facts))] if facts.effects or facts.found else []),
        *([Step("Search", _search(facts))] if facts.found else []),
    )
    if not facts.tested:
        return (
            Step("Attributions", _attributions(facts)),
            Step("Directions", _directions({**comparison, "method": "pca"}, "the attributions")),
            Step("Significance", UNTESTED),
            *last,
        )
    if facts.trainings is not None:
        return (
            Step("Trainings", differentiated_words(facts.trainings)),
            Step("Basis", basis_words(facts.trainings)),
            Step("Directions", training_directions(facts.trainings)),
            Step("Significance", training_significance(comparison, facts.trainings)),
            *last,
        )
    if facts.contrast is not None:
        return (
            Step("Subset models", _subset_models(facts)),
            Step("Datamodels", _datamodels(facts)),
            Step("Hypothesis", hypothesis_words(facts.contrast)),
            Step("Directions", contrast_directions(comparison)),
            Step("Sizes", CONTRAST_SIZES),
            Step("Significance", contrast_significance(comparison, facts.contrast)),
            *last,
        )
    exchanged = facts.origin == "margins" or not subsets.get("paired", True)
    return (
        Step("Subset models", _subset_models(facts)),
        Step("Datamodels", _datamodels(facts)),
        Step("Directions", _directions(comparison)),
        Step("Significance", _significance(comparison, exchanged, len(facts.null))),
        *last,
    )


UNTESTED = (
    "Nothing was tested. Ready attributions do not tell how noisy they are: without models there are no halves of them "
    "to find a direction from one and measure it on the other, and no margins to exchange for a null. Variances are "
    "in-sample, measured on the very numbers that chose the directions, which shows a difference where there is none."
)


def _attributions(facts: ReportFacts) -> str:
    return (
        f"Attributions of A and of B were made elsewhere and adopted: one weight for each of {len(facts.train):,} "
        f"training examples, for each of {len(facts.targets):,} targets. The models behind them are not known."
    )


def _subset_models(facts: ReportFacts) -> str:
    models = f"{facts.a.subset_models:,} models of A and {facts.b.subset_models:,} of B"
    share = fraction(facts)
    train, targets = f"{len(facts.train):,} training", f"{len(facts.targets):,} test"
    if facts.origin == "margins":
        return (
            f"{models} were trained elsewhere on subsets of {train} examples. Their margins on {targets} examples were "
            "adopted, with the masks that say which training examples each model saw."
        )
    subset = f"subset of {share} of" if share else "subset of"
    seeds = part(facts, "subsets").get("seeds", 1)
    repeated = "" if seeds == 1 else f" ({seeds} models on each subset, which all steps below keep together)"
    return (
        f"{models} were trained, each on a random {subset} the {train} images{repeated}, and {_recorded(facts)} of "
        f"each of the {targets} images was recorded."
    )


def _recorded(facts: ReportFacts) -> str:
    """Return what was recorded of a model for each target."""
    if not facts.target:
        return "the margin (correct-class logit minus the largest other)"
    unit = f"of {facts.target} over the training images"
    if facts.config.get("output") == "negative_squared_error":
        return f"the negative squared error of the prediction (in variances {unit})"
    return f"the prediction error (prediction minus truth, in standard deviations {unit})"


def _datamodels(facts: ReportFacts) -> str:
    regression = part(facts, "regression")
    kind = str(regression.get("estimator", ""))
    estimator: type[Estimator] = ESTIMATORS.get(kind) if kind in ESTIMATORS.names() else FromMasks
    words = estimator.title or kind.replace("_", " ")
    held = facts.config.get("evaluation_models", part(facts, "subsets").get("evaluation_models"))
    kept = f"The first {held:,} models" if isinstance(held, int) else "Some models"
    scored = f"{kept} were kept from the fit and served for the linear datamodeling score."
    if issubclass(estimator, FromCheckpoints):
        return (
            f"Attributions in the place of datamodels were estimated by {words} from the models trained on all data, a "
            "weight of each training image for each test image. The subset models served to score them."
        )
    if issubclass(estimator, FromTrainings):
        given = regression.get("settings")
        own = given.get(kind) if isinstance(given, Mapping) else None
        return (
            "Datamodels are derivatives: trainings with a weight on every training image were differentiated with "
            "respect to these weights, through all their steps, which says how each test image's margin changes with "
            f"each training image. {estimator.note(own or {})} The subset models served to score them."
        )
    regressed = (
        f"For each test image the margin was regressed{f' ({words})' if words else ''} on which training images were "
        f"present. {scored}"
    )
    given = regression.get("settings")
    own = given.get(kind) if isinstance(given, Mapping) else None
    return f"{regressed} {estimator.note({**regression, **(own or {})})}".rstrip()


def _directions(comparison: Mapping[str, object], of: str = "the datamodels of all models") -> str:
    count = comparison.get("components")
    many = f"{count} " if isinstance(count, int) else ""
    first = "With each datamodel scaled to length 1, the" if comparison.get("normalize", True) else "The"
    taken = f"{first} part of A’s that is along B’s was taken away"
    if comparison.get("method") == "crossfit":
        return (
            f"{taken}, in the datamodels of each of two disjoint halves of the models. With the centered rests R₁ and "
            f"R₂ of the halves, the {many}directions A−B are the eigenvectors of (R₁ᵀR₂ + R₂ᵀR₁)/2 of the largest "
            "eigenvalues, in which the estimation noise of either half cancels in expectation; likewise B−A."
        )
    return (
        f"{taken}, in {of}. The {many}directions A−B are the principal components of what remains, centered: those "
        "along which it varies most; likewise B−A."
    )


def _significance(comparison: Mapping[str, object], exchanged: bool, draws: int) -> str:
    """exchanged: whether masks went with the margins, since A's and B's models need not share them."""
    source = "its two quarters" if comparison.get("method") == "crossfit" else "it"
    measured = (
        f"For each half of the models directions were found again from {source}, the variances along them under A and "
        "under B measured on the other half, and the two differences averaged. Stability is the |cosine| between the "
        "versions of a direction from the two halves."
    )
    times, level = comparison.get("permutations"), comparison.get("significance")
    if not draws or times == 0:
        return f"{measured} The differences were not set against chance."
    holm = f"at most {number(level)} " if isinstance(level, float) else "small enough "
    return (
        f"{measured} For the null, {_by_chance(comparison, exchanged)}, and the same differences taken: "
        f"{draws:,} in all. The null p of a direction is the share of them that is at least as large, (1 + larger)/"
        f"(1 + {draws:,}); it is significant if p is {holm}after Holm’s correction for the directions of both sides."
    )


def _by_chance(comparison: Mapping[str, object], exchanged: bool) -> str:
    times = comparison.get("permutations")
    often = f"{times} times " if isinstance(times, int) else ""
    if comparison.get("null_from") == "parts":
        return (
            f"{often}the models of A, or in turn of B, were split at random into two disjoint parts of each half, the "
            "parts fitted as A and B were"
        )
    with_masks = ", and the masks with them," if exchanged else ""
    return (
        f"{often}A’s and B’s margins of each model{with_masks} were exchanged at random after each test image’s mean "
        "was taken away, both halves fitted again"
    )


def _subpopulations(facts: ReportFacts) -> str:
    size = percent(float(str(part(facts, "search").get("share", SearchSettings().share))), 0)
    which = "significant direction" if facts.tested else "direction shown"
    of_classes, each, same, constant = (
        ("", "", "", "")
        if facts.target
        else (" of their classes", " within each class", " of the same classes", " with a constant for each class")
    )
    classes = "" if facts.target else "Classes describe an end and are not tested against chance. "
    pixel = ", and that of the pixel that differs most," if facts.terms.noun == IMAGE else ""
    return (
        f"At each end of a {which} the {size} of the test examples furthest out by projection, and of the training "
        f"examples by weight, were set against all others. Values of metadata: the exact one-sided test of members "
        f"against other examples{of_classes} (hypergeometric{each}), with Holm’s correction over the "
        f"values that could be found at all (Tarone); whole numbers count as codes and as quantities. {classes}"
        f"{_named_numbers(facts)}: difference from other images{same} "
        f"(least squares{constant}), with its 95\u00a0% interval. Its p{pixel}"
        f" is the share of random exchanges of members with others{of_classes} in which "
        f"any of them differs as much, of {FIRST_DRAWS:,} exchanges and, where those leave a chance, of up to "
        f"{DRAWS:,} new ones. What is put into words has p ≤ 0.05 after multiplication by the number of all lists of "
        "this report: "
        "with random members a report names anything in at most one of twenty cases."
    )


def _named_numbers(facts: ReportFacts) -> str:
    """Return what the numbers of examples are that ends are described by."""
    named = {Table.noun: "Columns of numbers", Tokens.noun: "Tokens that a text holds, and its length"}
    return named.get(facts.terms.noun, "Statistics of images")


def _effects(facts: ReportFacts) -> str:
    settings = part(facts, "effects")
    most = settings.get("max_images")
    many = f"at most {most:,} of the" if isinstance(most, int) else "the"
    tests = 2 * (len(facts.effects) + len(facts.found))
    known = "those known to carry the feature already"
    left_out = (
        f"{known} were left out" if facts.target else f"images of the class that is followed were left out, and {known}"
    )
    return (
        f"{facts.a.ensemble_models:,} models of A and {facts.b.ensemble_models:,} of B, trained on all data, were "
        f"shown {many} test images with and without each transformation; {left_out}. An effect is the "
        "mean change of the probability, or of the margin, over models and images. "
        f"Its {confidence(facts)} interval is one for new models and new images: from "
        "the variances over models, over images and of what is left, with Student’s t and Satterthwaite’s degrees of "
        "freedom. Models of A and of B that share a seed are compared as pairs. The same variances give the two-sided "
        "test of no difference between A and B on the same images; p is "
        f"adjusted (Holm) over all {tests:,} tests at full intensity: every transformation, probability and margin."
        f"{_rule(settings)}"
    )


def _rule(settings: Mapping[str, object]) -> str:
    """Return when a transformation is said to distinguish, as far as the thresholds are known."""
    delta, epsilon, alpha = (settings.get(name) for name in ("delta", "epsilon", "alpha"))
    if not (isinstance(delta, float) and isinstance(epsilon, float) and isinstance(alpha, float)):
        return ""
    return (
        f" It distinguishes if the adjusted p of the difference is at most {alpha:g}, one algorithm reacts (the "
        f"probability moves by {100 * delta:g} points or more, and by more than {100 * epsilon:g} beyond doubt), and "
        f"the other is shown not to: two one-sided tests place its effect within ±{100 * epsilon:g} points, and the "
        f"mean size of an image’s change, in which opposite changes do not cancel, below {100 * delta:g}. It does not "
        "if one of these is shown to "
        "be false; else it is undecided. An end of an interval is wrong with the chance of one of these tests "
        f"({alpha:g}), and no nearer to the effect than the share of images of a kind that may be missing among those "
        "measured. The number of models and images that would decide does so in 80\u00a0% of repetitions."
    )


def _search(facts: ReportFacts) -> str:
    settings = part(facts, "search")
    directions, candidates, confirmed = (settings.get(name) for name in ("directions", "candidates", "confirmed"))
    where = f", at most {directions} of a side," if directions else ""
    many, best = (f"up to {candidates} " if candidates else "", f"{confirmed} " if confirmed else "")
    return (
        f"For each significant direction{where} {many}transformations were proposed from what the images at its ends "
        "have in common, in the training set and in one half of the test images, and ranked by the difference between "
        "their effects on A and on B on that half, with one half of the models trained on all data. "
        f"The {best}best were put to the test on the other half of the images with the other half of the models; "
        "which images carry a known feature plays no part. Confirmed is what distinguishes there."
    )
