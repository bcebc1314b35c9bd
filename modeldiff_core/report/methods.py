"""How directions were found and tested, in sentences with the settings that were used."""

from collections.abc import Mapping
from dataclasses import dataclass

from modeldiff_core.report.facts import ReportFacts
from modeldiff_core.report.settings import fraction
from modeldiff_core.report.words import number


@dataclass(frozen=True)
class Step:
    """One step of the comparison."""

    name: str
    words: str


def steps(facts: ReportFacts) -> tuple[Step, ...]:
    """From models to significant directions, by the study's own `regression`, `comparison` and `subsets`.

    What was done elsewhere is said to have been: of ready attributions all but the directions.
    """
    regression, comparison, subsets = (_part(facts, name) for name in ("regression", "comparison", "subsets"))
    if not facts.tested:
        return (
            Step("Attributions", _attributions(facts)),
            Step("Directions", _directions({**comparison, "method": "pca"}, "the attributions")),
            Step("Significance", UNTESTED),
        )
    exchanged = facts.origin == "margins" or not subsets.get("paired", True)
    return (
        Step("Subset models", _subset_models(facts)),
        Step("Datamodels", _datamodels(regression)),
        Step("Directions", _directions(comparison)),
        Step("Significance", _significance(comparison, exchanged, len(facts.null))),
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
    return (
        f"{models} were trained, each on a random {subset} the {train} images, and the margin (correct-class logit "
        f"minus the largest other) of each of the {targets} images was recorded."
    )


def _part(facts: ReportFacts, name: str) -> Mapping[str, object]:
    found = facts.config.get(name)
    return found if isinstance(found, Mapping) else {}


def _datamodels(regression: Mapping[str, object]) -> str:
    kind = str(regression.get("estimator", "")).replace("_", " ")
    return (
        f"For each test image the margin was regressed{f' ({kind})' if kind else ''} on which training images were "
        "present. Models that were left out of the fit served for the linear datamodeling score."
    )


def _directions(comparison: Mapping[str, object], of: str = "the datamodels of all models") -> str:
    count = comparison.get("components")
    many = f"{count} " if isinstance(count, int) else ""
    first = "With each datamodel scaled to length 1, the" if comparison.get("normalize", True) else "The"
    taken = f"{first} part of A’s that is along B’s was taken away"
    if comparison.get("method") == "crossfit":
        return (
            f"{taken}, in the datamodels of each of two disjoint halves of the models. With the centred rests R₁ and "
            f"R₂ of the halves, the {many}directions A−B are the eigenvectors of (R₁ᵀR₂ + R₂ᵀR₁)/2 of the largest "
            "eigenvalues, in which the estimation noise of either half cancels in expectation; likewise B−A."
        )
    return (
        f"{taken}, in {of}. The {many}directions A−B are the principal components of what remains, centred: those "
        "along which it varies most; likewise B−A."
    )


def _significance(comparison: Mapping[str, object], exchanged: bool, draws: int) -> str:
    """exchanged: whether masks went with the margins, since A's and B's models need not share them."""
    source = "its two quarters" if comparison.get("method") == "crossfit" else "it"
    measured = (
        f"For each half of the models directions were found anew from {source}, the variances along them under A and "
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
            f"{often}the models of A, or in turn of B, were parted at random in two disjoint parts of each half, the "
            "parts fitted as A and B were"
        )
    with_masks = ", and the masks with them," if exchanged else ""
    return (
        f"{often}A’s and B’s margins of each model{with_masks} were exchanged at random after each test image’s mean "
        "was taken away, both halves fitted again"
    )
